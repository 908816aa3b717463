# SPDX-License-Identifier: BSD-2-Clause
"""The event scheduler: leads the list of a sample past every lane, forward and for the update."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..parts.counters import work
from ..plan import LayerPlan
from ..ports import Activity, Credit, Valid, ValidInterface
from .events import step
from .update_groups import UpdateGroups

__all__ = ["EventScheduler"]

#: Samples whose errors may be on their way.
IN_FLIGHT = 3


class EventScheduler(wiring.Component):
    """Makes the steps of samples, one after the other.

    A sample goes forward past every group of lanes, each when its activations find room. One that
    trains then waits for its errors. If they update weights, its list goes past the lanes again,
    for each group whose local errors are not all 0. Only then does the next sample begin; after
    one that does not train it begins at once. Where updates are rounded stochastically, the list of
    a sample with errors but no such group draws its fields all the same.

    - `begin`: begins a sample; the payload tells whether it trains.
    - `free`: no sample is present. `made`: the errors of all samples have been made.
    - `update`: the errors of a sample are made; the payload tells whether they update weights.
    - `some`, `ready`, `complete`, `advance`: see `hw.ports.Gradients`.
    - `settled`: weights that were written may be read.
    - `room`: for the activations of a group. `blocked`: activations are kept waiting.
    - `step`, `last`, `release`: see `EventLists`.
    - `work`: see `Counters`.

    Parameters
    ----------
    plan
        Dimensions of the layer.
    """

    begin: stream.Interface
    free: Signal
    made: Signal
    update: ValidInterface
    some: Signal
    ready: Signal
    complete: Signal
    advance: Signal
    settled: Signal
    room: Any
    blocked: Signal
    step: data.View
    last: Signal
    release: Signal
    work: data.View

    def __init__(self, *, plan: LayerPlan):
        self.plan = plan
        super().__init__(
            {
                "begin": In(stream.Signature(1)),
                "free": Out(1),
                "made": Out(1),
                "update": In(Valid(unsigned(1))),
                "some": In(1),
                "ready": In(1),
                "complete": In(1),
                "advance": Out(1),
                "settled": In(1),
                "room": In(Credit()),
                "blocked": In(1),
                "step": Out(step(plan)),
                "last": In(1),
                "release": Out(1),
                "work": Out(work(plan)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        plan, activity = self.plan, self.work.activity
        m.submodules.groups = groups = UpdateGroups(plan=plan)
        m.d.comb += [
            groups.start.eq(self.update.valid & self.update.p),
            groups.some.eq(self.some),
            groups.ready.eq(self.ready),
            groups.complete.eq(self.complete),
            self.advance.eq(groups.advance),
            self.work.group_skipped.eq(groups.skipped),
        ]
        trains, accept, room = Signal(), Signal(), Signal()
        # Of the present group: its address, and whether it is the last one.
        base, final = Signal(range(plan.depth)), Signal()
        # Fields have been drawn for the sample, and for a group of it before the present one.
        drawn, again = Signal(), Signal()
        drained = self._drained(m)
        in_flight = self._in_flight(m)
        rest = plan.layer.neurons - (plan.groups - 1) * plan.lanes
        m.d.comb += [
            self.step.base.eq(base),
            self.step.last.eq(self.step.forward & self.last),
            self.step.accept.eq(self.step.update & accept),
            self.room.reserve.eq(self.step.clear),
            self.work.weights.eq(Mux(final, rest, plan.lanes)),
        ]
        with m.If(groups.take):
            m.d.sync += [base.eq(groups.base), final.eq(groups.last), accept.eq(1)]
            m.d.sync += [again.eq(drawn), drawn.eq(1)]
        with m.Elif(self.step.update):
            m.d.sync += accept.eq(0)
        with m.If(self.release):
            m.d.sync += drawn.eq(0)

        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += [
                    room.eq(self.room.space & (in_flight != IN_FLIGHT)),
                    self.free.eq(1),
                    self.begin.ready.eq(self.settled & room),
                    self.step.clear.eq(self.begin.valid & self.begin.ready),
                ]
                m.d.sync += [trains.eq(self.begin.p), base.eq(0), final.eq(plan.groups == 1)]
                with m.If(self.begin.valid):
                    m.d.comb += activity.eq(Mux(room, Activity.GAP, Activity.STALL_OUTPUT))
                with m.If(self.step.clear):
                    m.next = "FORWARD"

            with m.State("FORWARD"):
                with m.If(self.last & ~drained):
                    m.d.comb += activity.eq(Activity.GAP)
                with m.Else():
                    m.d.comb += [self.step.forward.eq(1), activity.eq(Activity.FORWARD)]
                with m.If(self.step.last & ~final):
                    m.next = "CLEAR"
                with m.Elif(self.step.last & trains):
                    m.next = "ERROR"
                with m.Elif(self.step.last):
                    m.d.comb += self.release.eq(1)
                    m.next = "IDLE"

            with m.State("CLEAR"):
                m.d.comb += [
                    self.step.clear.eq(self.room.space),
                    activity.eq(Mux(self.room.space, Activity.GAP, Activity.STALL_OUTPUT)),
                ]
                with m.If(self.room.space):
                    m.next = "FORWARD"

            with m.State("ERROR"):
                waits = Mux(self.blocked, Activity.STALL_OUTPUT, Activity.STALL_ERROR)
                m.d.comb += activity.eq(waits)
                # The errors of samples before, which do not train, may come first.
                with m.If(self.update.valid & (in_flight == 1)):
                    m.next = "GRADIENT"
                    with m.If(~self.update.p):
                        m.d.comb += [self.work.update_skipped.eq(1), self.release.eq(1)]
                        m.next = "IDLE"

            self._update(m, groups, accept, drawn, again)
        with m.If(self.step.last):
            m.d.sync += base.eq(base + plan.layer.columns)
            self._next_group(m, final)
        return m

    def _update(
        self, m: Module, groups: UpdateGroups, accept: Signal, drawn: Signal, again: Signal
    ):
        """Lead the list past the lanes once more, for each group that has local errors."""
        plan, activity = self.plan, self.work.activity
        with m.State("GRADIENT"):
            m.d.comb += [groups.take.eq(groups.valid), activity.eq(Activity.STALL_ERROR)]
            with m.If(groups.valid):
                m.next = "UPDATE"
            if plan.drawn_bits:
                with m.Elif(groups.done & ~drawn):
                    m.next = "DRAW"
            with m.Elif(groups.done):
                m.d.comb += self.release.eq(1)
                m.next = "IDLE"

        with m.State("UPDATE"):
            m.d.comb += [
                self.step.update.eq(1),
                self.step.draw.eq(1),
                self.step.first.eq(accept & ~again),
                self.step.again.eq(accept & again),
                groups.take.eq(self.last & groups.valid),
                activity.eq(Activity.UPDATE),
            ]
            with m.If(self.last & groups.done):
                m.d.comb += self.release.eq(1)
                m.next = "IDLE"
            with m.Elif(self.last & ~groups.valid):
                m.next = "GRADIENT"

        if plan.drawn_bits:
            with m.State("DRAW"):
                m.d.comb += self.step.draw.eq(1)
                with m.If(self.last):
                    m.d.comb += self.release.eq(1)
                    m.next = "IDLE"

    def _next_group(self, m: Module, final: Signal):
        """Count the groups that go forward."""
        groups = self.plan.groups
        group = Signal(range(groups))
        m.d.sync += [group.eq(Mux(final, 0, group + 1)), final.eq(group + 2 >= groups)]

    def _drained(self, m: Module) -> Value:
        """Tell whether the lanes can be drained of the group when it ends now."""
        period = Signal(range(self.plan.drain_span))
        with m.If(self.step.last):
            m.d.sync += period.eq(self.plan.drain_span - 1)
        with m.Elif(period != 0):
            m.d.sync += period.eq(period - 1)
        return period == 0

    def _in_flight(self, m: Module) -> Signal:
        """Count the samples that have begun and whose errors have not been made."""
        count = Signal(range(IN_FLIGHT + 1))
        m.d.sync += count.eq(count + (self.begin.valid & self.begin.ready) - self.update.valid)
        m.d.comb += self.made.eq(count == 0)
        return count
