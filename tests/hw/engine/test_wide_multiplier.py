# SPDX-License-Identifier: BSD-2-Clause
"""Products of operands that are wider than a cell's."""

import random

import pytest

from hw.engine.wide_multiplier import WideMultiplier
from hw.plan import multipliers
from hw.primitives import PORTABLE
from tests.hw.bench import Extremes, plan, simulate


@pytest.mark.parametrize(
    ("a_width", "cells"), [(2, 1), (18, 1), (19, 2), (35, 2), (36, 3), (48, 3)]
)
@pytest.mark.parametrize("b_width", [2, 9, 18])
def test_products(a_width, cells, b_width):
    """One each clock, and at both ends of every part."""
    assert multipliers(a_width) == cells
    dut = WideMultiplier(primitives=PORTABLE, a_width=a_width, b_width=b_width)
    draw, a_top, b_top = Extremes(plan(), random.Random(1)), 1 << a_width - 1, 1 << b_width - 1
    edges = [edge for k in (17, 34) for edge in (1 << k, (1 << k) - 1, -(1 << k), -(1 << k) - 1)]
    values = [a for a in edges if -a_top <= a < a_top]
    values += [draw.between(-a_top, a_top - 1) for _ in range(60)]
    pairs = [(a, draw.between(-b_top, b_top - 1)) for a in values]
    delay, products = PORTABLE.multiplier.delay, []

    async def bench(ctx):
        for clock in range(len(pairs) + delay):
            a, b = pairs[clock] if clock < len(pairs) else (0, 0)
            ctx.set(dut.a, a)
            ctx.set(dut.b, b)
            if clock >= delay:
                products.append(ctx.get(dut.p))
            await ctx.tick()

    simulate(dut, bench)
    assert products == [a * b for a, b in pairs]
