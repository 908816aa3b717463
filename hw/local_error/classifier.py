# SPDX-License-Identifier: BSD-2-Clause
"""The local classifier: scores of all classes, from activations and random weights."""

from amaranth.hdl import Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..parts.pipeline import adder_tree, delayed, tree_delay
from ..plan import LayerPlan
from ..ports import X_WIDTH
from .random_weights import ClassifierWeights

__all__ = ["Classifier"]


def latency(plan: LayerPlan) -> int:
    """Count the clocks of the gates, the tree, the accumulator and the difference."""
    return 1 + tree_delay(plan.drain_width * plan.layer.mb) + 2


class Classifier(wiring.Component):
    """Computes s[c] = sum_n Mc[n,c] y[n] (contract, "One training step of a layer").

    With Mc = 2u - (2^mb - 1) that is 2 sum_n u y - (2^mb - 1) sum_n y: sums of what the bits of u
    let through, and one sum that all classes share. No sum exceeds (2^mb - 1) 255 N.

    - `i_valid`, `i`, `i_last`: activations of a sample, `plan.drain_width` a beat, n ascending;
      samples may follow each other at once.
    - `valid`, `s`: the scores, `delay` clocks after the last beat, until those of the next sample.

    Parameters
    ----------
    plan
        Dimensions of the layer.
    """

    i_valid: Signal
    i_last: Signal
    i: data.View
    valid: Signal
    s: data.View

    def __init__(self, *, plan: LayerPlan):
        self.plan = plan
        #: Clocks from the last beat to the scores.
        self.delay = latency(plan)
        super().__init__({
            "i_valid": In(1),
            "i_last": In(1),
            "i": In(data.ArrayLayout(unsigned(X_WIDTH), plan.drain_width)),
            "valid": Out(1),
            "s": Out(data.ArrayLayout(signed(plan.s_width), plan.layer.classes)),
        })

    def elaborate(self, platform):
        m = Module()
        plan, layer = self.plan, self.plan.layer
        m.submodules.weights = weights = ClassifierWeights(
            seed=layer.seeds[1], neurons=plan.drain_width, classes=layer.classes, width=layer.mb
        )
        m.d.comb += [
            weights.step.eq(self.i_valid),
            weights.restart.eq(self.i_valid & self.i_last),
        ]
        summed = 1 + tree_delay(plan.drain_width * layer.mb)
        valid = delayed(m, self.i_valid, summed)
        last = delayed(m, self.i_last, summed)
        first = Signal(init=1)
        with m.If(valid):
            m.d.sync += first.eq(last)
        ended = delayed(m, valid & last, 1)
        m.d.sync += self.valid.eq(ended)

        bound = (2**layer.mb - 1) * 255 * layer.neurons

        def total(terms):
            """Sum the terms of all beats of a sample."""
            beat = adder_tree(m, [delayed(m, term, 1) for term in terms])
            register = Signal(range(bound + 1), name="total")
            with m.If(valid):
                m.d.sync += register.eq(Mux(first, 0, register) + beat)
            return register

        ys = [self.i[n] for n in range(plan.drain_width)]
        # What all bits of all fields would let through is (2^mb - 1) sum_n y: summed like the
        # rest, it needs neither a product nor a delay of its own.
        everything = total([y << bit for y in ys for bit in range(layer.mb)])
        for c in range(layer.classes):
            passed = total([
                (y & weights.u[n][c][bit].replicate(X_WIDTH)) << bit
                for n, y in enumerate(ys)
                for bit in range(layer.mb)
            ])
            with m.If(ended):
                m.d.sync += self.s[c].eq((passed << 1) - everything)
        return m
