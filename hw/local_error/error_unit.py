# SPDX-License-Identifier: BSD-2-Clause
"""The local-error unit: how far each class misses its margin, from the label alone."""

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..parts.pipeline import delayed
from ..plan import LayerPlan, signed_width
from ..ports import Valid, ValidInterface, errors, scores, trains

__all__ = ["ErrorUnit"]


class ErrorUnit(wiring.Component):
    """Computes e[c] = -t min(rs(max(0, 2^(fy+ms) - t s), fy + ms - fe), 2^fe - 1).

    The gradient of the squared hinge loss, clipped (contract, "One training step of a layer").

    - `scores`: of a sample; their payload stays until its errors are made.
    - `errors`: `delay` clocks later; the payload stays until the next. All 0 unless the sample
      trains.

    Parameters
    ----------
    plan
        Dimensions of the layer.
    """

    #: Clocks from the scores to the errors.
    delay = 3

    scores: ValidInterface
    errors: ValidInterface

    def __init__(self, *, plan: LayerPlan):
        self.plan = plan
        super().__init__(
            {
                "scores": In(Valid(scores(plan))),
                "errors": Out(Valid(errors(plan))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        layer = self.plan.layer
        point = layer.fy + layer.scale
        margin, shift = 1 << point, point - layer.fe
        half = (1 << shift) >> 1 if shift > 0 else 0
        limit = 2**layer.fe - 1
        s, header, errors = self.scores.p.s, self.scores.p.header, self.errors
        train = Signal()
        m.d.comb += train.eq(trains(header))
        sizes = []

        width = signed_width((1 << (self.plan.s_width - 1)) + margin + half)
        made = delayed(m, self.scores.valid, self.delay - 1)
        m.d.sync += errors.valid.eq(made)
        for c in range(layer.classes):
            is_label = Signal(name=f"is_label{c}")
            m.d.comb += is_label.eq(header.label == c)
            # -s is ~s + 1, so that one addition serves both signs of t. What rounds to 0 is 0 below
            # the margin as well, so that the sign of the sum can be judged last.
            v = Signal(signed(width), name=f"v{c}")
            t_s = (s[c].as_unsigned() ^ is_label.replicate(self.plan.s_width)).as_signed()
            m.d.sync += v.eq(t_s + Mux(is_label, margin + half + 1, margin + half))
            r = v >> shift if shift > 0 else v << -shift
            size = Signal(layer.fe, name=f"size{c}")
            with m.If((v < 0) | ~train):
                m.d.sync += size.eq(0)
            with m.Elif(r[layer.fe :].any()):
                m.d.sync += size.eq(limit)
            with m.Else():
                m.d.sync += size.eq(r)
            sizes.append(size)
            with m.If(made):
                m.d.sync += errors.p.e[c].eq(Mux(is_label, -size, size))
        with m.If(made):
            m.d.sync += errors.p.update.eq(Cat(sizes).any())
        return m
