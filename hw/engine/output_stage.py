# SPDX-License-Identifier: BSD-2-Clause
"""The output stage: activations leave the layer, for the next one and for the local error."""

from math import ceil
from typing import Any

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..parts.credit_fifo import CreditFIFO
from ..plan import LayerPlan
from ..ports import (
    Credit,
    Valid,
    ValidInterface,
    activation_beat,
    is_sample,
    outputs,
    packets,
    trains,
    y_beat,
)
from .dropout import Dropout

__all__ = ["OutputStage"]

#: Groups whose activations find room.
GROUPS = 2


class OutputStage(wiring.Component):
    """Hands packets on, in order: samples with the activations of the lanes, others as they are.

    - `packet`: what is passed on next.
    - `i`: activations from the MAC array, those of `packet`. `room`: for those of a group.
    - `o`: packets for the next layer, without the beats that hold missing neurons only.
    - `activations`: all beats of each sample, a clock after `o`; missing neurons are 0, and so are
      those that are dropped, in both.
    - `score_room`: for the scores of a sample; its last beat waits for it.
    - `blocked`: the next layer, or `score_room`, keeps a beat waiting.

    Parameters
    ----------
    plan
        Dimensions of the layer.
    """

    packet: stream.Interface
    i: ValidInterface
    room: Any
    o: stream.Interface
    activations: ValidInterface
    score_room: Any
    blocked: Signal

    def __init__(self, *, plan: LayerPlan):
        self.plan = plan
        super().__init__(
            {
                "packet": In(packets(plan)),
                "i": In(Valid(y_beat(plan))),
                "room": Out(Credit()),
                "o": Out(outputs(plan)),
                "activations": Out(Valid(activation_beat(plan))),
                "score_room": In(Credit()),
                "blocked": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        plan = self.plan
        m.submodules.words = words = CreditFIFO(
            shape=y_beat(plan), depth=GROUPS * plan.beats, burst=plan.beats
        )
        wiring.connect(m, wiring.flipped(self.i), words.i)
        wiring.connect(m, wiring.flipped(self.room), words.room)
        header, occupied, sample = Signal.like(self.packet.p), Signal(), Signal()
        transferred, word, y = Signal(), Signal(y_beat(plan)), Signal(y_beat(plan))
        first, last, present, final = self._places(m, word, transferred=transferred, y=y)
        if plan.layer.dropout:
            m.submodules.dropout = dropout = Dropout(plan=plan)
            m.d.comb += [
                dropout.i.eq(words.o.p),
                dropout.train.eq(trains(header)),
                dropout.step.eq(transferred & present),
                dropout.final.eq(final),
                word.eq(dropout.o),
            ]
        else:
            m.d.comb += word.eq(words.o.p)

        # What `activations` shows is registered: it must not wait for the next layer's `ready` to
        # come through.
        held = Signal()
        m.d.comb += [
            self.packet.ready.eq(~occupied),
            sample.eq(is_sample(header)),
            held.eq(last & ~self.score_room.space),
            words.o.ready.eq(occupied & sample & ~held & (~present | self.o.ready)),
            transferred.eq(words.o.valid & words.o.ready),
            self.score_room.reserve.eq(transferred & last),
            self.blocked.eq(occupied & words.o.valid & ~words.o.ready),
            *(self.o.p.x[n].eq(y[n]) for n in range(plan.drain_width)),
            self.o.p.gap.eq(Mux(first, 0, plan.drain_width)),
            self.o.p.last.eq(~sample | final),
            # Nothing leaves here, so that a bit which only the headers above have is 0.
            self.o.p.header.eq(header),
            self.o.valid.eq(occupied & (~sample | (words.o.valid & present & ~held))),
            self.activations.p.header.eq(header),
        ]
        m.d.sync += [
            self.activations.valid.eq(transferred),
            self.activations.p.last.eq(last),
            self.activations.p.y.eq(y),
        ]
        with m.If(self.packet.ready):
            m.d.sync += [header.eq(self.packet.p), occupied.eq(self.packet.valid)]
        with m.Elif(Mux(sample, transferred & last, self.o.ready)):
            m.d.sync += occupied.eq(0)
        return m

    def _places(
        self, m: Module, word: Any, *, transferred: Signal, y: Any
    ) -> tuple[Signal, Signal, Signal, Signal]:
        """Count beats: is it the first of a sample, the last, has it neurons, the last that has?"""
        plan = self.plan
        index, group = Signal(range(plan.beats)), Signal(range(plan.groups))
        first, last, present, final = Signal(), Signal(), Signal(), Signal()
        last_index, last_group = Signal(), Signal()
        # Only the last group has lanes without a neuron.
        rest = plan.layer.neurons - (plan.groups - 1) * plan.lanes
        beats = ceil(rest / plan.drain_width)
        m.d.comb += [
            last_index.eq(index == plan.beats - 1),
            last_group.eq(group == plan.groups - 1),
            first.eq((index == 0) & (group == 0)),
            present.eq(~last_group | (index < beats)),
            final.eq(last_group & (index == beats - 1)),
            last.eq(last_index & last_group),
        ]
        for place in range(plan.drain_width):
            missing = last_group & (index >= max(ceil((rest - place) / plan.drain_width), 0))
            m.d.comb += y[place].eq(Mux(missing, 0, word[place]))
        with m.If(transferred):
            m.d.sync += index.eq(Mux(last_index, 0, index + 1))
            with m.If(last_index):
                m.d.sync += group.eq(Mux(last_group, 0, group + 1))
        return first, last, present, final
