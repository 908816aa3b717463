# SPDX-License-Identifier: BSD-2-Clause
"""The sequencer: the steps of each packet, what they wait for, and what each clock is."""

import random
from itertools import groupby

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw.engine.event_scheduler import IN_FLIGHT
from hw.engine.sequencer import Sequencer
from hw.ports import Activity, Command
from tests.hw.bench import plan, simulate
from tests.hw.engine.test_weight_mover import places

WRITE_TO_READ = 9
RELOAD = 6
NEVER = -1000


class Packet:
    """A packet, and what comes of it: the length of its list, and which groups update."""

    def __init__(self, command, label=0, *, length=1, updates=False, groups=()):
        self.command, self.label = command, label
        self.sample = command in (Command.TRAIN, Command.INFER)
        self.trains = command == Command.TRAIN
        self.length, self.updates, self.groups = length, updates and self.trains, groups

    def steps(self, plan):
        """All that is done for the packet, in order."""
        columns = plan.layer.columns
        if not self.sample:
            kind = "load" if self.command == Command.LOAD else "read"
            yield from ((kind, lane, addr) for lane, addr, _ in places(plan.layer))
            return
        for group in range(plan.groups):
            yield ("clear",)
            for k in range(self.length):
                yield "forward", group * columns, k == self.length - 1
        for group, some in enumerate(self.groups):
            for k in range(self.length if some and self.updates else 0):
                yield "update", group * columns, k == 0


class World:
    """Lists, lanes, local error and neighbours of a sequencer; checks it clock by clock.

    Parameters
    ----------
    pace
        How often whatever may come or may be ready is so.
    tail
        Clocks from the last step of a sample until its errors are made, at most.
    """

    def __init__(self, p, packets, rng, *, pace=1.0, tail=1):
        self.plan, self.rng, self.pace, self.tail = p, rng, pace, tail
        self.dut = Sequencer(plan=p, write_to_read=WRITE_TO_READ, reload=RELOAD)
        self.waiting = list(packets)
        self.lengths = [packet.length for packet in packets if packet.sample]
        self.clock, self.phase, self.present = 0, "initialise", None
        self.seen, self.moved, self.passed, self.recorded = [], [], [], []
        self.place = self.released = self.moves = self.group = 0
        self.due = []  # packets whose errors are not made, with the clock in which they are
        self.last = self.written = NEVER
        self.updating = None  # (packet, group, when: some, ready, complete)
        self.granted = False  # a group was begun in the clock before
        self.delivered = 0
        self.skips = {"update_skipped": 0, "group_skipped": 0}
        self.activities = []

    def chance(self):
        return self.rng.random() < self.pace

    def soon(self):
        return 0 if self.pace == 1 else self.rng.randrange(4)

    def next_group(self, group):
        """Let the local errors of a group come from the next clock on."""
        packet, now = self.updating[0], self.clock + 1
        if group == self.plan.groups:
            self.updating = None
            return
        some, ready = now + self.soon(), now + self.soon()
        complete = max(some, ready) + self.soon()
        self.updating = packet, group, (some, ready, complete)

    def inputs(self, ctx):
        dut, rng = self.dut, self.rng
        # Once it is there, a packet stays.
        if not ctx.get(dut.packet.valid):
            ctx.set(dut.packet.valid, bool(self.waiting) and self.chance())
        if self.waiting:
            packet = self.waiting[0]
            ctx.set(dut.packet.p, {"command": packet.command, "label": packet.label})
        length = self.lengths[self.released] if self.released < len(self.lengths) else 0
        ctx.set(dut.last, self.place == length - 1)
        ctx.set(dut.room.space, self.chance())
        ctx.set(dut.read_room.space, self.chance())
        ctx.set(dut.blocked, rng.random() < 0.3)
        ctx.set(dut.weights.valid, self.chance())
        ctx.set(dut.passed_on.ready, self.chance())
        ctx.set(dut.record.ready, self.chance())
        ctx.set(dut.delivered, self.clock >= self.delivered)
        made = bool(self.due) and self.due[0][1] is not None and self.due[0][1] <= self.clock
        ctx.set(dut.update.valid, made)
        ctx.set(dut.update.p, self.due[0][0].updates if made else rng.randrange(2))
        flags = (rng.randrange(2) for _ in range(3))
        if self.updating:
            packet, group, (some, ready, complete) = self.updating
            some = packet.groups[group] and self.clock >= some
            flags = some, self.clock >= ready, self.clock >= complete
        for name, value in zip(("some", "ready", "complete"), flags, strict=True):
            ctx.set(getattr(dut, name), value)

    def expected_activity(self, ctx):
        """What this clock is, by the phase of the present packet."""
        dut = self.dut
        last, space = ctx.get(dut.last), ctx.get(dut.room.space)
        if self.phase == "idle":
            if not ctx.get(dut.packet.valid):
                return Activity.STALL_INPUT
            if not self.waiting[0].sample:
                return Activity.STALL_ERROR if self.due else Activity.OTHER
            room = space and len(self.due) < IN_FLIGHT and ctx.get(dut.passed_on.ready)
            return Activity.GAP if room else Activity.STALL_OUTPUT
        if self.phase == "forward":
            wait = last and self.clock - self.last < self.plan.drain_span
            return Activity.GAP if wait else Activity.FORWARD
        return {
            "clear": Activity.GAP if space else Activity.STALL_OUTPUT,
            "wait": Activity.STALL_OUTPUT if ctx.get(dut.blocked) else Activity.STALL_ERROR,
            "gradient": Activity.STALL_ERROR,
            "update": Activity.UPDATE,
        }.get(self.phase, Activity.OTHER)

    def check_step(self, ctx, step, activity):
        """Look at the step of this clock, and follow the phase that it ends."""
        p, dut, packet = self.plan, self.dut, self.present
        assert step.forward == (activity == Activity.FORWARD)
        assert step.update == (activity == Activity.UPDATE)
        assert step.forward + step.update + step.clear <= 1
        assert ctx.get(dut.room.reserve) == step.clear
        if step.clear:
            assert ctx.get(dut.room.space)
            self.seen.append(("clear",))
            self.phase = "forward"
        if step.forward:
            assert self.clock - self.written >= WRITE_TO_READ
            self.seen.append(("forward", step.base, step.last))
        if step.last:
            assert self.clock - self.last >= p.drain_span
            self.last = self.clock
            self.group += 1
            self.phase = "clear"
            if self.group == p.groups:
                self.group = 0
                self.due[-1][1] = self.clock + self.rng.randint(1, self.tail)
                self.phase = "wait" if packet.trains else "idle"
        if step.update:
            assert step.accept == self.granted
            self.seen.append(("update", step.base, step.accept))
            self.written = self.clock
            self.phase = "update"
        if step.forward or step.update:
            base = step.base // p.layer.columns
            exist = min(p.layer.neurons - base * p.layer.lanes, p.layer.lanes)
            assert ctx.get(dut.work.weights) == exist
            self.place = 0 if ctx.get(dut.last) else self.place + 1

    def check_update(self, ctx):
        """Follow the errors, and the local errors of the present group."""
        dut = self.dut
        self.granted = False
        if ctx.get(dut.advance):
            _packet, group, (some, ready, complete) = self.updating
            wanted = self.updating[0].groups[group]
            assert self.clock >= (max(some, ready) if wanted else complete)
            assert ctx.get(dut.work.group_skipped) == (not wanted)
            self.granted = wanted
            self.next_group(group + 1)
        if self.phase == "update" and ctx.get(dut.last):
            self.phase = "update" if self.granted else "gradient"
        elif self.phase == "gradient" and self.granted:
            self.phase = "update"
        if ctx.get(dut.update.valid):
            packet, _ = self.due.pop(0)
            if packet.updates:
                self.updating = packet, 0, ()
                self.next_group(0)
            if packet is self.present and self.phase == "wait":
                self.phase = "gradient" if packet.updates else "idle"
        for name in self.skips:
            self.skips[name] += ctx.get(dut.work[name])
        if ctx.get(dut.release):
            # The list has been used to its end, and its sample is done.
            assert self.place == 0
            assert not self.updating
            self.released += 1
            self.phase = "idle"

    def check_moves(self, ctx):
        move, dut = ctx.get(self.dut.move), self.dut
        if move.load or move.read:
            assert self.phase in ("move", "initialise")
            assert not self.due
            assert self.moves or self.phase == "initialise" or self.clock > self.written + RELOAD
            assert ctx.get(dut.read_room.space) or not move.read
            seen = self.moved if self.phase == "initialise" else self.seen
            seen.append(("load" if move.load else "read", move.lane, move.addr))
            self.moves += 1
        if move.load:
            self.written = self.clock
        if move.read:
            self.delivered = self.clock + self.rng.randint(1, 9)
        # That the last is where it belongs is known a clock later.
        done = self.moves == self.plan.layer.weights and self.clock > self.written
        if self.phase == "initialise" and done:
            self.phase = "idle"

    def check_packets(self, ctx):
        dut = self.dut
        for port, record in (dut.passed_on, self.passed), (dut.record, self.recorded):
            if ctx.get(port.valid) and ctx.get(port.ready):
                header = ctx.get(port.p)
                record.append((header.command, header.label))
                assert self.clock >= self.delivered
                if record is self.recorded:
                    self.phase = "idle"
        if ctx.get(dut.packet.valid) and ctx.get(dut.packet.ready):
            assert self.phase == "idle"
            self.present = self.waiting.pop(0)
            self.moves = 0
            if self.present.sample:
                assert len(self.due) < IN_FLIGHT
                assert ctx.get(dut.step.clear)
                self.due.append([self.present, None])
            else:
                self.phase = "move"
            return True
        return False

    async def bench(self, ctx):
        dut, quiet = self.dut, 0
        while quiet < 20:
            self.inputs(ctx)
            activity = ctx.get(dut.work.activity)
            expected = self.expected_activity(ctx)
            assert activity == expected, (self.clock, self.phase)
            self.activities.append(activity)
            taken = self.check_packets(ctx)
            self.check_step(ctx, ctx.get(dut.step), activity)
            self.check_moves(ctx)
            self.check_update(ctx)
            quiet = 0 if self.waiting or self.phase != "idle" or self.due else quiet + 1
            await ctx.tick()
            self.clock += 1
            if taken:
                ctx.set(dut.packet.valid, 0)

    def run(self):
        packets = list(self.waiting)
        simulate(self.dut, self.bench)
        p = self.plan
        assert self.moved == [("load", lane, addr) for lane, addr, _ in places(p.layer)]
        assert self.seen == [step for packet in packets for step in packet.steps(p)]
        headers = [(packet.command, packet.label) for packet in packets]
        assert self.passed == headers
        assert self.recorded == [
            header for header, packet in zip(headers, packets, strict=True) if not packet.sample
        ]
        assert self.released == len(self.lengths)
        assert self.skips == {
            "update_skipped": sum(k.trains and not k.updates for k in packets),
            "group_skipped": sum(k.groups.count(False) for k in packets if k.updates),
        }


@given(
    inputs=st.integers(1, 5),
    neurons=st.integers(1, 12),
    lanes=st.integers(1, 20),
    pace=st.sampled_from([0.4, 0.9, 1]),
    tail=st.sampled_from([1, 30]),
    seed=st.integers(0, 2**32),
)
@settings(deadline=None, max_examples=25)
def test_packets(inputs, neurons, lanes, pace, tail, seed):
    """Packets of every kind, lists of every length, errors and groups of which some are 0."""
    rng = random.Random(seed)
    p = plan(inputs=inputs, neurons=neurons, lanes=lanes)
    packets = [
        Packet(
            rng.choice([Command.TRAIN, Command.TRAIN, Command.INFER, *Command]),
            rng.randrange(3),
            length=rng.choice([1, rng.randint(1, p.layer.columns), p.layer.columns]),
            updates=rng.random() < 0.7,
            groups=[rng.random() < rng.choice([0, 0.6, 1]) for _ in range(p.groups)],
        )
        for _ in range(14)
    ]
    World(p, packets, rng, pace=pace, tail=tail).run()


def runs(world):
    """Activities that follow each other, with their clocks, initialisation apart."""
    kinds = [(kind.name, len(list(clocks))) for kind, clocks in groupby(world.activities)]
    assert kinds[0][0] == "OTHER"
    return kinds[1:]


def test_inference_does_not_wait():
    """Samples that do not train follow each other at once, as long as few errors are due."""
    p = plan(inputs=7, neurons=4, lanes=2)
    world = World(p, [Packet(Command.INFER, length=8)] * 6, random.Random(1), tail=8)
    world.run()
    first, *kinds, _idle = runs(world)
    # One more of the empty slots has passed by the time the initialisation has ended.
    assert first == ("GAP", WRITE_TO_READ - 2)
    assert kinds == [("FORWARD", 8), *11 * [("GAP", 1), ("FORWARD", 8)]]


@pytest.mark.parametrize("lanes", [4, 18])
def test_samples_in_flight(lanes):
    """No more samples begin than errors may be on their way, however late these are."""
    p = plan(inputs=2, neurons=lanes, lanes=lanes)
    world = World(p, [Packet(Command.INFER)] * 8, random.Random(1), tail=100)
    world.run()
    assert "STALL_OUTPUT" in dict(runs(world))


def test_clocks_of_training():
    """Errors that are all 0 end a sample at once; others lead to U events two clocks later."""
    p, rng = plan(inputs=2, neurons=6, lanes=2), random.Random(1)
    groups = [(), [True] * 3, [False, True, False], [False] * 3]
    packets = [Packet(Command.TRAIN, length=3, updates=bool(g), groups=g) for g in groups]
    world = World(p, packets, rng)
    world.run()
    # The sums are cleared in the last of the empty slots between a U event and an F event.
    empty, first = (("GAP", WRITE_TO_READ - k) for k in (1, 2))
    forward = [("FORWARD", 3), *2 * [("GAP", 1), ("FORWARD", 3)]]
    assert runs(world)[:-1] == [
        *(first, *forward, ("STALL_ERROR", 1)),
        *(("GAP", 1), *forward, ("STALL_ERROR", 2), ("UPDATE", 9)),
        # Groups of zeros take a clock each, or none while another is updated.
        *(empty, *forward, ("STALL_ERROR", 3), ("UPDATE", 3)),
        *(empty, *forward, ("STALL_ERROR", 5)),
    ]
