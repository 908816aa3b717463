# SPDX-License-Identifier: BSD-2-Clause
"""The performance counters of a layer."""

from amaranth.hdl import Const, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..plan import LayerPlan
from ..ports import LEFT, Activity, counted, counters
from .pipeline import delayed

__all__ = ["Counters", "work"]


def work(plan: LayerPlan) -> data.StructLayout:
    """Layout of what a layer does in a clock.

    `weights` is the number of weights that exist among those that an event reads. The others tell
    what is skipped.
    """
    return data.StructLayout(
        {
            "activity": Activity,
            "weights": range(plan.lanes + 1),
            "update_skipped": 1,
            "group_skipped": 1,
        }
    )


class Counters(wiring.Component):
    """Counts clocks by activity, what is skipped, and the weights read and written (`COUNTERS`).

    `columns_skipped` is the number of columns that are skipped in a clock. `left`, if there is one,
    is high for each sample that has left below. Counts appear two clocks after their `work`.

    Parameters
    ----------
    plan
        Dimensions of the layer.
    """

    work: data.View
    columns_skipped: Signal
    left: Signal
    values: data.View

    def __init__(self, *, plan: LayerPlan):
        self.plan = plan
        super().__init__(
            {
                **({LEFT: In(1)} if plan.layer.exits_below else {}),
                "work": In(work(plan)),
                "columns_skipped": In(range(plan.layer.columns)),
                "values": Out(counters(counted(plan))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        work = self.work
        steps = {kind.name.lower(): work.activity == kind for kind in Activity}
        event = steps["forward"] | steps["update"]
        steps |= {
            "cycles": Const(1),
            "columns_skipped": self.columns_skipped,
            "updates_skipped": work.update_skipped,
            "groups_skipped": work.group_skipped,
            "weight_reads": Mux(event, work.weights, 0),
            "weight_writes": Mux(steps["update"], work.weights, 0),
        }
        if self.plan.layer.exits_below:
            steps[LEFT] = self.left
        for name in counted(self.plan):
            counter = self.values[name]
            step = delayed(m, steps[name], 1)
            m.d.sync += counter.eq(counter + step)
        return m
