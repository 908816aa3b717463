# SPDX-License-Identifier: BSD-2-Clause
"""The scores of a trained classifier: what all units make of a sample, summed."""

from amaranth.hdl import Module, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..parts.pipeline import adder_tree, delayed, tree_delay
from ..plan import LayerPlan
from ..ports import Valid, ValidInterface, header, scores
from .sample_walk import Kind, step

__all__ = ["TrainedScores", "latency"]


def latency(plan: LayerPlan) -> int:
    """Count the clocks from the last products of a sample to its scores."""
    assert plan.trained is not None
    return tree_delay(plan.trained.units) + 2


class TrainedScores(wiring.Component):
    """Computes s[c] = sum_n V[n,c] y[n] (contract, "Trained classifier").

    - `step`: of a walk, in the clock in which its products are there.
    - `products`: of each unit, for the classes of its word; 0 where it has no neuron.
    - `header`: of the sample.
    - `scores`: `delay` clocks after the last step of a sample; the payload stays until the next.

    Parameters
    ----------
    plan
        Dimensions of the layer.
    """

    step: ValidInterface
    products: data.View
    header: data.View
    scores: ValidInterface

    def __init__(self, *, plan: LayerPlan, product: int):
        trained = plan.trained
        assert trained is not None
        self.plan = plan
        #: Clocks from the last step to the scores.
        self.delay = latency(plan)
        unit = data.ArrayLayout(signed(product), trained.width)
        super().__init__(
            {
                "step": In(Valid(step(plan))),
                "products": In(data.ArrayLayout(unit, trained.units)),
                "header": In(header(plan)),
                "scores": Out(Valid(scores(plan))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        trained, step, o = self.plan.trained, self.step, self.scores
        assert trained is not None
        scored = step.valid & (step.p.kind == Kind.SCORE)
        summed = tree_delay(trained.units)
        # A beat without an active neuron is a single step, and no word of one.
        valid = delayed(m, scored & step.p.active.any(), summed)
        ended = delayed(m, scored & step.p.last, summed + 1)
        m.d.sync += o.valid.eq(ended)
        with m.If(ended):
            m.d.sync += o.p.header.eq(self.header)
        for c in range(trained.width):
            product = adder_tree(m, [self.products[unit][c] for unit in range(trained.units)])
            # The words of a neuron come in turn, and so do their sums: the oldest is the next.
            sums = [
                Signal(signed(self.plan.s_width), name=f"sum{c}_{k}") for k in range(trained.words)
            ]
            with m.If(valid):
                m.d.sync += [sums[-1].eq(sums[0] + product)]
                m.d.sync += [sums[k].eq(sums[k + 1]) for k in range(trained.words - 1)]
            with m.If(ended):
                m.d.sync += [total.eq(0) for total in sums]
                m.d.sync += [
                    o.p.s[k * trained.width + c].eq(total)
                    for k, total in enumerate(sums)
                    if k * trained.width + c < self.plan.layer.classes
                ]
        return m
