# SPDX-License-Identifier: BSD-2-Clause
"""Delays and adder trees against plain Python."""

import random

import pytest
from amaranth.hdl import ClockDomain, Module, Shape, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from hypothesis import given, settings
from hypothesis import strategies as st

from hw.parts.pipeline import adder_tree, delayed, tree_delay
from hw.ports import header
from tests.hw.bench import plan, simulate


class Tree(wiring.Component):
    """Adds terms of the given shapes."""

    def __init__(self, shapes):
        self.shapes = shapes
        super().__init__(
            {
                "i": In(data.StructLayout({f"t{k}": shape for k, shape in enumerate(shapes)})),
                "o": Out(Shape(32, signed=True)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.domains.sync = ClockDomain()  # a single term uses none
        m.d.comb += self.o.eq(adder_tree(m, [self.i[f"t{k}"] for k in range(len(self.shapes))]))
        return m


@given(
    shapes=st.lists(st.builds(Shape, st.integers(1, 12), st.booleans()), min_size=1, max_size=20),
    seed=st.integers(0, 2**32),
)
@settings(deadline=None, max_examples=25)
def test_adder_tree(shapes, seed):
    """Sums come one a clock, `tree_delay` clocks late, and no width is too small."""
    rng = random.Random(seed)
    dut = Tree(shapes)
    ranges = [
        (-(1 << (s.width - 1)), (1 << (s.width - 1)) - 1) if s.signed else (0, (1 << s.width) - 1)
        for s in shapes
    ]
    rows = [[low for low, _ in ranges], [high for _, high in ranges]]
    rows += [[rng.randint(*r) for r in ranges] for _ in range(10)]

    async def bench(ctx):
        sums = []
        for row in rows + [rows[-1]] * tree_delay(len(shapes)):
            ctx.set(dut.i, {f"t{k}": value for k, value in enumerate(row)})
            await ctx.delay(1e-9)
            sums.append(ctx.get(dut.o))
            await ctx.tick()
        assert sums[tree_delay(len(shapes)) :] == [sum(row) for row in rows]

    simulate(dut, bench)


@pytest.mark.parametrize("terms", range(1, 40))
def test_tree_delay(terms):
    """The delay is the least with which pairs can be added."""
    assert 2 ** tree_delay(terms) >= terms > 2 ** (tree_delay(terms) - 1) * (terms > 1)


@pytest.mark.parametrize("clocks", [0, 1, 5])
def test_delayed(clocks):
    """Structures keep their shape; what was before the first clock reads as 0."""
    m = Module()
    m.domains.sync = ClockDomain()  # no delay uses none
    i = Signal(header(plan()))
    o = delayed(m, i, clocks)
    assert o.shape() == i.shape()
    values = list(range(2 ** i.shape().size))

    async def bench(ctx):
        seen = []
        for value in values:
            ctx.set(i.as_value(), value)
            await ctx.delay(1e-9)
            seen.append(ctx.get(o.as_value()))
            await ctx.tick()
        assert seen == ([0] * clocks + values)[: len(values)]

    simulate(m, bench)
