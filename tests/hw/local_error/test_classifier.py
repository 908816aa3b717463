# SPDX-License-Identifier: BSD-2-Clause
"""The classifier against the contract: scores of samples with gaps, and without any between."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw.local_error.classifier import Classifier
from hw.ports import Command
from tests.hw.bench import drawn, plan, simulate

PLANS = st.builds(
    plan,
    neurons=st.integers(1, 60),
    lanes=st.sampled_from([1, 3, 4, 7, 16, 24, 48, 64]),  # 1 to 4 neurons a beat
    classes=st.integers(2, 26),
    mb=st.integers(1, 4),
    seed=st.integers(0, 2**32),
    init=st.sampled_from(["uniform", "gauss"]),
)


def scores(layer, y):
    rows = drawn(layer, 1)
    return [sum(rows[n][c] * y[n] for n in range(layer.neurons)) for c in range(layer.classes)]


def feed(plan, samples, rng, gap):
    """Send samples; `delay` clocks after its last beat come the scores of each, and stay."""
    dut = Classifier(plan=plan)
    ended, clock, seen = [], 0, []
    headers = [
        {"command": rng.choice([Command.TRAIN, Command.INFER]), "label": rng.randrange(2)}
        for _ in samples
    ]

    async def stimulus(ctx):
        nonlocal clock
        for y, header in zip(samples, headers, strict=True):
            lanes = [*y, *[0] * (plan.sample_beats * plan.drain_width - len(y))]
            for beat in range(plan.sample_beats):
                while rng.random() < gap:
                    ctx.set(dut.activations.valid, 0)
                    ctx.set(dut.activations.payload.last, rng.randrange(2))
                    await ctx.tick()
                    clock += 1
                ctx.set(dut.activations.valid, 1)
                ctx.set(dut.activations.payload.last, beat == plan.sample_beats - 1)
                y_beat = lanes[beat * plan.drain_width : (beat + 1) * plan.drain_width]
                ctx.set(dut.activations.payload.y, y_beat)
                ctx.set(dut.activations.payload.header, header)
                await ctx.tick()
                clock += 1
            ended.append(clock - 1)
        ctx.set(dut.activations.valid, 0)
        await ctx.tick().repeat(dut.delay + 2)

    async def check(ctx):
        expected, now = None, 0
        async for *_, valid, payload in ctx.tick().sample(dut.scores.valid, dut.scores.payload):
            if valid:
                seen.append(now)
                expected = scores(plan.layer, samples[len(seen) - 1])
            if expected is not None:
                header = headers[len(seen) - 1]
                assert list(payload.s) == expected
                assert payload.header.command == header["command"]
                assert payload.header.label == header["label"]
            now += 1

    simulate(dut, stimulus, background=[check])
    assert seen == [clock + dut.delay for clock in ended]
    return dut


@given(plan=PLANS, seed=st.integers(0, 2**32), gap=st.sampled_from([0, 0.3]))
@settings(deadline=None, max_examples=15)
def test_scores(plan, seed, gap):
    rng = random.Random(seed)
    samples = [
        [rng.choice([0, 255, rng.randrange(256)]) for _ in range(plan.layer.neurons)]
        for _ in range(4)
    ]
    feed(plan, samples, rng, gap)


@pytest.mark.parametrize("mb", range(1, 9))
@pytest.mark.parametrize("init", ["uniform", "gauss"])
def test_extremes(init, mb):
    """Activations that drive a score as far up and down as they can."""
    p = plan(neurons=40, lanes=32, classes=2, mb=mb, init=init)
    positive = [255 * (row[0] > 0) for row in drawn(p.layer, 1)]
    feed(p, [positive, [255 - y for y in positive], [255] * 40, [0] * 40], random.Random(0), 0)


def test_delay():
    """The serial tail of a step is short."""
    p = plan(neurons=64, lanes=64, classes=10, mb=2)
    assert feed(p, [[1] * 64], random.Random(0), 0).delay <= 6
