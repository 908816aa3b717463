# SPDX-License-Identifier: BSD-2-Clause
"""The draws of stochastic rounding: what an update adds before it is rounded down."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..parts.lfsr import following
from ..plan import LayerPlan

__all__ = ["Draws"]

#: Bits that decide all that follow.
LENGTH = 64


class Draws(wiring.Component):
    """Draws a field for each entry of a list, the same ones for every group of a step.

    Contract, "Stochastic rounding": a field has k = `plan.drawn_bits` - `left` bits, none if that
    is not positive. It ends at the upper end of `o`. What stands below it makes no difference, for
    local errors that were shifted left by `left` have zeros there. So `o` are the newest bits of
    the generator, however many of them are the field.

    - `draw`: the next field, a clock later at `o`; of the sample before, of this one, or, with
      `again`, the first of this sample once more. `first` marks the first of a sample.
    - `left`: the shift of the sample's local errors.

    Parameters
    ----------
    plan
        Dimensions of the layer.
    """

    draw: Signal
    first: Signal
    again: Signal
    left: Signal
    o: Signal

    def __init__(self, *, plan: LayerPlan):
        self.plan = plan
        super().__init__(
            {
                "draw": In(1),
                "first": In(1),
                "again": In(1),
                "left": In(plan.left_shape),
                "o": Out(plan.drawn_bits),
            }
        )

    def elaborate(self, platform):
        m = Module()
        most = self.plan.drawn_bits
        least = max(most - self.plan.left_shape[-1], 0)
        # The last bits that were made, now and before the first field of the sample.
        state = Signal(LENGTH, init=self.plan.layer.seeds[4])
        start = Signal.like(state)
        present = Signal(LENGTH)
        further = Signal(range(most - least + 1))
        m.d.comb += [
            present.eq(Mux(self.again, start, state)),
            further.eq(Mux(self.left < most, most - self.left, 0) - least),
            self.o.eq(state[-most:]),
        ]
        made = Cat(following(m, present, most)[least:])
        with m.If(self.draw):
            m.d.sync += state.eq(made.bit_select(further, LENGTH))
        with m.If(self.first):
            m.d.sync += start.eq(state)
        return m
