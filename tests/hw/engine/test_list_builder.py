# SPDX-License-Identifier: BSD-2-Clause
"""The list builder: every input that is not 0 once, in order, the bias at the end, in any beats."""

import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw.engine.list_builder import PACKETS, ListBuilder
from hw.ports import Command
from tests.hw.bench import entries, plan, simulate

SAMPLES = (Command.TRAIN, Command.INFER)


def dense(x, width):
    """Split inputs into beats that touch: (gap, inputs)."""
    return [(width * (k > 0), x[k : k + width]) for k in range(0, len(x), width)]


def listed(x):
    """Put each input that is not 0 into a beat of its own; a sample without any is one beat."""
    places = [j for j, value in enumerate(x) if value] or [0]
    return [(j - before, [x[j]]) for before, j in zip([0, *places[:-1]], places, strict=True)]


def scattered(x, width, rng):
    """Put the inputs into beats anywhere, some of which overlap, some of which are empty."""
    beats, before, free = [], 0, 0  # columns below `free` have been sent
    while not beats or any(x[free:]):
        first = next((j for j in range(free, len(x)) if x[j]), len(x) - 1)
        base = rng.randint(max(before, first - width + 1), first)
        if rng.random() < 0.2:
            base, end = before, free
        else:
            end = rng.randint(first + 1, base + width)
        values = [x[j] if free <= j < end and j < len(x) else 0 for j in range(base, base + width)]
        beats.append((base - before, values))
        before, free = base, max(free, end)
    return beats


def sample(rng, inputs, density):
    return [rng.choice([1, 255]) if rng.random() < density else 0 for _ in range(inputs)]


def padded(beat, width):
    gap, values = beat
    return gap, [*values, *[0] * width][:width]


class World:
    """Sends packets in beats, takes packets and releases lists, each at its own pace.

    A packet is (command, label, beats). In `accepted` are the clocks in which beats were taken, in
    `lists` the lists, in `packets` (clock, command, label), in `ended` and `released` clocks.
    """

    def __init__(self, p, *, width, lists, packets, rng, send=1.0, take=1.0, release=1.0):
        self.dut = ListBuilder(plan=p, width=width, lists=lists)
        self.sent, self.rng, self.pace = packets, rng, (send, take, release)
        self.accepted, self.lists, self.packets = [], [], []
        self.ended, self.released = [], []
        self.beats = [
            (command, label, k == len(beats) - 1, *padded(beat, width))
            for command, label, beats in packets
            for k, beat in enumerate(beats)
        ]

    async def bench(self, ctx):
        dut, rng = self.dut, self.rng
        send, take, release = self.pace
        clock, offered, present, begun = 0, False, [], 0
        while len(self.packets) < len(self.sent):
            if not offered and len(self.accepted) < len(self.beats) and rng.random() < send:
                command, label, last, gap, x = self.beats[len(self.accepted)]
                header = {"command": command, "label": label}
                ctx.set(dut.i.p, {"header": header, "last": last, "gap": gap, "x": x})
                ctx.set(dut.i.valid, 1)
                offered = True
            ctx.set(dut.packet.ready, rng.random() < take)
            # A list that has been begun, or that is begun in this clock, may be done with.
            ready = ctx.get(dut.packet.valid) and ctx.get(dut.packet.ready)
            begins = ready and ctx.get(dut.packet.p.command) in SAMPLES
            free = len(self.released) < begun + begins and rng.random() < release
            ctx.set(dut.release, free)
            if free:
                self.released.append(clock)
            if ctx.get(dut.entry.valid):
                present.append((ctx.get(dut.entry.p.column), ctx.get(dut.entry.p.x)))
            if ctx.get(dut.ended):
                assert ctx.get(dut.entry.valid)
                self.lists.append(present)
                self.ended.append(clock)
                present = []
            if ready:
                header = ctx.get(dut.packet.p)
                self.packets.append((clock, header.command, header.label))
                begun += begins
                # The whole list is there.
                assert begun <= len(self.ended)
            if offered and ctx.get(dut.i.ready):
                self.accepted.append(clock)
                offered = False
            await ctx.tick()
            clock += 1
            if not offered:
                ctx.set(dut.i.valid, 0)
        assert not present
        for _ in range(3):
            assert not ctx.get(dut.entry.valid)
            await ctx.tick()


@given(
    inputs=st.integers(1, 24),
    width=st.integers(1, 9),
    lists=st.integers(2, 3),
    signed=st.booleans(),
    seed=st.integers(0, 2**32),
)
@settings(deadline=None, max_examples=30)
def test_packets(inputs, width, lists, signed, seed):
    """Samples in beats of every kind, full, empty and between, with commands among them."""
    rng = random.Random(seed)
    fx = rng.randint(4, 8)
    p = plan(inputs=inputs, fx=fx, fw=8, lr=8, signed_inputs=signed)
    packets, expected = [], []
    for _ in range(12):
        command, label = rng.choice([*SAMPLES * 2, *Command]), rng.randrange(3)
        x = sample(rng, inputs, rng.choice([0, 0.2, 1]))
        if command in SAMPLES:
            beats = rng.choice([dense(x, width), listed(x), scattered(x, width, rng)])
            # As an entry shows it, 255 is -1 where inputs are signed.
            value = {0: 0, 1: 1, 255: -1 if signed else 255}
            expected.append(entries(p, [value[v] for v in x]))
        else:
            beats = [(rng.randrange(inputs), [rng.randrange(256) for _ in range(width)])]
        packets.append((command, label, beats))
    world = World(
        p, width=width, lists=lists, packets=packets, rng=rng,
        send=rng.choice([0.3, 1]), take=rng.choice([0.1, 1]), release=rng.choice([0.05, 1]),
    )  # fmt: skip
    simulate(world.dut, world.bench)
    assert world.lists == expected
    assert [seen[1:] for seen in world.packets] == [sent[:2] for sent in packets]
    # As many lists as there is space for, that which arrives included.
    firsts = [
        world.accepted[k]
        for k, first in enumerate(start(packets))
        if first and world.beats[k][0] in SAMPLES
    ]
    for k in range(lists, len(firsts)):
        assert firsts[k] > world.released[k - lists]


def start(packets):
    """Mark the first beats of packets."""
    return [k == 0 for *_, beats in packets for k in range(len(beats))]


@pytest.mark.parametrize("width", [1, 3, 8])
def test_clocks(width):
    """A beat takes a clock for each of its entries, at least one; the last comes a clock later."""
    rng, p = random.Random(width), plan(inputs=16)
    packets, clocks = [], []
    for k in range(30):
        x = sample(rng, 16, rng.choice([0, 0.3, 1]))
        command = [Command.TRAIN, Command.INFER, Command.READ][k % 3]
        beats = dense(x, width) if k % 3 < 2 else [(3, [9] * width)]
        packets.append((command, 0, beats))
        for j, (_, values) in enumerate(beats):
            written = sum(v > 0 for v in values) + (j == len(beats) - 1)
            clocks.append(max(written, 1) if k % 3 < 2 else 1)
    world = World(p, width=width, lists=2, packets=packets, rng=rng)
    simulate(world.dut, world.bench)
    taken = world.accepted
    assert [b - a for a, b in pairwise(taken)] == clocks[:-1]
    # Its packet is shown with the last entry, and taken in the same clock.
    ends = [clock for clock, command, _ in world.packets if command in SAMPLES]
    assert ends == world.ended
    ends = [t + c for t, c, last in zip(taken, clocks, world.beats, strict=True) if last[2]]
    assert [clock for clock, *_ in world.packets] == [end + 1 for end in ends]


def test_full():
    """As many lists as are kept, and no beat more; a command passes; a release makes room."""
    dut = ListBuilder(plan=plan(inputs=2), width=2, lists=2)

    async def bench(ctx):
        ctx.set(dut.i.valid, 1)
        ctx.set(dut.packet.ready, 1)
        ctx.set(dut.i.p, {"last": 1, "x": [0, 0]})
        for command, space in [
            (Command.TRAIN, 1), (Command.INFER, 1), (Command.TRAIN, 0), (Command.INFER, 0),
            (Command.READ, 1), (Command.LOAD, 1), (Command.TRAIN, 0),
        ]:  # fmt: skip
            ctx.set(dut.i.p.header.command, command)
            assert ctx.get(dut.i.ready) == space, command
            await ctx.tick()
        ctx.set(dut.release, 1)
        assert not ctx.get(dut.i.ready)
        await ctx.tick()
        ctx.set(dut.release, 0)
        for space in 1, 0, 0:
            assert ctx.get(dut.i.ready) == space
            await ctx.tick()

    simulate(dut, bench)


def test_packets_that_nobody_takes():
    """One more than the queue holds finds room; its last entry waits with it, the others do not."""
    lists = 3
    dut = ListBuilder(plan=plan(inputs=2), width=2, lists=lists)

    async def bench(ctx):
        seen = []

        async def clock():
            if ctx.get(dut.entry.valid):
                seen.append(ctx.get(dut.entry.p.column))
            await ctx.tick()

        ctx.set(dut.i.valid, 1)
        ctx.set(dut.i.p, {"header": {"command": Command.READ, "label": 0}, "last": 1})
        for _ in range(lists + PACKETS):
            assert ctx.get(dut.i.ready)
            await clock()
        sample = {"command": Command.TRAIN, "label": 0}
        ctx.set(dut.i.p, {"header": sample, "last": 1, "x": [1, 1]})
        assert ctx.get(dut.i.ready)
        await clock()
        for _ in range(5):
            assert not ctx.get(dut.i.ready)
            await clock()
        assert seen == [0, 1]
        ctx.set(dut.packet.ready, 1)
        await clock()
        for _ in range(3):
            await clock()
        assert seen[2] == 2

    simulate(dut, bench)
