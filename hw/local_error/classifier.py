# SPDX-License-Identifier: BSD-2-Clause
"""The local classifier: scores of all classes, from activations and random weights."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..parts.pipeline import adder_tree, delayed, tree_delay
from ..plan import LayerPlan
from ..ports import Valid, ValidInterface, activation_beat, scores
from .random_weights import ClassifierWeights

__all__ = ["Classifier"]


def latency(plan: LayerPlan) -> int:
    """Count the clocks of the gates, the tree, the accumulator and the difference."""
    return 1 + tree_delay(plan.drain_width * plan.random_bits) + 2


class Classifier(wiring.Component):
    """Computes s[c] = sum_n Mc[n,c] y[n] (contract, "One training step of a layer").

    With Mc = 2u - (2^mb - 1) that is 2 sum_n u y - (2^mb - 1) sum_n y: sums of what the bits of u
    let through, and one sum that all classes share. A Gaussian Mc is a sum of such terms, and each
    adds as much to both sums. No sum exceeds the description's `s_bound`.

    - `activations`: `plan.drain_width` a beat, n ascending; samples may follow each other at once.
    - `scores`: of a sample, `delay` clocks after its last beat; the payload stays until the next.

    Parameters
    ----------
    plan
        Dimensions of the layer.
    """

    activations: ValidInterface
    scores: ValidInterface

    def __init__(self, *, plan: LayerPlan):
        self.plan = plan
        #: Clocks from the last beat to the scores.
        self.delay = latency(plan)
        super().__init__(
            {
                "activations": In(Valid(activation_beat(plan))),
                "scores": Out(Valid(scores(plan))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        plan, layer = self.plan, self.plan.layer
        m.submodules.weights = weights = ClassifierWeights(
            seed=layer.seeds[1],
            neurons=plan.drain_width,
            classes=layer.classes,
            width=plan.random_bits,
            source=layer.source,
        )
        i, o = self.activations, self.scores
        m.d.comb += [
            weights.step.eq(i.valid),
            weights.restart.eq(i.valid & i.p.last),
        ]
        summed = latency(plan) - 2
        valid = delayed(m, i.valid, summed)
        last = delayed(m, i.p.last, summed)
        header = delayed(m, i.p.header, summed + 1)
        first = Signal(init=1)
        with m.If(valid):
            m.d.sync += first.eq(last)
        ended = delayed(m, valid & last, 1)
        m.d.sync += o.valid.eq(ended)
        with m.If(ended):
            m.d.sync += o.p.header.eq(header)

        def total(terms):
            """Sum the terms of all beats of a sample."""
            beat = adder_tree(m, [delayed(m, term, 1) for term in terms])
            register = Signal(range(layer.s_bound + 1), name="total")
            with m.If(valid):
                m.d.sync += register.eq(Mux(first, 0, register) + beat)
            return register

        ys = [i.p.y[n] for n in range(plan.drain_width)]
        # What all bits of all fields would let through is (2^mb - 1) sum_n y: summed like the
        # rest, it needs neither a product nor a delay of its own.
        everything = total([y << bit % layer.mb for y in ys for bit in range(plan.random_bits)])
        for c in range(layer.classes):
            passed = total(
                [
                    (y & weights.u[n][c][bit].replicate(layer.yb)) << bit % layer.mb
                    for n, y in enumerate(ys)
                    for bit in range(plan.random_bits)
                ]
            )
            with m.If(ended):
                m.d.sync += o.p.s[c].eq((passed << 1) - everything)
        return m
