# SPDX-License-Identifier: BSD-2-Clause
"""Commands and samples on their way to the network, and what the layers say of them."""

from collections.abc import Sequence

from amaranth.hdl import Const, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.plan import LayerPlan
from hw.ports import has_left, result, samples

from ..protocol import Op
from .runs import RunReader
from .sender import marked

__all__ = ["Packets", "Results"]


class Results(wiring.Component):
    """Gathers what the layers say of a packet: `complete` once all have, until `clear`.

    `predictions` has a byte for each layer; if samples may leave early, one more follows with the
    layer at which it left. `correct` has a bit for each layer; above that one it is that one's.

    Parameters
    ----------
    plans
        The plan of each layer.
    """

    clear: Signal
    complete: Signal
    predictions: Signal
    correct: Signal

    def __init__(self, plans: Sequence[LayerPlan]):
        self.layers = layers = len(plans)
        self.exits = plans[-1].layer.exits
        streams = {f"i{i}": In(stream.Signature(result(plan))) for i, plan in enumerate(plans)}
        super().__init__(
            {
                **streams,
                "clear": In(1),
                "complete": Out(1),
                "predictions": Out(8 * (layers + self.exits)),
                "correct": Out(layers),
            }
        )

    def elaborate(self, platform):
        m = Module()
        arrived, correct, left = (Signal(self.layers, name=n) for n in ("arrived", "right", "left"))
        m.d.comb += self.complete.eq(arrived.all())
        with m.If(self.clear):
            m.d.sync += arrived.eq(0)
        for i in range(self.layers):
            port = getattr(self, f"i{i}")
            m.d.comb += port.ready.eq(~arrived[i])
            with m.If(port.valid & port.ready):
                m.d.sync += [
                    arrived[i].eq(1),
                    self.predictions.word_select(i, 8).eq(port.payload.prediction),
                    correct[i].eq(port.payload.correct),
                ]
                if has_left(port.payload.header):
                    m.d.sync += left[i].eq(port.payload.header.left)
            m.d.comb += self.correct[i].eq(
                Mux(left[i], self.correct[i - 1], correct[i]) if i else correct[i]
            )
        if self.exits:
            passed = sum((~bit for bit in left[1:]), Const(0, 8))
            m.d.sync += self.predictions.word_select(self.layers, 8).eq(passed)
        return m


class Packets(wiring.Component):
    """Sends the network the packet of a request while `go` is high, and waits until it is done.

    A sample is read twice: first it is only looked through, so that nothing of one that is wrong
    reaches the network; `again` then asks for the body from the start. Each value is a beat of its
    own, and a beat of zeros ends the packet.

    `done` is high in the last clock, which for LOAD is that in which the network takes it;
    `refused` then says that the sample was wrong. READ is done when `read` says that all weights
    have been accepted, too; until then `reading` is high. `clear` says that what the layers say
    from now on belongs to this packet, and `complete` that all have said it. `seen` is high for a
    clock when a sample is done.

    Parameters
    ----------
    plan
        Of the first layer.
    pixels
        In a beat of the network's input.
    """

    go: Signal
    op: Signal
    label: Signal
    body: stream.Interface
    again: Signal
    samples: stream.Interface
    done: Signal
    refused: Signal
    reading: Signal
    read: Signal
    clear: Signal
    complete: Signal
    seen: Signal

    def __init__(self, *, plan: LayerPlan, pixels: int):
        self.plan = plan
        self.pixels = pixels
        super().__init__(
            {
                "go": In(1),
                "op": In(8),
                "label": In(8),
                "body": In(stream.Signature(marked())),
                "again": Out(1),
                "samples": Out(samples(plan, pixels)),
                "done": Out(1),
                "refused": Out(1),
                "reading": Out(1),
                "read": In(1),
                "clear": Out(1),
                "complete": In(1),
                "seen": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.runs = runs = RunReader(inputs=self.plan.layer.inputs)
        wiring.connect(m, wiring.flipped(self.body), runs.body)
        beat, is_sample, taken = self.samples.payload, Signal(), Signal()
        m.d.comb += [
            beat.header.command.eq(self.op),
            beat.header.label.eq(self.label),
            is_sample.eq(self.op <= Op.INFER),
            taken.eq(self.body.valid & self.body.ready & self.body.payload.last),
        ]
        m.d.sync += self.seen.eq(0)
        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += self.clear.eq(self.go)
                with m.If(self.go):
                    m.next = "LAST BEAT"
                    with m.If(is_sample):
                        m.next = "LOOK"
            with m.State("LOOK"):
                m.d.comb += [runs.go.eq(1), runs.o.ready.eq(1)]
                with m.If(taken):
                    m.next = "JUDGE"
            with m.State("JUDGE"):
                m.d.comb += [self.refused.eq(runs.wrong), self.again.eq(~runs.wrong)]
                m.next = "VALUES"
                with m.If(runs.wrong):
                    m.d.comb += self.done.eq(1)
                    m.next = "IDLE"
            with m.State("VALUES"):
                m.d.comb += [
                    runs.go.eq(1),
                    runs.o.ready.eq(self.samples.ready),
                    self.samples.valid.eq(runs.o.valid),
                    beat.gap.eq(runs.o.payload.gap),
                    beat.x[0].eq(runs.o.payload.x),
                ]
                with m.If(taken):
                    m.next = "LAST BEAT"
            with m.State("LAST BEAT"):
                m.d.comb += [self.samples.valid.eq(1), beat.last.eq(1)]
                with m.If(self.samples.ready):
                    m.next = "WAIT"
                    with m.If(self.op == Op.READ):
                        m.next = "READ"
                    with m.If(self.op == Op.LOAD):
                        m.next = "DONE"
            with m.State("READ"):
                m.d.comb += self.reading.eq(1)
                with m.If(self.read):
                    m.next = "WAIT"
            with m.State("WAIT"), m.If(self.complete):
                m.d.sync += self.seen.eq(is_sample)
                m.next = "DONE"
            with m.State("DONE"):
                m.d.comb += self.done.eq(1)
                m.next = "IDLE"
        return m
