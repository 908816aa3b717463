# SPDX-License-Identifier: BSD-2-Clause
"""The streaming MAC array: all lanes of a layer, as a systolic chain of clusters."""

from amaranth.hdl import Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..parts.pipeline import delayed
from ..plan import LayerPlan
from ..ports import drained, gradient_beat, wave, weight_out
from ..primitives import Primitives
from .cluster import Cluster
from .lane import Schedule

__all__ = ["MacArray"]


def latency(primitives: Primitives) -> int:
    """Count the clocks through the first cluster: its registers, a lane, and the way out."""
    return 1 + Schedule(primitives).result + 1


class MacArray(wiring.Component):
    """Computes `lanes` neurons at once, and updates their weights on the way.

    - `wave`: an input for all lanes, or a weight to be moved, in each clock. Groups may follow
      each other with `plan.group_clocks` between their first waves; a weight may be read again
      `settle` clocks after it was written.
    - `g`: local errors of the next group. They must all have come in the clock before the wave
      that is `first` in the group, and those of the group after it not before `taken`.
    - `taken`: high for a clock when the first lanes have taken over the local errors of a group.
    - `y`: activations of a group after its last wave, `plan.beats` beats of
      `plan.drain_width` neurons.
    - `weight`: weights that were read, in the order of their waves.

    Parameters
    ----------
    plan
        Dimensions of the layer.
    primitives
        Where memories and multipliers come from.
    """

    wave: data.View
    g: data.View
    taken: Signal
    y: data.View
    weight: data.View

    def __init__(self, *, plan: LayerPlan, primitives: Primitives):
        self.plan = plan
        self.primitives = primitives
        at = Schedule(primitives)
        #: Clocks from the last wave of a group to the first beat of its activations.
        self.delay = latency(primitives)
        #: Clocks after a wave that writes a weight, or before it may be read.
        self.settle = at.write + 1
        super().__init__({
            "wave": In(wave(plan)),
            "g": In(gradient_beat(plan)),
            "taken": Out(1),
            "y": Out(drained(plan)),
            "weight": Out(weight_out(plan)),
        })

    def elaborate(self, platform):
        m = Module()
        wave, g, weight = self.wave, self.g, Signal(weight_out(self.plan))
        y = self.y
        for index in range(len(self.plan.clusters)):
            cluster = Cluster(plan=self.plan, index=index, primitives=self.primitives)
            m.submodules[f"cluster{index}"] = cluster
            m.d.comb += [
                cluster.wave_i.eq(wave),
                cluster.g_i.eq(g),
                cluster.weight_i.eq(weight),
                y.eq(cluster.y_o),
            ]
            wave, g, weight, y = cluster.wave_o, cluster.g_o, cluster.weight_o, cluster.y_i
        m.d.comb += self.weight.eq(weight)
        m.d.comb += self.taken.eq(delayed(m, self.wave.do.issue & self.wave.do.first, 2))
        return m
