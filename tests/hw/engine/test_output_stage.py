# SPDX-License-Identifier: BSD-2-Clause
"""The output stage: every neuron once, missing ones as 0, commands after samples, stalls."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from hw.engine.output_stage import OutputStage
from hw.ports import Command
from tests.hw.bench import plan, simulate


@given(neurons=st.integers(1, 60), lanes=st.integers(1, 40), seed=st.integers(0, 2**32))
@settings(deadline=None, max_examples=30)
def test_samples_and_commands(neurons, lanes, seed):
    rng = random.Random(seed)
    layer = plan(neurons=neurons, lanes=lanes)
    dut = OutputStage(plan=layer)
    drain, total = layer.drain_width, layer.sample_beats * layer.drain_width
    packets = [
        (rng.choice([Command.TRAIN, Command.INFER, Command.FLUSH]), rng.randrange(3))
        for _ in range(8)
    ]
    samples = [
        (p, [rng.randrange(256) for _ in range(total)]) for p in packets if p[0] != Command.FLUSH
    ]
    seen, passed, pace = [], [], rng.choice([0.2, 0.9])
    ended = []

    async def lanes_and_sequencer(ctx):
        remaining = iter(samples)
        for command, label in packets:
            header = {"command": command, "label": label}
            if command == Command.FLUSH:
                ctx.set(dut.command.payload, header)
                ctx.set(dut.command.valid, 1)
                await ctx.tick().until(dut.command.ready)
                ctx.set(dut.command.valid, 0)
                continue
            ctx.set(dut.header, header)
            done = len(seen) + layer.sample_beats
            y = next(remaining)[1]
            for group in range(layer.groups):
                while not ctx.get(dut.space):
                    await ctx.tick()
                ctx.set(dut.reserve, 1)
                await ctx.tick()
                ctx.set(dut.reserve, 0)
                for index in range(layer.beats):
                    first = group * lanes + index * drain
                    ctx.set(dut.i, {"valid": 1, "y": y[first : first + drain]})
                    await ctx.tick()
                    ctx.set(dut.i, {"valid": 0})
            while len(seen) < done:
                await ctx.tick()
        await ctx.tick().repeat(5)
        ended.append(True)

    async def downstream(ctx):
        was_stalled = False
        while not ended:
            ctx.set(dut.o.ready, rng.random() < pace)
            ready = rng.random() < 0.5
            # It stays until the sample's last beat has come.
            if not ctx.get(dut.sample_ready):
                ctx.set(dut.sample_ready, ready)
            _clock, _reset, o, o_ready, beat, y_valid, y_last, y, stalled = await ctx.tick().sample(
                dut.o.valid, dut.o.ready, dut.o.payload, dut.y_valid, dut.y_last, dut.y, dut.blocked
            )
            if o and o_ready:
                passed.append((beat.header.command, beat.header.label, list(beat.x)))
            if y_valid:
                seen.append((list(y), y_last))
                if y_last:
                    ctx.set(dut.sample_ready, 0)
            assert not (was_stalled and y_valid)
            was_stalled = stalled

    simulate(dut, lanes_and_sequencer, downstream)
    expected_seen, expected_passed = [], []
    remaining = iter(samples)
    for command, label in packets:
        if command == Command.FLUSH:
            expected_passed.append((command, label, None))
            continue
        y = next(remaining)[1]
        y = [v if n < neurons else 0 for n, v in enumerate(y)]
        beats = [y[first : first + drain] for first in range(0, total, drain)]
        expected_seen += [(b, i == len(beats) - 1) for i, b in enumerate(beats)]
        expected_passed += [(command, label, b) for b in beats[: layer.output_beats]]
    assert seen == expected_seen
    assert [p[:2] for p in passed] == [p[:2] for p in expected_passed]
    assert all(e[2] in (None, p[2]) for p, e in zip(passed, expected_passed, strict=True))


def test_blocked():
    """The next layer blocks a beat, then the sample does that is not ready."""
    dut = OutputStage(plan=plan(neurons=1, lanes=1))

    async def bench(ctx):
        ctx.set(dut.reserve, 1)
        await ctx.tick()
        ctx.set(dut.reserve, 0)
        ctx.set(dut.i.valid, 1)
        await ctx.tick()
        ctx.set(dut.i.valid, 0)
        assert not ctx.get(dut.blocked)
        await ctx.tick().repeat(2)
        for passed_on, ready in (0, 0), (0, 1), (1, 0):
            ctx.set(dut.o.ready, passed_on)
            ctx.set(dut.sample_ready, ready)
            assert ctx.get(dut.blocked)
            assert not ctx.get(dut.y_valid)
            await ctx.tick()
        ctx.set(dut.sample_ready, 1)
        assert not ctx.get(dut.blocked)
        await ctx.tick()
        assert ctx.get(dut.y_valid)
        assert ctx.get(dut.y_last)

    simulate(dut, bench)
