# SPDX-License-Identifier: BSD-2-Clause
"""The streaming MAC array: all lanes of a layer, as a systolic chain of clusters."""

from itertools import pairwise

from amaranth.hdl import Module, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..parts.pipeline import delayed
from ..plan import LayerPlan
from ..ports import Valid, ValidInterface, gradient_beat, y_beat
from ..primitives import Primitives
from .cluster import Cluster
from .lane import Stage, schedule
from .operands import operands

__all__ = ["MacArray"]


def latency(primitives: Primitives) -> int:
    """Count the clocks through the first cluster: its registers, a lane, and the way out."""
    return 1 + schedule(primitives)[Stage.RESULT] + 1


class MacArray(wiring.Component):
    """Computes `lanes` neurons at once, and updates their weights on the way.

    - `operands`: an input for all lanes, or a weight to be moved, in each clock. Groups may follow
      each other with `plan.group_clocks` between their first inputs; a weight may be read
      `write_to_read` clocks after it was written.
    - `g`: local errors of the next group. They must all have come in the clock before the input
      that is `first` in the group, and those of the group after it not before `accepted`.
    - `accepted`: high for a clock when the first lanes have accepted the local errors of a group.
    - `y`: activations of a group after its last input, `plan.beats` beats of
      `plan.drain_width` neurons.
    - `weight`: weights that were read, in order.

    Parameters
    ----------
    plan
        Dimensions of the layer.
    primitives
        Where memories and multipliers come from.
    """

    operands: data.View
    g: ValidInterface
    accepted: Signal
    y: ValidInterface
    weight: ValidInterface

    def __init__(self, *, plan: LayerPlan, primitives: Primitives):
        self.plan = plan
        self.primitives = primitives
        #: Clocks from the last input of a group to the first beat of its activations.
        self.delay = latency(primitives)
        #: Clocks from the write of a weight until it may be read.
        self.write_to_read = schedule(primitives)[Stage.WRITE] + 1
        super().__init__({
            "operands": In(operands(plan)),
            "g": In(Valid(gradient_beat(plan))),
            "accepted": Out(1),
            "y": Out(Valid(y_beat(plan))),
            "weight": Out(Valid(signed(plan.layer.wb))),
        })

    def elaborate(self, platform):
        m = Module()
        clusters = [
            Cluster(plan=self.plan, index=index, primitives=self.primitives)
            for index in range(len(self.plan.clusters))
        ]
        for index, cluster in enumerate(clusters):
            m.submodules[f"cluster{index}"] = cluster
        for before, behind in pairwise(clusters):
            m.d.comb += behind.operands_i.eq(before.operands_o)
            wiring.connect(m, before.g_o, behind.g_i)
            wiring.connect(m, before.weight_o, behind.weight_i)
            wiring.connect(m, behind.y_o, before.y_i)

        first, last, do = clusters[0], clusters[-1], self.operands.do
        m.d.comb += first.operands_i.eq(self.operands)
        wiring.connect(m, wiring.flipped(self.g), first.g_i)
        wiring.connect(m, first.y_o, wiring.flipped(self.y))
        wiring.connect(m, last.weight_o, wiring.flipped(self.weight))
        m.d.comb += self.accepted.eq(delayed(m, do.issue & do.first, 2))
        return m
