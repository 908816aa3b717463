# SPDX-License-Identifier: BSD-2-Clause
"""Weighted errors: the class errors, carried back to the neurons by the feedback weights."""

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..parts.pipeline import adder_tree, delayed, tree_delay
from ..plan import LayerPlan, signed_width

__all__ = ["WeightedErrors", "latency"]


def latency(plan: LayerPlan) -> int:
    """Count the clocks of the gates, the tree and the difference."""
    return 1 + tree_delay(plan.layer.classes * plan.random_bits) + 1


class WeightedErrors(wiring.Component):
    """Computes g[n] = rs(sum_c K[n,c] e[c], ms) where y[n] > 0, else 0, for a beat of neurons.

    Contract, "One training step of a layer". With K = 2u - (2^mb - 1) the sum is
    2 sum_c u e - (2^mb - 1) sum_c e; a Gaussian K is a sum of such terms.

    - `e`: the class errors, the same from two clocks before the first beat to the last.
    - `u`, `d`: fields of the feedback weights of the beat's neurons, and whether y > 0.
    - `g`: their local errors, `delay` clocks later.

    Parameters
    ----------
    plan
        Dimensions of the layer.
    """

    e: data.View
    u: data.View
    d: Signal
    g: data.View

    def __init__(self, *, plan: LayerPlan):
        self.plan = plan
        #: Clocks from a beat to its local errors.
        self.delay = latency(plan)
        layer, drain = plan.layer, plan.drain_width
        super().__init__(
            {
                "e": In(data.ArrayLayout(signed(plan.e_width), layer.classes)),
                "u": In(data.ArrayLayout(data.ArrayLayout(plan.random_bits, layer.classes), drain)),
                "d": In(drain),
                "g": Out(data.ArrayLayout(signed(plan.g_width), drain)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        plan, layer = self.plan, self.plan.layer
        # The sum of all errors starts two clocks before the first sum of weighted ones and has
        # at most as many terms, so that its two further registers do not make it late.
        half = (1 << layer.ms) >> 1 if layer.ms > 0 else 0
        e = [self.e[c] for c in range(layer.classes)]
        e_sum = adder_tree(m, e)
        scaled = Signal(signed(signed_width(layer.feedback_bound)))
        offset = Signal(signed(signed_width(layer.feedback_bound + half)))
        # Of one term, or of 3, 5 or 7, without a product.
        terms = {1: 0, 3: scaled << 1, 5: scaled << 2, 7: (scaled << 3) - (scaled << 1)}
        m.d.sync += [
            scaled.eq((e_sum << layer.mb) - e_sum),
            offset.eq(half - scaled - terms[layer.terms]),
        ]

        d = delayed(m, self.d, self.delay)
        for n in range(plan.drain_width):
            u = self.u[n]
            terms = [
                (e[c].as_unsigned() & u[c][bit].replicate(plan.e_width)).as_signed()
                << bit % layer.mb
                for c in range(layer.classes)
                for bit in range(plan.random_bits)
            ]
            total = Signal.like(offset, name=f"total{n}")
            weighted = adder_tree(m, [delayed(m, term, 1) for term in terms])
            m.d.sync += total.eq((weighted << 1) + offset)
            g = total >> layer.ms if layer.ms > 0 else total << -layer.ms
            m.d.comb += self.g[n].eq(Mux(d[n], g, 0))
        return m
