# SPDX-License-Identifier: BSD-2-Clause
"""The pass scheduler: leads every input past every lane, group by group."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..parts.counters import work
from ..plan import LayerPlan
from ..ports import Activity, Credit, Valid, ValidInterface
from .activation_buffer import position
from .operands import step

__all__ = ["PassScheduler"]


class PassScheduler(wiring.Component):
    """Makes passes over the weights of a layer, one column of a group a clock.

    A pass applies the update that is due, if one is. Most passes also compute activations; those
    that do not end with nothing due. A pass begins when the errors of the sample before have been
    made, and each of its groups when its local errors come and its activations find room.

    - `begin`: begins a pass; the payload tells whether it computes activations.
    - `idle`: a pass may begin as far as the errors of the sample before are concerned.
    - `done`: high in the last clock of a pass. `rotate`: so is it if there were activations: the
      sample has been read for the last time as the new one.
    - `update`: the errors of the sample are made; the payload tells whether its update is due.
    - `drop`: no update is due any more.
    - `g_ready`: the local errors of the next group will be there in time, if it needs any.
    - `accepted`: the lanes have accepted the local errors of the group that was begun last.
    - `room`: for the activations of a group. `blocked`: activations are kept waiting.
    - `step`, `position`: a step for the MAC array, and where its inputs are.
    - `work`: see `Counters`.

    Parameters
    ----------
    plan
        Dimensions of the layer.
    width
        Inputs per word of the activation buffer.
    """

    begin: stream.Interface
    idle: Signal
    done: Signal
    rotate: Signal
    update: ValidInterface
    drop: Signal
    g_ready: Signal
    accepted: Signal
    room: Any
    blocked: Signal
    step: data.View
    position: data.View
    work: data.View

    def __init__(self, *, plan: LayerPlan, width: int):
        self.plan = plan
        self.width = width
        super().__init__({
            "begin": In(stream.Signature(1)),
            "idle": Out(1),
            "done": Out(1),
            "rotate": Out(1),
            "update": In(Valid(unsigned(1))),
            "drop": In(1),
            "g_ready": In(1),
            "accepted": In(1),
            "room": In(Credit()),
            "blocked": In(1),
            "step": Out(step(plan)),
            "position": Out(position(plan, width)),
            "work": Out(work(plan)),
        })

    def elaborate(self, platform):
        m = Module()
        activity = self.work.activity
        start, ended, last_group = Signal(), Signal(), Signal()
        self._columns(m, ended=ended, last_group=last_group)

        # The errors of the sample before are not made yet; whether its update is due.
        awaiting, due = Signal(), Signal()
        # Whether the present pass, and that which is to begin or is present, has activations.
        computes, wanted = Signal(), Signal()
        ready, g_ready = self._readiness(m, start=start, wanted=wanted)
        stall = Mux(g_ready, Activity.STALL_OUTPUT, Activity.STALL_ERROR)
        m.d.comb += [
            wanted.eq(computes),
            self.step.last.eq(ended & computes),
            self.step.update.eq(due),
            self.work.used.eq(computes),
            self.work.updated.eq(due),
            self.rotate.eq(self.done & computes),
        ]
        with m.If(self.update.valid):
            m.d.sync += [awaiting.eq(0), due.eq(self.update.p)]
        with m.Elif(self.drop | (self.done & ~computes)):
            m.d.sync += due.eq(0)

        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += [
                    self.idle.eq(~awaiting),
                    wanted.eq(self.begin.p),
                    self.begin.ready.eq(self.idle & ready),
                    start.eq(self.begin.valid & self.begin.ready),
                ]
                m.d.sync += computes.eq(self.begin.p)
                with m.If(awaiting):
                    waits = Mux(self.blocked, Activity.STALL_OUTPUT, Activity.STALL_ERROR)
                    m.d.comb += activity.eq(waits)
                with m.Elif(self.begin.valid & ~ready):
                    m.d.comb += activity.eq(stall)
                with m.If(start):
                    m.next = "ISSUE"

            with m.State("ISSUE"):
                m.d.comb += [self.step.issue.eq(1), activity.eq(Activity.BUSY)]
                with m.If(ended & last_group):
                    m.d.comb += self.done.eq(1)
                    m.d.sync += awaiting.eq(computes)
                    m.next = "IDLE"
                with m.Elif(ended & ready):
                    m.d.comb += start.eq(1)
                with m.Elif(ended):
                    m.next = "WAIT"

            with m.State("WAIT"):
                m.d.comb += [activity.eq(stall), start.eq(ready)]
                with m.If(ready):
                    m.next = "ISSUE"
        return m

    def _columns(self, m: Module, *, ended: Signal, last_group: Signal):
        """Count the columns and groups of a pass, and what follows from them."""
        plan = self.plan
        j, group = Signal(range(plan.layer.columns)), Signal(range(plan.groups))
        addr, place = Signal(range(plan.depth)), Signal.like(self.position)
        # Only the last group has lanes without a neuron.
        rest = plan.layer.neurons - (plan.groups - 1) * plan.layer.lanes
        m.d.comb += [
            ended.eq(j == plan.layer.inputs),
            last_group.eq(group == plan.groups - 1),
            self.position.eq(place),
            self.position.bias.eq(ended),
            self.step.first.eq(j == 0),
            self.step.addr.eq(addr),
            self.work.weights.eq(Mux(last_group, rest, plan.layer.lanes)),
        ]
        with m.If(self.step.issue):
            m.d.sync += [
                j.eq(Mux(ended, 0, j + 1)),
                addr.eq(addr + 1),
                place.part.eq(place.part + 1),
            ]
            with m.If(place.part == self.width - 1):
                m.d.sync += [place.part.eq(0), place.word.eq(place.word + 1)]
            # The bias has no place of its own.
            with m.If(ended | (j == plan.layer.inputs - 1)):
                m.d.sync += place.eq(0)
            with m.If(ended):
                m.d.sync += group.eq(Mux(last_group, 0, group + 1))
                with m.If(last_group):
                    m.d.sync += addr.eq(0)

    def _readiness(self, m: Module, *, start: Signal, wanted: Signal) -> tuple[Signal, Signal]:
        """Tell whether a group may start, and whether it may as far as local errors go."""
        starting, ready, g_ready = Signal(), Signal(), Signal()
        period = Signal(range(self.plan.group_clocks))
        m.d.comb += [
            # Until they are accepted, the local errors that are there belong to the group before.
            g_ready.eq(self.g_ready & ~starting),
            ready.eq(g_ready & (period == 0) & (self.room.space | ~wanted)),
            self.room.reserve.eq(start & wanted),
        ]
        m.d.sync += period.eq(Mux(period == 0, 0, period - 1))
        with m.If(self.accepted):
            m.d.sync += starting.eq(0)
        with m.If(start):
            m.d.sync += [starting.eq(1), period.eq(self.plan.group_clocks - 1)]
        return ready, g_ready
