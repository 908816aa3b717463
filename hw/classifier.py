# SPDX-License-Identifier: BSD-2-Clause
"""The local classifier: scores of all classes, from activations and random weights."""

from amaranth.hdl import Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .pipeline import adder_tree, delayed, tree_delay
from .plan import LayerPlan
from .ports import X_WIDTH
from .random_weights import ClassifierWeights

__all__ = ["Classifier"]


class Classifier(wiring.Component):
    """Computes s[c] = sum_n Mc[n,c] y[n] (contract, "One training step of a layer").

    With Mc = 2u - (2^mb - 1) that is 2 sum_n u y - (2^mb - 1) sum_n y: sums of what the bits of u
    let through, and one sum that all classes share.

    - `i_valid`, `i`, `i_last`: activations of a sample, `plan.drain` a beat, n ascending; samples
      may follow each other at once.
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
        #: Clocks from the last beat to the scores: the gates, the tree, the accumulator and the
        #: difference.
        self.delay = 1 + tree_delay(plan.drain * plan.layer.mb) + 2
        super().__init__({
            "i_valid": In(1),
            "i_last": In(1),
            "i": In(data.ArrayLayout(unsigned(X_WIDTH), plan.drain)),
            "valid": Out(1),
            "s": Out(data.ArrayLayout(signed(plan.s_width), plan.layer.classes)),
        })

    def elaborate(self, _platform):
        m = Module()
        plan, layer = self.plan, self.plan.layer
        m.submodules.weights = weights = ClassifierWeights(
            seed=layer.seeds[1], neurons=plan.drain, classes=layer.classes, width=layer.mb
        )
        m.d.comb += [
            weights.step.eq(self.i_valid),
            weights.restart.eq(self.i_valid & self.i_last),
        ]
        summed = 1 + tree_delay(plan.drain * layer.mb)
        valid = delayed(m, self.i_valid, summed)
        last = delayed(m, self.i_last, summed)
        first = Signal(init=1)
        with m.If(valid):
            m.d.sync += first.eq(last)
        m.d.sync += self.valid.eq(delayed(m, valid & last, 1))

        bound = (2**layer.mb - 1) * 255 * layer.neurons

        def total(beat):
            """Sum up the beats of a sample."""
            register = Signal(range(bound + 1), name="total")
            with m.If(valid):
                m.d.sync += register.eq(Mux(first, 0, register) + beat)
            return register

        # The shared sum has fewer terms: there is time to multiply it.
        y_beat = adder_tree(m, [delayed(m, y, 1) for y in self.i])
        spare = summed - 1 - tree_delay(plan.drain)
        if layer.mb > 1:
            scaled = Signal(len(y_beat) + layer.mb)
            m.d.sync += scaled.eq((y_beat << layer.mb) - y_beat)
            y_beat, spare = scaled, spare - 1
        y_sum = total(delayed(m, y_beat, spare))
        for c in range(layer.classes):
            terms = [
                (y & weights.u[n][c][bit].replicate(X_WIDTH)) << bit
                for n, y in enumerate(self.i)
                for bit in range(layer.mb)
            ]
            u_sum = total(adder_tree(m, [delayed(m, term, 1) for term in terms]))
            m.d.sync += self.s[c].eq((u_sum << 1) - y_sum)
        return m
