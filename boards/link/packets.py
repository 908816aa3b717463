# SPDX-License-Identifier: BSD-2-Clause
"""Commands and samples on their way to the network, and what the layers say of them."""

from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.ports import beat, result

from ..protocol import Op
from .sender import marked

__all__ = ["Packets", "Results"]


class Results(wiring.Component):
    """Gathers what the layers say of a packet: `complete` once all have, until `clear`.

    `predictions` has a byte, `correct` a bit for each layer.
    """

    clear: Signal
    complete: Signal
    predictions: Signal
    correct: Signal

    def __init__(self, *, classes: int, layers: int):
        self.layers = layers
        streams = {f"i{i}": In(stream.Signature(result(classes))) for i in range(layers)}
        super().__init__({
            **streams,
            "clear": In(1),
            "complete": Out(1),
            "predictions": Out(8 * layers),
            "correct": Out(layers),
        })

    def elaborate(self, platform):
        m = Module()
        arrived = Signal(self.layers)
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
                    self.correct[i].eq(port.payload.correct),
                ]
        return m


class Packets(wiring.Component):
    """Sends the network the packet of a request while `go` is high, and waits until it is done.

    `done` is high in the last clock, which for LOAD is that in which the network takes it. READ is
    done when `read` says that all weights have been accepted, too; until then `reading` is high.
    `clear` says that what the layers say from now on belongs to this packet, and `complete` that
    all have said it. `seen` is high for a clock when a sample is done.

    Parameters
    ----------
    classes
        Of the network.
    """

    go: Signal
    op: Signal
    label: Signal
    body: stream.Interface
    samples: stream.Interface
    done: Signal
    reading: Signal
    read: Signal
    clear: Signal
    complete: Signal
    seen: Signal

    def __init__(self, *, classes: int):
        super().__init__({
            "go": In(1),
            "op": In(8),
            "label": In(8),
            "body": In(stream.Signature(marked())),
            "samples": Out(stream.Signature(beat(classes, 1))),
            "done": Out(1),
            "reading": Out(1),
            "read": In(1),
            "clear": Out(1),
            "complete": In(1),
            "seen": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        header = self.samples.payload.header
        m.d.comb += [
            header.command.eq(self.op),
            header.label.eq(self.label),
            self.samples.payload.x[0].eq(self.body.payload.byte),
        ]
        m.d.sync += self.seen.eq(0)
        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += self.clear.eq(self.go)
                with m.If(self.go):
                    m.next = "COMMAND"
                    with m.If(self.op <= Op.INFER):
                        m.next = "SAMPLE"
            with m.State("SAMPLE"):
                m.d.comb += [
                    self.samples.valid.eq(self.body.valid),
                    self.body.ready.eq(self.samples.ready),
                ]
                with m.If(self.body.valid & self.body.ready & self.body.payload.last):
                    m.next = "WAIT"
            with m.State("COMMAND"):
                m.d.comb += self.samples.valid.eq(1)
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
                m.d.sync += self.seen.eq(self.op <= Op.INFER)
                m.next = "DONE"
            with m.State("DONE"):
                m.d.comb += self.done.eq(1)
                m.next = "IDLE"
        return m
