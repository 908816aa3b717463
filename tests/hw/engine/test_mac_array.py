# SPDX-License-Identifier: BSD-2-Clause
"""The MAC array against plain Python: weights in and out, updates, sums, the order of beats."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw.engine.mac_array import MacArray
from hw.primitives import PORTABLE
from tests.hw.bench import Twin, plan, plans, simulate


@given(plan=plans(lanes=st.integers(1, 40)), seed=st.integers(0, 2**32))
@settings(deadline=None, max_examples=25)
def test_passes(plan, seed):
    check(plan, seed)


@pytest.mark.parametrize("lanes", [1, 7, 8, 9, 17, 36, 64, 130])
def test_all_orders_of_beats(lanes):
    check(plan(inputs=3, neurons=2 * lanes, lanes=lanes), lanes)


def check(plan, seed):
    """Load, train, infer with random gaps and read everything back."""
    rng = random.Random(seed)
    dut = MacArray(plan=plan, primitives=PORTABLE)
    layer = plan.layer
    limit = 1 << (layer.wb - 1)
    lanes = range(layer.lanes)

    def weight():
        return rng.choice([-limit, limit - 1, rng.randrange(-limit, limit)])

    def inputs():
        return [rng.choice([0, 255, rng.randrange(256)]) for _ in range(layer.columns)]

    twin = Twin(plan, [[weight() for _ in range(plan.depth)] for _ in lanes])
    initial = [list(bank) for bank in twin.weights]
    top = 1 << (plan.update_width - 1)
    expected, drained, read = [], [], []

    async def issue(ctx, x_old=0, x_new=0, **do):
        ctx.set(dut.operands, {"do": do, "x_old": x_old, "x_new": x_new})
        await ctx.tick()
        ctx.set(dut.operands, {})

    async def stimulus(ctx):
        for lane in lanes:
            for addr in range(plan.depth):
                await issue(ctx, load=1, lane=lane, addr=addr, word=initial[lane][addr])
        await ctx.tick().repeat(dut.write_to_read)
        old = inputs()
        for _step in range(4):
            new, update = inputs(), rng.random() < 0.8
            for group in range(plan.groups):
                g = [rng.choice([0, top - 1, -top, rng.randrange(-top, top)]) for _ in lanes]
                for index in range(plan.beats):
                    first = index * plan.drain_width
                    beat = {"index": index, "g": g[first : first + plan.drain_width]}
                    ctx.set(dut.g.payload, beat)
                    ctx.set(dut.g.valid, 1)
                    await ctx.tick()
                ctx.set(dut.g.valid, 0)
                base = group * layer.columns
                for j in range(layer.columns):
                    await issue(
                        ctx,
                        issue=1,
                        first=j == 0,
                        last=j == layer.inputs,
                        update=update,
                        addr=base + j,
                        x_old=old[j],
                        x_new=new[j],
                    )
                    if rng.random() < 0.1:
                        await ctx.tick()
                y = twin.group(base, old, new, g, update)
                expected.extend(y)
                for _ in range(plan.group_clocks - layer.columns - plan.beats):
                    await ctx.tick()
            old = new
            await ctx.tick().repeat(dut.write_to_read)
        for addr in range(plan.depth):
            for lane in lanes:
                await issue(ctx, read=1, lane=lane, addr=addr)
        await ctx.tick().repeat(dut.delay + 3 * len(plan.clusters) + plan.drain_span)

    async def collect(ctx):
        while True:
            await ctx.tick()
            if ctx.get(dut.y.valid):
                drained.extend(ctx.get(dut.y.payload[i]) for i in range(plan.drain_width))
            if ctx.get(dut.weight.valid):
                read.append(ctx.get(dut.weight.payload))

    simulate(dut, stimulus, background=[collect], clocks=1_000_000)
    assert drained == expected
    assert read == [twin.weights[lane][addr] for addr in range(plan.depth) for lane in lanes]


def test_delay():
    """The first beat of a group comes `delay` clocks after its last input."""
    dut = MacArray(plan=plan(inputs=2, neurons=3, lanes=3), primitives=PORTABLE)

    async def bench(ctx):
        for last in 0, 1:
            ctx.set(dut.operands.do, {"issue": 1, "first": not last, "last": last})
            await ctx.tick()
        ctx.set(dut.operands, {})
        for _ in range(dut.delay - 1):
            assert not ctx.get(dut.y.valid)
            await ctx.tick()
        assert ctx.get(dut.y.valid)

    simulate(dut, bench)
