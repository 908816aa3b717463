# SPDX-License-Identifier: BSD-2-Clause
"""The local-error unit: how far each class misses its margin, from the label alone."""

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..parts.pipeline import delayed
from ..plan import LayerPlan, signed_width
from ..ports import Command, header

__all__ = ["ErrorUnit"]


class ErrorUnit(wiring.Component):
    """Computes e[c] = -t min(rs(max(0, 2^(fy+ms) - t s), fy + ms - fe), 2^fe - 1).

    The gradient of the squared hinge loss, clipped (contract, "One training step of a layer").

    - `i_valid`, `s`, `header`: scores of a sample and its label; all classes at once.
    - `valid`, `e`: the errors, `delay` clocks later, until those of the next sample; all 0 unless
      the sample trains.

    Parameters
    ----------
    plan
        Dimensions of the layer.
    """

    #: Clocks from the scores to the errors.
    delay = 3

    i_valid: Signal
    s: data.View
    header: data.View
    valid: Signal
    e: data.View

    def __init__(self, *, plan: LayerPlan):
        self.plan = plan
        classes = plan.layer.classes
        super().__init__({
            "i_valid": In(1),
            "s": In(data.ArrayLayout(signed(plan.s_width), classes)),
            "header": In(header(classes)),
            "valid": Out(1),
            "e": Out(data.ArrayLayout(signed(plan.e_width), classes)),
        })

    def elaborate(self, platform):
        m = Module()
        layer = self.plan.layer
        margin, shift = 1 << (layer.fy + layer.ms), layer.fy + layer.ms - layer.fe
        half = (1 << shift) >> 1 if shift > 0 else 0
        limit = 2**layer.fe - 1
        train = Signal()
        m.d.comb += train.eq(self.header.command == Command.TRAIN)

        width = signed_width((1 << (self.plan.s_width - 1)) + margin + half)
        made = delayed(m, self.i_valid, self.delay - 1)
        m.d.sync += self.valid.eq(made)
        for c in range(layer.classes):
            is_label = Signal(name=f"is_label{c}")
            m.d.comb += is_label.eq(self.header.label == c)
            # -s is ~s + 1, so that one addition serves both signs of t. What rounds to 0 is 0 below
            # the margin as well, so that the sign of the sum can be judged last.
            v = Signal(signed(width), name=f"v{c}")
            t_s = (self.s[c].as_unsigned() ^ is_label.replicate(self.plan.s_width)).as_signed()
            m.d.sync += v.eq(t_s + Mux(is_label, margin + half + 1, margin + half))
            r = v >> shift if shift > 0 else v << -shift
            size = Signal(layer.fe, name=f"size{c}")
            with m.If((v < 0) | ~train):
                m.d.sync += size.eq(0)
            with m.Elif(r[layer.fe :].any()):
                m.d.sync += size.eq(limit)
            with m.Else():
                m.d.sync += size.eq(r)
            with m.If(made):
                m.d.sync += self.e[c].eq(Mux(is_label, -size, size))
        return m
