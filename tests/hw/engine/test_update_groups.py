# SPDX-License-Identifier: BSD-2-Clause
"""The update groups: every group with a local error that is not 0, once and in order."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw.engine.update_groups import UpdateGroups
from tests.hw.bench import plan, simulate


@given(
    neurons=st.integers(1, 20),
    lanes=st.integers(1, 4),
    inputs=st.integers(1, 6),
    seed=st.integers(0, 2**32),
)
@settings(deadline=None, max_examples=25)
def test_groups(neurons, lanes, inputs, seed):
    """Local errors come at any time, `some` before or after `ready`, groups are taken at any."""
    rng = random.Random(seed)
    p = plan(neurons=neurons, lanes=lanes, inputs=inputs)
    dut = UpdateGroups(plan=p)

    async def idle(ctx):
        """Between samples nothing is valid, whatever the ports say."""
        for _ in range(rng.randrange(3)):
            for name in "some", "ready", "complete":
                ctx.set(getattr(dut, name), rng.randrange(2))
            assert ctx.get(dut.done)
            assert not ctx.get(dut.valid)
            assert not ctx.get(dut.advance)
            await ctx.tick()

    async def bench(ctx):
        for _sample in range(6):
            await idle(ctx)
            kinds = [rng.random() < rng.choice([0, 0.5, 1]) for _ in range(p.groups)]
            ctx.set(dut.start, 1)
            await ctx.tick()
            ctx.set(dut.start, 0)
            for group, some in enumerate(kinds):
                await follow(ctx, group, some)
            assert ctx.get(dut.done)

    async def follow(ctx, group, some):
        """Let the local errors of a group come; check what is made of it."""
        came, ready = rng.randrange(4), rng.randrange(4)
        complete = max(came, ready) + rng.randrange(1, 3)
        taken = max(came, ready) + rng.randrange(4)
        for clock in range(100):
            # With `some` the first that is not 0 may come last, but not after `complete`.
            now = {
                "some": some and clock >= came,
                "ready": clock >= ready,
                "complete": clock >= complete,
            }
            for name, value in now.items():
                ctx.set(getattr(dut, name), value)
            valid = now["some"] and now["ready"]
            skipped = now["complete"] and not some
            ctx.set(dut.take, valid and clock >= taken)
            assert not ctx.get(dut.done)
            assert ctx.get(dut.valid) == valid
            assert ctx.get(dut.skipped) == skipped
            assert ctx.get(dut.advance) == (skipped or (valid and clock >= taken))
            if valid:
                assert ctx.get(dut.base) == group * p.layer.columns
                assert ctx.get(dut.last) == (group == p.groups - 1)
            advanced = ctx.get(dut.advance)
            await ctx.tick()
            ctx.set(dut.take, 0)
            if advanced:
                return

    simulate(dut, bench)


@pytest.mark.parametrize("neurons", [1, 5])
def test_all_skipped(neurons):
    """Groups whose local errors are all 0 take a clock each."""
    dut = UpdateGroups(plan=plan(neurons=neurons, lanes=1))

    async def bench(ctx):
        ctx.set(dut.complete, 1)
        ctx.set(dut.ready, 1)
        ctx.set(dut.start, 1)
        await ctx.tick()
        ctx.set(dut.start, 0)
        for _ in range(neurons):
            assert ctx.get(dut.skipped)
            assert not ctx.get(dut.done)
            await ctx.tick()
        assert ctx.get(dut.done)
        assert not ctx.get(dut.skipped)

    simulate(dut, bench)
