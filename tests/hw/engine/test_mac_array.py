# SPDX-License-Identifier: BSD-2-Clause
"""The MAC array against plain Python: events and moves as close as they may come."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw.engine.lane import reload, write_to_read
from hw.engine.mac_array import MacArray, accept_delay
from hw.primitives import PORTABLE
from tests.hw.bench import Extremes, Twin, entries, plan, plans, simulate


class Script:
    """Events of an array, clock by clock, at distances that are allowed and often the smallest."""

    def __init__(self, plan, rng):
        self.plan, self.rng, self.draw = plan, rng, Extremes(plan, rng)
        lanes, depth = range(plan.layer.lanes), range(plan.depth)
        self.initial = [[self.draw.weight() for _ in depth] for _ in lanes]
        self.twin = Twin(plan, [[0 for _ in depth] for _ in lanes])
        self.events, self.beats = [], {}
        self.lefts = {}  # clocks from which on updates are shifted left so far
        self.drained, self.read = [], []
        self.made = self.lost = 0  # weights that are changed, and that are left for rounding
        self.written = {}  # the last clock in which an address was changed
        # The last F event of a group, the last event of another kind, the first clock in which
        # local errors may come.
        self.last, self.late, self.free = -1000, -1000, 0

    def at_least(self, clock):
        """Let clocks pass until `clock`, or until somewhat later."""
        while len(self.events) < clock or self.rng.random() < 0.05:
            self.events.append({})

    def move(self, lane, addr, **fields):
        self.at_least(self.written.get(addr, -1000) + reload(PORTABLE))
        self.late = len(self.events)
        self.events.append({"lane": lane, "addr": addr, **fields})

    def load(self):
        """Load all weights, n-major, as far apart as they must be."""
        for lane, addr in self.places():
            self.move(lane, addr, load=1, word=self.initial[lane][addr])
            self.written[addr] = self.late
            self.twin.weights[lane][addr] = self.initial[lane][addr]

    def places(self):
        columns, lanes = self.plan.layer.columns, self.plan.layer.lanes
        for group in range(self.plan.groups):
            for lane in range(lanes):
                for j in range(columns):
                    yield lane, group * columns + j

    def clear(self):
        self.at_least(0)
        self.events.append({"clear": 1})
        self.twin.clear()

    def forward(self, base, events):
        """Give all F events of a group, whose sums are cleared; its activations are drained."""
        for place, (column, x) in enumerate(events):
            last = place == len(events) - 1
            self.at_least(self.late + write_to_read(PORTABLE))
            if last:
                self.at_least(self.last + self.plan.drain_span)
                self.last = len(self.events)
            event = {"forward": 1, "last": last, "addr": base + column, "x": x}
            self.events.append(event)
            self.twin.forward(base + column, x)
        self.drained += self.twin.activations()

    def update(self, base, events, halves, left, *, again):
        """All U events of a group; the last of its local errors come with the first, or sooner."""
        plan, rng = self.plan, self.rng
        g = [self.draw.g(left) for _ in range(plan.layer.lanes)]
        width = plan.drain_width
        last = max(self.free + plan.beats - 1, len(self.events) + accept_delay(PORTABLE))
        self.at_least(last - accept_delay(PORTABLE))
        first = len(self.events) + accept_delay(PORTABLE) - plan.beats + 1
        first = rng.choice([first, rng.randint(self.free, first)])
        for index in range(plan.beats):
            self.beats[first + index] = {"index": index, "g": g[index * width :][:width]}
        self.free = len(self.events) + accept_delay(PORTABLE) + 1
        for place, ((column, x), half) in enumerate(zip(events, halves, strict=True)):
            begins = place == 0
            if not begins:
                self.at_least(self.written.get(base + column, -1000) + reload(PORTABLE))
            self.late = self.written[base + column] = len(self.events)
            flags = {"accept": begins, "first": begins and not again, "again": begins and again}
            event = {"update": 1, "draw": 1, **flags, "addr": base + column, "x": x}
            self.events.append(event)
            self.lost += sum(self.twin.update(base + column, x, g, half, left=left))
            self.made += sum(error != 0 for error in g)

    def step(self):
        """Go forward through all groups, and update some; the last to change is read first."""
        rng, columns = self.rng, self.plan.layer.columns
        events = entries(self.plan, self.draw.inputs(rng.choice([0, 0.5, 1])))
        rng.shuffle(events)
        groups = list(range(self.plan.groups))
        rng.shuffle(groups)
        for group in groups:
            self.clear()
            self.forward(group * columns, events)
        rng.shuffle(events)
        groups = rng.sample(groups, rng.randint(0, len(groups)))
        # What is updated meanwhile is no part of the sums.
        early = rng.random() < 0.5
        if early:
            self.clear()
        left = self.draw.left()
        # Those of the step before have been drawn.
        self.at_least(self.late + write_to_read(PORTABLE))
        self.lefts[len(self.events)] = left
        self.events.append({})
        halves = self.twin.draw(len(events), left)
        for place, group in enumerate([*groups[1:], *groups[:1]]):
            self.update(group * columns, events, halves, left, again=place > 0)
        if not groups:
            self.events += [{"draw": 1}] * len(events)
            self.late = len(self.events)
        if groups:
            if not early:
                self.clear()
            self.forward(groups[0] * columns, [events[-1]])

    def readout(self):
        for lane, addr in self.places():
            self.move(lane, addr, read=1)
            self.read.append(self.twin.weights[lane][addr])


def check(plan, seed):
    """Load, step a few times, read everything back."""
    rng = random.Random(seed)
    script, dut = Script(plan, rng), MacArray(plan=plan, primitives=PORTABLE)
    script.load()
    for _ in range(4):
        script.step()
    script.readout()
    drained, read, updates = [], [], []

    async def stimulus(ctx):
        end = len(script.events) + dut.delay + 3 * len(plan.clusters) + plan.drain_span
        for clock in range(end):
            event = script.events[clock] if clock < len(script.events) else {}
            ctx.set(dut.event, event)
            if clock in script.lefts:
                ctx.set(dut.left, script.lefts[clock])
            ctx.set(dut.g.valid, clock in script.beats)
            if clock in script.beats:
                ctx.set(dut.g.p, script.beats[clock])
            if ctx.get(dut.y.valid):
                drained.extend(ctx.get(dut.y.p))
            if ctx.get(dut.weight.valid):
                read.append(ctx.get(dut.weight.p))
            if plan.layer.health:
                counts = ctx.get(dut.updates)
                updates.append((counts.made, counts.lost))
            await ctx.tick()

    simulate(dut, stimulus)
    assert drained == script.drained
    assert read == script.read
    if plan.layer.health:
        assert [sum(counts) for counts in zip(*updates, strict=True)] == [script.made, script.lost]


@given(plan=plans(lanes=st.integers(1, 20)), seed=st.integers(0, 2**32))
@settings(deadline=None, max_examples=15)
def test_events(plan, seed):
    check(plan, seed)


@pytest.mark.parametrize("wb", [4, 9, 12, 16, 18])
def test_banks(wb):
    """Banks of 9 lanes to 2, and what is left over of them; one column, one group."""
    p = plan(inputs=1, neurons=11, lanes=11, wb=wb, fw=4, fx=8, lr=6)
    assert {len(bank) for bank in p.banks(0)} == {36 // wb, 11 % (36 // wb) or 36 // wb}
    for seed in range(3):
        check(p, seed)


@pytest.mark.parametrize("lanes", [1, 8, 17, 36])
def test_all_orders_of_beats(lanes):
    p = plan(inputs=2, neurons=2 * lanes, lanes=lanes, health=True)
    # No cluster holds its activations back for longer than it must.
    assert p.drain_span == p.beats
    check(p, lanes)


def test_delay():
    """The first beat of a group comes `delay` clocks after its last F event."""
    dut = MacArray(plan=plan(inputs=2, neurons=3, lanes=3), primitives=PORTABLE)

    async def bench(ctx):
        for last in 0, 1:
            ctx.set(dut.event, {"forward": 1, "last": last})
            await ctx.tick()
        ctx.set(dut.event, {})
        for _ in range(dut.delay - 1):
            assert not ctx.get(dut.y.valid)
            await ctx.tick()
        assert ctx.get(dut.y.valid)

    simulate(dut, bench)
