# SPDX-License-Identifier: BSD-2-Clause
"""The performance counters of a layer."""

from amaranth.hdl import Const, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..plan import LayerPlan
from ..ports import COUNTERS, Activity, counters
from .pipeline import delayed

__all__ = ["Counters", "work"]


def work(plan: LayerPlan) -> data.StructLayout:
    """Layout of what a layer does in a clock.

    `weights` is the number of weights that exist among those that a busy clock reads. `used` and
    `updated` tell what becomes of them.
    """
    return data.StructLayout({
        "activity": Activity,
        "weights": range(plan.layer.lanes + 1),
        "used": 1,
        "updated": 1,
    })


class Counters(wiring.Component):
    """Counts clocks by activity, and the weights that are read, used and written (`COUNTERS`).

    Counts appear two clocks after their `work`.

    Parameters
    ----------
    plan
        Dimensions of the layer.
    """

    work: data.View
    values: data.View

    def __init__(self, *, plan: LayerPlan):
        self.plan = plan
        super().__init__({"work": In(work(plan)), "values": Out(counters())})

    def elaborate(self, platform):
        m = Module()
        weights = Signal.like(self.work.weights)
        m.d.comb += weights.eq(Mux(self.work.activity == Activity.BUSY, self.work.weights, 0))
        updated = Mux(self.work.updated, weights, 0)
        steps = {kind.name.lower(): self.work.activity == kind for kind in Activity}
        steps |= {
            "cycles": Const(1),
            "macs": Mux(self.work.used, weights, 0) + updated,
            "weight_reads": weights,
            "weight_writes": updated,
        }
        for name in COUNTERS:
            counter = self.values[name]
            step = delayed(m, steps[name], 1)
            m.d.sync += counter.eq(counter + step)
        return m
