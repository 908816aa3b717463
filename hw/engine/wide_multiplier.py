# SPDX-License-Identifier: BSD-2-Clause
"""A multiplier whose first operand is wider than that of a cell: one cell for each part of it."""

from amaranth.hdl import Module, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..plan import MULTIPLIER_WIDTH, multipliers
from ..primitives import Primitives

__all__ = ["WideMultiplier"]


class WideMultiplier(wiring.Component):
    """Signed product `p` = `a` * `b`, one each clock, as late as that of a cell.

    All parts of `a` but the highest are numbers without a sign. What comes out of the cells is
    added without a further register.

    Parameters
    ----------
    primitives
        Where multipliers come from.
    a_width, b_width
        Bits of the operands, two's complement; those of `b` at most those of a cell's.
    """

    a: Signal
    b: Signal
    p: Signal

    def __init__(self, *, primitives: Primitives, a_width: int, b_width: int):
        self.primitives = primitives
        self.a_width = a_width
        self.b_width = b_width
        super().__init__(
            {
                "a": In(signed(a_width)),
                "b": In(signed(b_width)),
                "p": Out(signed(a_width + b_width)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        count, low = multipliers(self.a_width), MULTIPLIER_WIDTH - 1
        terms = []
        for k in range(count):
            part = (
                self.a[k * low : (k + 1) * low] if k < count - 1 else self.a[k * low :].as_signed()
            )
            width = len(part) + (k < count - 1)
            m.submodules[f"part{k}"] = cell = self.primitives.multiplier(
                a_width=width, b_width=self.b_width
            )
            m.d.comb += [cell.a.eq(part), cell.b.eq(self.b)]
            terms.append(cell.p << k * low)
        m.d.comb += self.p.eq(sum(terms[1:], terms[0]))
        return m
