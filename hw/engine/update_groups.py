# SPDX-License-Identifier: BSD-2-Clause
"""The update groups: which groups of a sample have anything to update."""

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..plan import LayerPlan

__all__ = ["UpdateGroups"]


class UpdateGroups(wiring.Component):
    """Finds the groups whose local errors are not all 0, while others are updated.

    - `start`: the local errors of a sample come, those of group 0 first.
    - `some`, `ready`, `complete`, `advance`: see `hw.ports.Gradients`.
    - `valid`: the next such group may be begun; its column 0 lies at `base`, and `last` marks the
      last group of all. `take` begins it.
    - `done`: all groups have been begun or skipped. `skipped`: one is, in this clock.

    Parameters
    ----------
    plan
        Dimensions of the layer.
    """

    start: Signal
    some: Signal
    ready: Signal
    complete: Signal
    advance: Signal
    valid: Signal
    base: Signal
    last: Signal
    take: Signal
    done: Signal
    skipped: Signal

    def __init__(self, *, plan: LayerPlan):
        self.plan = plan
        super().__init__(
            {
                "start": In(1),
                "some": In(1),
                "ready": In(1),
                "complete": In(1),
                "advance": Out(1),
                "valid": Out(1),
                "base": Out(range(plan.depth)),
                "last": Out(1),
                "take": In(1),
                "done": Out(1),
                "skipped": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        groups = self.plan.groups
        group, active = Signal(range(groups)), Signal()
        m.d.comb += [
            self.valid.eq(active & self.ready & self.some),
            self.skipped.eq(active & self.complete & ~self.some),
            self.advance.eq(self.take | self.skipped),
            self.last.eq(group == groups - 1),
            self.done.eq(~active),
        ]
        with m.If(self.advance):
            m.d.sync += [group.eq(group + 1), self.base.eq(self.base + self.plan.layer.columns)]
            with m.If(self.last):
                m.d.sync += active.eq(0)
        with m.If(self.start):
            m.d.sync += [active.eq(1), group.eq(0), self.base.eq(0)]
        return m
