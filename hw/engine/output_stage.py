# SPDX-License-Identifier: BSD-2-Clause
"""The output stage: activations leave the layer, for the next one and for the classifier."""

from math import ceil

from amaranth.hdl import Module, Mux, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..parts.credit_fifo import CreditFIFO
from ..plan import LayerPlan
from ..ports import X_WIDTH, beat, drained, header

__all__ = ["OutputStage"]

#: Groups whose activations find room.
GROUPS = 2


class OutputStage(wiring.Component):
    """Takes the activations of the lanes and hands them on, those of missing neurons as 0.

    - `i`: what the MAC array drains. `space` says that another group finds room, `reserve` takes
      that room.
    - `header`: of the sample whose activations these are.
    - `o`: packets for the next layer, without the beats that hold missing neurons only.
    - `y_valid`, `y`, `y_last`: all beats of a sample, without back-pressure, a clock after `o`.
      The last beat of a sample waits for `sample_ready`.
    - `command`: a packet that is no sample; it is passed on when all samples have been.
    - `blocked`: the next layer, or `sample_ready`, keeps a beat waiting.

    Parameters
    ----------
    plan
        Dimensions of the layer.
    """

    i: data.View
    reserve: Signal
    space: Signal
    header: data.View
    command: stream.Interface
    o: stream.Interface
    y_valid: Signal
    y_last: Signal
    y: data.View
    sample_ready: Signal
    blocked: Signal

    def __init__(self, *, plan: LayerPlan):
        self.plan = plan
        classes = plan.layer.classes
        super().__init__({
            "i": In(drained(plan)),
            "reserve": In(1),
            "space": Out(1),
            "header": In(header(classes)),
            "command": In(stream.Signature(header(classes))),
            "o": Out(stream.Signature(beat(classes, plan.drain_width))),
            "y_valid": Out(1),
            "y_last": Out(1),
            "y": Out(data.ArrayLayout(unsigned(X_WIDTH), plan.drain_width)),
            "sample_ready": In(1),
            "blocked": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        plan = self.plan
        m.submodules.kept = kept = CreditFIFO(
            shape=self.y.shape(), depth=GROUPS * plan.beats, burst=plan.beats
        )
        m.d.comb += [
            kept.i.eq(self.i.y),
            kept.i_valid.eq(self.i.valid),
            kept.reserve.eq(self.reserve),
            self.space.eq(kept.space),
        ]

        index, group = Signal(range(plan.beats)), Signal(range(plan.groups))
        last_index, last_group, last = Signal(), Signal(), Signal()
        passed_on = Signal()
        # Only the last group has lanes without a neuron.
        present = plan.layer.neurons - (plan.groups - 1) * plan.layer.lanes
        m.d.comb += [
            last_index.eq(index == plan.beats - 1),
            last_group.eq(group == plan.groups - 1),
            passed_on.eq(~last_group | (index < ceil(present / plan.drain_width))),
            last.eq(last_index & last_group),
        ]
        y = Signal.like(self.y)
        for place in range(plan.drain_width):
            missing = last_group & (index * plan.drain_width + place >= present)
            m.d.comb += y[place].eq(Mux(missing, 0, kept.o.p[place]))

        # What the classifier sees is registered: it must not wait for the next layer's `ready` to
        # come through.
        held, moved = Signal(), Signal()
        m.d.comb += [
            held.eq(last & ~self.sample_ready),
            kept.o.ready.eq(~held & (~passed_on | self.o.ready)),
            moved.eq(kept.o.valid & kept.o.ready),
            self.blocked.eq(kept.o.valid & ~kept.o.ready),
        ]
        m.d.sync += [self.y_valid.eq(moved), self.y_last.eq(last), self.y.eq(y)]
        with m.If(moved):
            m.d.sync += index.eq(Mux(last_index, 0, index + 1))
            with m.If(last_index):
                m.d.sync += group.eq(Mux(last_group, 0, group + 1))

        m.d.comb += self.o.p.x.eq(y)
        with m.If(kept.idle):
            m.d.comb += [
                self.o.valid.eq(self.command.valid),
                self.o.p.header.eq(self.command.p),
                self.command.ready.eq(self.o.ready),
            ]
        with m.Else():
            m.d.comb += [
                self.o.valid.eq(kept.o.valid & passed_on & ~held),
                self.o.p.header.eq(self.header),
            ]
        return m
