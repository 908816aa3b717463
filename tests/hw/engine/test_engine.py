# SPDX-License-Identifier: BSD-2-Clause
"""The engine alone: packets, weights and any local errors in; activations and weights out."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw.engine.engine import Engine, lead
from hw.ports import CLOCK_COUNTERS, Command
from hw.primitives import PORTABLE
from tests.hw.bench import Extremes, Twin, entries, plan, plans, shift_parts, simulate
from tests.hw.engine.test_list_builder import dense, listed, padded, scattered
from tests.hw.engine.test_weight_mover import initial, places

LEAD = lead(PORTABLE)


class World:
    """All that surrounds an engine: the layers below and above, weights, and a local error.

    Parameters
    ----------
    pace
        How often whatever may come or may be ready is so.
    """

    def __init__(self, p, width, rng, *, pace):
        self.plan, self.width, self.rng, self.pace = p, width, rng, pace
        self.dut = Engine(plan=p, width=width, primitives=PORTABLE)
        self.draw = Extremes(p, rng)
        # What is still to be sent: beats, weights, the updates of samples.
        self.beats, self.loads, self.updates = [], [], []
        self.expected = {"activations": [], "o": [], "records": [], "weights": []}
        self.seen = {name: [] for name in self.expected}
        self.counts = dict.fromkeys(
            (
                *("forward", "update", "columns_skipped", "updates_skipped", "groups_skipped"),
                *("weight_reads", "weight_writes"),
            ),
            0,
        )
        self.twin = Twin(p, self.banks(initial(p.layer)))
        self.clock, self.errors_at = 0, []  # clocks in which errors are made
        self.group = None  # local errors that come: clocks of some, ready and complete
        self.groups, self.g, self.left = [], {}, 0
        self.walks = 0  # samples that update, but no group

    def banks(self, weights):
        """Lay out weights, n-major, as the lanes hold them."""
        banks = [[0] * self.plan.depth for _ in range(self.plan.layer.lanes)]
        for (lane, addr, _), weight in zip(places(self.plan.layer), weights, strict=True):
            banks[lane][addr] = weight
        return banks

    def packet(self, command, density=0.5, g=None):
        """Send a packet: note what follows from it."""
        layer, label = self.plan.layer, self.rng.randrange(3)
        header = command, label
        if command in (Command.TRAIN, Command.INFER):
            self.sample(header, self.draw.inputs(density), g)
            return
        beat = 0, [self.rng.randrange(256) for _ in range(self.width)]
        self.beats.append((*header, 1, *beat))
        self.expected["o"].append((*header, 1, None))
        self.expected["records"].append(header)
        if command == Command.LOAD:
            weights = [self.draw.weight() for _ in range(layer.weights)]
            self.loads += weights
            self.twin.weights = self.banks(weights)
        else:
            self.expected["weights"] += [self.twin.weights[n][a] for n, a, _ in places(layer)]

    def sample(self, header, x, g):
        p, layer, counts = self.plan, self.plan.layer, self.counts
        raw = [value & 255 for value in x]
        beats = self.rng.choice(
            [dense(raw, self.width), listed(raw), scattered(raw, self.width, self.rng)]
        )
        for k, beat in enumerate(beats):
            self.beats.append((*header, k == len(beats) - 1, *padded(beat, self.width)))
        events, ys = entries(p, x), []
        for group in range(p.groups):
            self.twin.clear()
            for column, value in events:
                self.twin.forward(group * layer.columns + column, value)
            ys += self.twin.activations()
        ys = [y if n < layer.neurons else 0 for n, y in enumerate(ys)]
        width = p.drain_width
        split_y = [ys[k : k + width] for k in range(0, len(ys), width)]
        self.expected["activations"] += [
            (*header, k == len(split_y) - 1, y) for k, y in enumerate(split_y)
        ]
        self.expected["o"] += [
            (*header, k == p.output_beats - 1, (width * (k > 0), y))
            for k, y in enumerate(split_y[: p.output_beats])
        ]
        counts["columns_skipped"] += layer.columns - len(events)
        counts["forward"] += p.groups * len(events)
        counts["weight_reads"] += layer.neurons * len(events)
        self.updates.append(g)
        left, g = g or (0, [])
        halves = self.twin.draw(len(events), left) if g else []
        if header[0] == Command.TRAIN and not g:
            counts["updates_skipped"] += 1
        self.walks += bool(g) and not any(g)
        for group in range(p.groups if g else 0):
            lanes = g[group * layer.lanes :][: layer.lanes]
            if not any(lanes):
                counts["groups_skipped"] += 1
                continue
            for (column, value), half in zip(events, halves, strict=True):
                self.twin.update(group * layer.columns + column, value, lanes, half, left=left)
            exist = min(layer.neurons - group * layer.lanes, layer.lanes) * len(events)
            counts["update"] += len(events)
            counts["weight_reads"] += exist
            counts["weight_writes"] += exist

    def local_errors(self):
        """Draw how far updates are shifted left, and local errors.

        In some groups all are 0, in others few or one in the last beat.
        """
        layer, left, g = self.plan.layer, self.draw.left(), []
        rare = self.rng.random() < 0.3
        for group in range(self.plan.groups):
            exist = min(layer.neurons - group * layer.lanes, layer.lanes)
            lanes = [self.draw.g(left) for _ in range(exist)]
            if rare or self.rng.random() < 0.5:
                last = self.rng.choice([0, not rare]) << shift_parts(self.plan, left)[1]
                lanes = [0] * (exist - 1) + [last]
            g += [*lanes, *[0] * (layer.lanes - exist)]
        return left, g

    def next_group(self):
        """Let the local errors of the next group come, at the earliest as soon as they may."""
        self.group = None
        if not self.groups:
            return
        lanes, width = self.groups.pop(0), self.plan.drain_width
        clock = self.clock + LEAD + 1 + (0 if self.rng.random() < 0.7 else self.rng.randrange(9))
        some = None
        for index in range(self.plan.beats):
            beat = lanes[index * width :][:width]
            self.g[clock + index] = {"index": index, "g": beat}
            if any(beat) and some is None:
                some = clock + index + 1
        last = clock + self.plan.beats - 1
        self.group = some, max(last - LEAD, self.clock + 1), last + 1

    def inputs(self, ctx):
        dut, rng = self.dut, self.rng

        def chance():
            return rng.random() < self.pace

        if self.beats and not ctx.get(dut.i.valid) and chance():
            command, label, last, gap, x = self.beats.pop(0)
            header = {"command": command, "label": label}
            ctx.set(dut.i.p, {"header": header, "last": last, "gap": gap, "x": x})
            ctx.set(dut.i.valid, 1)
        if self.loads and not ctx.get(dut.weights_in.valid) and chance():
            ctx.set(dut.weights_in.p, self.loads.pop(0))
            ctx.set(dut.weights_in.valid, 1)
        for port in dut.o, dut.records, dut.weights_out:
            ctx.set(port.ready, chance())
        if not ctx.get(dut.score_room.space):
            ctx.set(dut.score_room.space, chance())
        port = dut.gradients
        ctx.set(port.update.valid, self.clock in self.errors_at)
        if self.clock in self.errors_at:
            ctx.set(port.update.p, self.updates[0] is not None)
        ctx.set(port.left, self.left)
        ctx.set(port.beats.valid, self.clock in self.g)
        ctx.set(port.beats.p, self.g.pop(self.clock, {"g": [1] * self.plan.drain_width}))
        some, ready, complete = self.group or (None, 0, 0)
        ctx.set(port.some, some is not None and self.clock >= some)
        ctx.set(port.ready, self.clock >= ready)
        ctx.set(port.complete, self.clock >= complete)

    def outputs(self, ctx):
        dut, seen = self.dut, self.seen
        reserved = ctx.get(dut.score_room.reserve)
        if ctx.get(dut.activations.valid):
            beat = ctx.get(dut.activations.p)
            header = beat.header.command, beat.header.label
            seen["activations"].append((*header, beat.last, list(beat.y)))
            if beat.last:
                slow = 0 if self.rng.random() < 0.7 else self.rng.randrange(20)
                self.errors_at.append(max([self.clock + slow, *self.errors_at]) + 1)
        if taken(ctx, dut.o):
            beat = ctx.get(dut.o.p)
            values = beat.gap, list(beat.x)
            seen["o"].append((beat.header.command, beat.header.label, beat.last, values))
        if taken(ctx, dut.records):
            assert not self.errors_at
            header = ctx.get(dut.records.p)
            seen["records"].append((header.command, header.label))
        if taken(ctx, dut.weights_out):
            seen["weights"].append(ctx.get(dut.weights_out.p))
        if ctx.get(dut.gradients.advance):
            assert self.group
            self.next_group()
        if self.clock in self.errors_at:
            update, lanes = self.updates.pop(0), self.plan.layer.lanes
            self.errors_at.pop(0)
            if update is not None:
                assert not self.group
                self.left, g = update
                self.groups = [g[k : k + lanes] for k in range(0, len(g), lanes)]
                self.next_group()
        return [port for port in (dut.i, dut.weights_in) if taken(ctx, port)], reserved

    async def bench(self, ctx):
        dut = self.dut
        while (
            self.updates
            or self.group
            or any(len(self.seen[name]) < len(due) for name, due in self.expected.items())
        ):
            self.inputs(ctx)
            done, reserved = self.outputs(ctx)
            await ctx.tick()
            self.clock += 1
            for port in done:
                ctx.set(port.valid, 0)
            if reserved:
                ctx.set(dut.score_room.space, 0)
        ctx.set(dut.gradients.update.valid, 0)
        await ctx.tick().repeat(4 * self.plan.layer.columns)
        values = ctx.get(dut.counters)
        assert {name: values[name] for name in self.counts} == self.counts
        assert values["cycles"] == sum(values[name] for name in CLOCK_COUNTERS)

    def run(self):
        simulate(self.dut, self.bench)
        for name in "activations", "records", "weights":
            assert self.seen[name] == self.expected[name], name
        for seen, due in zip(self.seen["o"], self.expected["o"], strict=True):
            # What a command shows besides its header is of no matter.
            assert seen[: 3 + (due[3] is not None)] == due[: 3 + (due[3] is not None)]


def taken(ctx, port):
    return ctx.get(port.valid) and ctx.get(port.ready)


def fill(world, packets):
    """Send some packets of every kind in any order, and read the weights in the end."""
    rng = world.rng
    world.packet(Command.READ)
    world.packet(Command.LOAD)
    for _ in range(packets):
        command = rng.choice([Command.TRAIN] * 6 + [Command.INFER] * 2 + list(Command))
        updates = command == Command.TRAIN and rng.random() < 0.8
        world.packet(
            command, rng.choice([0, 0.2, 0.6, 1]), world.local_errors() if updates else None
        )
    world.packet(Command.READ)


@given(
    plan=plans(lanes=st.integers(1, 12) | st.sampled_from([17, 18]), most=20),
    width=st.integers(1, 4),
    pace=st.sampled_from([0.5, 0.95, 1]),
    seed=st.integers(0, 2**32),
)
@settings(deadline=None, max_examples=8)
def test_packets(plan, width, pace, seed):
    world = World(plan, width, random.Random(seed), pace=pace)
    fill(world, 9)
    world.run()


def test_draws():
    """A step draws as often as its list is long, be it for several groups, for one or for none."""
    p = plan(inputs=3, neurons=5, lanes=2, wb=8, sr=True, fw=6, lr=2, lr_growth=1)
    world = World(p, 2, random.Random(5), pace=1)
    fill(world, 30)
    world.run()
    assert world.walks > 2


@pytest.mark.parametrize("lanes", [1, 3])
def test_hazards(lanes):
    """One group, one column or two: the weight of an F event is the one that was written last."""
    p = plan(inputs=1, neurons=lanes, lanes=lanes, fw=6, lr=0)
    world = World(p, 1, random.Random(lanes), pace=1)
    fill(world, 40)
    world.run()
