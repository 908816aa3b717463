# SPDX-License-Identifier: BSD-2-Clause
"""The error unit against the contract, for scores near and far from the margin."""

import random

import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from hw.local_error.error_unit import ErrorUnit
from hw.plan import PlanError
from hw.ports import Command
from tests.hw.bench import clip, plan, simulate


@st.composite
def plans(draw):
    fy = draw(st.integers(0, 8))
    try:
        return plan(
            neurons=draw(st.integers(1, 60)),
            classes=draw(st.integers(2, 26)),
            mb=draw(st.integers(1, 4)),
            fe=draw(st.integers(1, 8)),
            fy=fy,
            ms=draw(st.integers(max(-fy, -2), 8)),
        )
    except PlanError:
        # The local errors are wider than a multiplier.
        reject()


def errors(layer, s, label):
    """Follow the contract word by word."""
    k = layer.fy + layer.ms - layer.fe
    e = []
    for c, score in enumerate(s):
        t = 1 if c == label else -1
        v = max(0, 2 ** (layer.fy + layer.ms) - t * score)
        r = (v + (1 << (k - 1))) >> k if k >= 1 else v << -k
        e.append(-t * min(r, 2**layer.fe - 1))
    return e


def feed(plan, samples, rng, *, made=ErrorUnit, errors=errors, early=False):
    """Send (command, label, scores); `e` must be right after `delay` clocks, and must stay.

    `early` says that it need not stay while those of the next scores are made.
    """
    dut = made(plan=plan)

    async def bench(ctx):
        shown, update = [0] * plan.layer.classes, False
        for command, label, s in samples:
            ctx.set(dut.scores.payload.s, s)
            ctx.set(dut.scores.payload.header, {"command": command, "label": label})
            ctx.set(dut.scores.valid, 1)
            for _ in range(dut.delay):
                assert not ctx.get(dut.errors.valid)
                if not early:
                    assert list(ctx.get(dut.errors.payload.e)) == shown
                    assert ctx.get(dut.errors.payload.update) == update
                await ctx.tick()
                ctx.set(dut.scores.valid, 0)
            shown = [0] * len(s) if command != Command.TRAIN else errors(plan.layer, s, label)
            update = any(shown)
            assert ctx.get(dut.errors.valid)
            assert list(ctx.get(dut.errors.payload.e)) == shown
            assert ctx.get(dut.errors.payload.update) == update
            for _ in range(rng.randrange(1, 4)):
                await ctx.tick()
                # What follows is not valid yet.
                ctx.set(dut.scores.payload.s, [score // 2 for score in s])
                ctx.set(dut.scores.payload.header.command, Command.TRAIN)
                assert not ctx.get(dut.errors.valid)
                assert list(ctx.get(dut.errors.payload.e)) == shown
                assert ctx.get(dut.errors.payload.update) == update

    simulate(dut, bench)


@given(plan=plans(), seed=st.integers(0, 2**32))
@settings(deadline=None, max_examples=30)
def test_errors(plan, seed):
    rng, layer = random.Random(seed), plan.layer
    bound = (2**layer.mb - 1) * 255 * layer.neurons
    margin = 1 << (layer.fy + layer.ms)
    step = 1 << max(layer.fy + layer.ms - layer.fe, 0)

    def score():
        near = rng.choice([-1, 1]) * margin + rng.randint(-2 * step, 2 * step)
        return rng.choice(
            [
                -bound,
                bound,
                rng.randint(-bound, bound),
                clip(rng.randint(-2 * margin, 2 * margin), -bound, bound),
                clip(near, -bound, bound),
            ]
        )

    samples = [
        (
            rng.choice([Command.TRAIN] * 3 + list(Command)),
            rng.randrange(layer.classes),
            [score() for _ in range(layer.classes)],
        )
        for _ in range(20)
    ]
    feed(plan, samples, rng)


@pytest.mark.parametrize(
    "formats",
    [{}, {"fy": 0, "ms": 0, "fe": 8}, {"fy": 2, "ms": -2, "fe": 3}, {"fy": 3, "ms": 1, "fe": 4}],
)
def test_every_score(formats):
    """All scores of a small layer, and so every rounding and the limit, for both signs of t."""
    p = plan(neurons=1, classes=2, mb=2, **formats)
    samples = [(Command.TRAIN, 0, [s, s]) for s in range(-3 * 255, 3 * 255 + 1)]
    feed(p, samples, random.Random(0))


def test_update():
    """Errors that are all 0 change nothing, one that is not does, whichever class has it."""
    p = plan(neurons=20, classes=3)
    met = 1 << p.layer.fy + p.layer.ms
    right = [met, -met, -met]
    samples = [(Command.TRAIN, 0, right)]
    assert not any(errors(p.layer, right, 0))
    for c in range(3):
        wrong = [s if k != c else s // 2 for k, s in enumerate(right)]
        assert sum(map(bool, errors(p.layer, wrong, 0))) == 1
        samples += [(Command.TRAIN, 0, wrong), (Command.TRAIN, 0, right), (Command.INFER, 0, wrong)]
    feed(p, samples, random.Random(0))


def test_delay():
    """The serial tail of a step is short."""
    assert ErrorUnit.delay <= 3
