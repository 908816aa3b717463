# SPDX-License-Identifier: BSD-2-Clause
"""The performance counters of a layer."""

from amaranth.hdl import Const, Module, Mux, Shape, Signal
from amaranth.lib import data, enum, wiring
from amaranth.lib.wiring import In, Out

from ..plan import LayerPlan
from ..ports import COUNTER_WIDTH, COUNTERS
from .pipeline import delayed

__all__ = ["Activity", "Counters"]


class Activity(enum.Enum, shape=3):
    """What a layer does in a clock; each has a counter of its name."""

    OTHER = 0
    BUSY = 1
    STALL_INPUT = 2
    STALL_ERROR = 3
    STALL_OUTPUT = 4


class Counters(wiring.Component):
    """Counts clocks by activity, and the weights that are read, used and written (`COUNTERS`).

    `weights` is the number of weights that exist among those that a busy clock reads; `used` and
    `updated` say what becomes of them. Counts appear two clocks later.

    Parameters
    ----------
    plan
        Dimensions of the layer.
    """

    activity: Signal
    weights: Signal
    used: Signal
    updated: Signal
    values: data.View

    def __init__(self, *, plan: LayerPlan):
        self.plan = plan
        super().__init__({
            "activity": In(Activity),
            "weights": In(range(plan.layer.lanes + 1)),
            "used": In(1),
            "updated": In(1),
            "values": Out(data.StructLayout(dict.fromkeys(COUNTERS, Shape.cast(COUNTER_WIDTH)))),
        })

    def elaborate(self, platform):
        m = Module()
        weights = Signal.like(self.weights)
        m.d.comb += weights.eq(Mux(self.activity == Activity.BUSY, self.weights, 0))
        updated = Mux(self.updated, weights, 0)
        steps = {kind.name.lower(): self.activity == kind for kind in Activity}
        steps |= {
            "cycles": Const(1),
            "macs": Mux(self.used, weights, 0) + updated,
            "weight_reads": weights,
            "weight_writes": updated,
        }
        for name in COUNTERS:
            counter = self.values[name]
            step = delayed(m, steps[name], 1)
            m.d.sync += counter.eq(counter + step)
        return m
