# SPDX-License-Identifier: BSD-2-Clause
"""The draws of stochastic rounding against the contract."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw.engine.draws import Draws
from hw.parts.lfsr import bits
from tests.hw.bench import plan, simulate


def check(p, rng, steps=12):
    """Draw for lists of any length, for several groups each, with pauses, at any rate."""
    dut, seed, position = Draws(plan=p), p.layer.seeds[4], 0

    async def draw(ctx, k, at, **flags):
        while rng.random() < 0.2:
            await ctx.tick()
        for name in "draw", "first", "again":
            ctx.set(getattr(dut, name), flags.get(name, 1))
        await ctx.tick()
        for name in "draw", "first", "again":
            ctx.set(getattr(dut, name), 0)
        assert ctx.get(dut.o) >> p.update_shift - k == bits(seed, at, k)
        assert k <= 0 or bits(seed, at, k) < 1 << k

    async def bench(ctx):
        nonlocal position
        for _ in range(steps):
            left = rng.choice(p.left_shape)
            ctx.set(dut.left, left)
            k = max(p.update_shift - left, 0)
            count, groups = rng.randint(1, 9), rng.randint(1, 3)
            # A list that is drawn for no group has no first one.
            alone = rng.random() < 0.3
            for group in range(1 if alone else groups):
                for i in range(count):
                    first = i == 0 and group == 0 and not alone
                    await draw(ctx, k, position + i * k, first=first, again=i == 0 < group)
            position += count * k

    simulate(dut, bench)


@given(
    lr=st.integers(0, 24),
    fe=st.integers(1, 9),
    fw=st.integers(1, 14),
    growth=st.integers(0, 5),
    seed=st.integers(0, 2**32),
)
@settings(deadline=None, max_examples=15)
def test_fields(lr, fe, fw, growth, seed):
    lr = max(lr, fw - fe - 7 - growth)
    p = plan(wb=8, sr=True, lr=lr, fe=fe, fw=fw, fx=8, ms=fe, lr_growth=growth, seed=seed)
    check(p, random.Random(seed))


@pytest.mark.parametrize("shift", [1, 44])
def test_ends_of_the_range(shift):
    """One bit at the lowest rate, so none at others; and the most that there can be."""
    keys = {"lr": 0, "fe": 1, "fw": 11} if shift == 1 else {"lr": 24, "fe": 15, "fw": 1, "ms": 14}
    p = plan(wb=8, sr=True, mb=1, fx=8, classes=2, **keys)
    assert p.update_shift >= shift
    check(p, random.Random(shift))
