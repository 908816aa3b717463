# SPDX-License-Identifier: BSD-2-Clause
"""The output stage: every neuron once, missing ones as 0, commands after samples, stalls."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from hw.engine.output_stage import OutputStage
from hw.parts.lfsr import bits
from hw.ports import Command
from tests.hw.bench import plan, simulate


def dropped(layer, samples):
    """Drop neurons of samples (command, y) as the contract says."""
    k, place, left = layer.dropout, 0, []
    for command, y in samples:
        if command == Command.TRAIN and k:
            fields = bits(layer.seeds[3], place, 3 * layer.neurons)
            place += 3 * layer.neurons
            y = [0 if (fields >> 3 * n & 7) < k else v for n, v in enumerate(y)]
        elif k:
            y = [v * (8 - k) >> 3 for v in y]
        left.append(y)
    return left


@given(
    neurons=st.integers(1, 60),
    lanes=st.integers(1, 40),
    dropout=st.sampled_from([0, 0, *range(1, 8)]),
    seed=st.integers(0, 2**32),
)
@settings(deadline=None, max_examples=40)
def test_samples_and_commands(neurons, lanes, dropout, seed):
    rng = random.Random(seed)
    layer = plan(neurons=neurons, lanes=lanes, dropout=dropout)
    dut = OutputStage(plan=layer)
    drain, total = layer.drain_width, layer.sample_beats * layer.drain_width
    packets = [
        (rng.choice([Command.TRAIN, Command.INFER, Command.READ]), rng.randrange(3))
        for _ in range(8)
    ]
    samples = [
        (p, [rng.randrange(256) for _ in range(total)]) for p in packets if p[0] != Command.READ
    ]
    seen, passed, pace = [], [], rng.choice([0.2, 0.9])
    ended, reserved = [], []

    async def lanes_and_sequencer(ctx):
        remaining = iter(samples)
        for command, label in packets:
            ctx.set(dut.packet.payload, {"command": command, "label": label})
            ctx.set(dut.packet.valid, 1)
            await ctx.tick().until(dut.packet.ready)
            ctx.set(dut.packet.valid, 0)
            # What stands here now is of no matter.
            ctx.set(dut.packet.payload, {"command": rng.choice(list(Command)), "label": 2 - label})
            if command == Command.READ:
                continue
            done = len(seen) + layer.sample_beats
            y = next(remaining)[1]
            for group in range(layer.groups):
                while not ctx.get(dut.room.space):
                    await ctx.tick()
                ctx.set(dut.room.reserve, 1)
                await ctx.tick()
                ctx.set(dut.room.reserve, 0)
                for index in range(layer.beats):
                    first = group * lanes + index * drain
                    ctx.set(dut.i.payload, y[first : first + drain])
                    ctx.set(dut.i.valid, 1)
                    await ctx.tick()
                    ctx.set(dut.i.valid, 0)
            while len(seen) < done:
                await ctx.tick()
        commands = len(packets) - len(samples)
        while len(passed) < commands + len(samples) * layer.output_beats:
            await ctx.tick()
        await ctx.tick().repeat(5)
        ended.append(True)

    async def downstream(ctx):
        was_stalled = False
        while not ended:
            ctx.set(dut.o.ready, rng.random() < pace)
            ready = rng.random() < 0.5
            # It stays until the sample's last beat reserves it.
            if not ctx.get(dut.score_room.space):
                ctx.set(dut.score_room.space, ready)
            (
                _clock,
                _reset,
                o,
                o_ready,
                beat,
                valid,
                activation,
                reserve,
                stalled,
            ) = await ctx.tick().sample(
                dut.o.valid,
                dut.o.ready,
                dut.o.payload,
                dut.activations.valid,
                dut.activations.payload,
                dut.score_room.reserve,
                dut.blocked,
            )
            if reserve:
                reserved.append(len(seen) + valid)
                ctx.set(dut.score_room.space, 0)
            if o and o_ready:
                header = beat.header.command, beat.header.label
                passed.append((*header, beat.last, (beat.gap, list(beat.x))))
            if valid:
                header = activation.header
                seen.append((list(activation.y), activation.last, header.command, header.label))
            assert not (was_stalled and valid)
            was_stalled = stalled

    simulate(dut, lanes_and_sequencer, downstream)
    expected_seen, expected_passed = [], []
    remaining = iter(dropped(layer.layer, [(p[0], y[:neurons]) for p, y in samples]))
    for command, label in packets:
        if command == Command.READ:
            expected_passed.append((command, label, 1, None))
            continue
        y = [*next(remaining), *[0] * (total - neurons)]
        beats = [y[first : first + drain] for first in range(0, total, drain)]
        expected_seen += [(b, i == len(beats) - 1, command, label) for i, b in enumerate(beats)]
        expected_passed += [
            (command, label, i == layer.output_beats - 1, (drain * (i > 0), b))
            for i, b in enumerate(beats[: layer.output_beats])
        ]
    assert seen == expected_seen
    # The last beat of each sample reserves room, a clock before it is seen.
    assert reserved == [i for i, (_, last, *_) in enumerate(seen) if last]
    assert [p[:3] for p in passed] == [p[:3] for p in expected_passed]
    # The inputs of a command are of no matter.
    assert all(e[3] in (None, p[3]) for p, e in zip(passed, expected_passed, strict=True))


def test_activations_wait_for_a_command():
    """Those of the next sample may be there before the next layer takes a command."""
    dut = OutputStage(plan=plan(neurons=1, lanes=2))
    passed, shown = [], []

    async def lanes_and_sequencer(ctx):
        ctx.set(dut.score_room.space, 1)
        ctx.set(dut.room.reserve, 1)
        await ctx.tick()
        ctx.set(dut.room.reserve, 0)
        for command in Command.READ, Command.TRAIN:
            ctx.set(dut.packet.payload, {"command": command})
            ctx.set(dut.packet.valid, 1)
            if command == Command.TRAIN:
                ctx.set(dut.i.payload, [7])
                ctx.set(dut.i.valid, 1)
                await ctx.tick().repeat(dut.plan.beats)
                ctx.set(dut.i.valid, 0)
                await ctx.tick().repeat(3)
                assert not shown
                ctx.set(dut.o.ready, 1)
            await ctx.tick().until(dut.packet.ready)
            ctx.set(dut.packet.valid, 0)
        await ctx.tick().repeat(5)

    async def downstream(ctx):
        taps = dut.o.valid & dut.o.ready, dut.o.p.header, dut.activations.valid, dut.activations.p
        async for _clock, _reset, leaves, header, valid, beat in ctx.tick().sample(*taps):
            if leaves:
                passed.append(header.command)
            if valid:
                shown.append((beat.header.command, list(beat.y)))

    simulate(dut, lanes_and_sequencer, background=[downstream])
    assert passed == [Command.READ, Command.TRAIN]
    assert shown == [(Command.TRAIN, [7]), (Command.TRAIN, [0])]


def test_blocked():
    """The next layer blocks a beat, then missing room for the scores does."""
    dut = OutputStage(plan=plan(neurons=1, lanes=1))

    async def bench(ctx):
        ctx.set(dut.room.reserve, 1)
        await ctx.tick()
        ctx.set(dut.room.reserve, 0)
        ctx.set(dut.packet.valid, 1)
        ctx.set(dut.i.valid, 1)
        await ctx.tick()
        ctx.set(dut.packet.valid, 0)
        ctx.set(dut.i.valid, 0)
        assert not ctx.get(dut.blocked)
        await ctx.tick().repeat(2)
        for passed_on, ready in (0, 0), (0, 1), (1, 0):
            ctx.set(dut.o.ready, passed_on)
            ctx.set(dut.score_room.space, ready)
            assert ctx.get(dut.blocked)
            assert not ctx.get(dut.activations.valid)
            await ctx.tick()
        ctx.set(dut.score_room.space, 1)
        assert not ctx.get(dut.blocked)
        await ctx.tick()
        assert ctx.get(dut.activations.valid)
        assert ctx.get(dut.activations.payload.last)

    simulate(dut, bench)
