# SPDX-License-Identifier: BSD-2-Clause
"""The order in which local errors are sent: beat by beat of a group, group by group."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..plan import LayerPlan

__all__ = ["GradientOrder"]


class GradientOrder(wiring.Component):
    """Says in which clocks a beat of local errors is sent, and which.

    - `start`: the first group of a sample may be sent; `advance`: the next group may be. An
      `advance` counts only while groups of a sample remain.
    - `sending`: a beat is sent, in the clock in which it is `taken`; `index` is its place in the
      group, `ends` marks the group's last, `last` the sample's. `turn` changes with `advance`.
    - `ready`: the last beat of the present group was sent `distance` clocks ago or earlier.
      `complete`: it was sent `delay` clocks ago or earlier.

    Parameters
    ----------
    plan
        Dimensions of the layer.
    distance, delay
        Clocks from the last beat of a group until `ready` and until `complete`, at least 1.
    """

    start: Signal
    advance: Signal
    sending: Signal
    taken: Signal
    index: Signal
    ends: Signal
    last: Signal
    turn: Signal
    ready: Signal
    complete: Signal

    def __init__(self, *, plan: LayerPlan, distance: int, delay: int):
        self.plan = plan
        self.distance = distance
        self.delay = delay
        super().__init__(
            {
                "start": In(1),
                "advance": In(1),
                "sending": Out(1),
                "taken": In(1),
                "index": Out(range(plan.beats)),
                "ends": Out(1),
                "last": Out(1),
                "turn": Out(1),
                "ready": Out(1),
                "complete": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        active, last_index, last_group = Signal(), self.ends, Signal()
        group, elapsed = Signal(range(self.plan.groups)), Signal(range(self.delay + 1))
        m.d.comb += [
            last_index.eq(self.index == self.plan.beats - 1),
            last_group.eq(group == self.plan.groups - 1),
            self.last.eq(last_index & last_group),
        ]
        with m.If(self.sending & self.taken):
            m.d.sync += [
                elapsed.eq(1),
                self.index.eq(Mux(last_index, 0, self.index + 1)),
                self.sending.eq(~last_index),
                self.ready.eq(last_index & (self.distance <= 1)),
                self.complete.eq(last_index & (self.delay <= 1)),
            ]
        with m.Elif(~self.sending):
            m.d.sync += [
                elapsed.eq(Mux(elapsed == self.delay, elapsed, elapsed + 1)),
                self.ready.eq(elapsed + 1 >= self.distance),
                self.complete.eq(elapsed + 1 >= self.delay),
            ]
        with m.If(self.advance & active):
            m.d.sync += self.turn.eq(~self.turn)
            m.d.sync += group.eq(Mux(last_group, 0, group + 1))
            with m.If(last_group):
                m.d.sync += active.eq(0)
            with m.Else():
                m.d.sync += self._begin()
        with m.If(self.start):
            m.d.sync += [active.eq(1), *self._begin()]
        return m

    def _begin(self):
        """Send the beats of a group from the next clock on."""
        return [self.sending.eq(1), self.ready.eq(0), self.complete.eq(0)]
