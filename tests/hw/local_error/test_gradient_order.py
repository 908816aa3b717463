# SPDX-License-Identifier: BSD-2-Clause
"""The order of local errors: beats of a group at once, groups when they may come."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from hw.local_error.gradient_order import GradientOrder
from tests.hw.bench import plan, simulate


@given(
    neurons=st.integers(1, 60),
    lanes=st.integers(1, 40),
    distance=st.integers(1, 9),
    longer=st.integers(0, 9),
    seed=st.integers(0, 2**32),
)
@settings(deadline=None, max_examples=25)
def test_order(neurons, lanes, distance, longer, seed):
    """All beats of all groups, `ready` and `complete` to the clock, and no more after the last."""
    rng, p = random.Random(seed), plan(neurons=neurons, lanes=lanes)
    delay = distance + longer
    dut = GradientOrder(plan=p, distance=distance, delay=delay)
    clock, turn, sent = 0, 0, -1000  # the clock of the last beat that was sent

    async def tick(ctx, beat=None, taken=True):
        """Check a clock in which a beat is sent, waits to be taken, or there is none."""
        nonlocal clock, sent
        ctx.set(dut.taken, taken)
        assert ctx.get(dut.sending) == (beat is not None)
        assert ctx.get(dut.turn) == turn
        if beat is not None:
            assert ctx.get(dut.index) == beat[1]
            assert ctx.get(dut.ends) == (beat[1] == p.beats - 1)
            assert ctx.get(dut.last) == (beat == (p.groups - 1, p.beats - 1))
            sent = clock if taken else 1 << 30
        # Before the first sample nothing says how long ago that was.
        if sent >= 0:
            for name, after in ("ready", distance), ("complete", delay):
                assert ctx.get(getattr(dut, name)) == (clock - sent >= after)
        await ctx.tick()
        clock += 1

    async def beat(ctx, beat):
        for _ in range(rng.choice([0, 0, rng.randrange(5)])):
            await tick(ctx, beat, taken=False)
        await tick(ctx, beat)

    async def bench(ctx):
        nonlocal turn
        for _sample in range(4):
            for _ in range(rng.randrange(3)):
                # No sample is present: an `advance` is of no matter.
                ctx.set(dut.advance, rng.randrange(2))
                await tick(ctx)
            ctx.set(dut.advance, 0)
            ctx.set(dut.start, 1)
            await tick(ctx)
            ctx.set(dut.start, 0)
            for group in range(p.groups):
                for index in range(p.beats):
                    await beat(ctx, (group, index))
                for _ in range(rng.choice([0, rng.randrange(2 * delay)])):
                    await tick(ctx)
                ctx.set(dut.advance, 1)
                await tick(ctx)
                ctx.set(dut.advance, 0)
                turn ^= 1

    simulate(dut, bench)
