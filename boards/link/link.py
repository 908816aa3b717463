# SPDX-License-Identifier: BSD-2-Clause
"""The link: its parts, and what passes between them."""

from typing import Any

from amaranth.hdl import Array, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.parts.register_slice import RegisterSlice
from hw.ports import LayerSignature, samples
from hw.primitives import Primitives

from ..protocol import Info, LinkShape, Op
from .control import Control, Unit
from .packets import Packets, Results
from .receiver import FrameReceiver
from .registers import Registers
from .responder import Responder
from .rows import WORD, Loader, Reader, RowOrder
from .sender import FrameSender

__all__ = ["Link"]


class Link(wiring.Component):
    """Carries out the requests that arrive at `rx` and answers through `tx`.

    `samples` and `layer0`, `layer1`, ... belong to the network. `seen` is high for a clock when a
    TRAIN or INFER is done; `correct` then has a bit for each layer.

    Parameters
    ----------
    shape
        Sizes.
    info
        Answer to INFO.
    primitives
        Where memories come from.
    """

    rx: stream.Interface
    tx: stream.Interface
    samples: stream.Interface
    seen: Signal
    correct: Signal

    def __init__(self, *, shape: LinkShape, info: Info, primitives: Primitives):
        self.shape = shape
        self.info = info
        plans = shape.plans
        self._parts: dict[str, Any] = {
            "receiver": FrameReceiver(
                body_max=shape.body_max,
                depth=shape.depth,
                opening=Op.HELLO,
                primitives=primitives,
            ),
            "control": Control(shape),
            "packets": Packets(plan=plans[0], pixels=shape.pixels),
            "results": Results(plans),
            "registers": Registers(plans),
            "rows": RowOrder(plans),
            "loader": Loader(plans),
            "reader": Reader(),
            "words": RegisterSlice(WORD),
            "responder": Responder(shape=shape, info=info),
            "sender": FrameSender(),
        }
        super().__init__(
            {
                "rx": In(stream.Signature(8)),
                "tx": Out(stream.Signature(8)),
                "samples": Out(samples(plans[0], shape.pixels)),
                **{f"layer{i}": In(LayerSignature(plan)) for i, plan in enumerate(plans)},
                "seen": Out(1),
                "correct": Out(len(plans)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        for name, part in self._parts.items():
            m.submodules[name] = part
        receiver, control, sender = (self._parts[k] for k in ("receiver", "control", "sender"))
        wiring.connect(m, wiring.flipped(self.rx), receiver.i)
        wiring.connect(m, receiver.o, control.i)
        wiring.connect(m, sender.o, wiring.flipped(self.tx))
        wiring.connect(m, self._parts["words"].o, self._parts["reader"].i)
        m.d.comb += [control.opened.eq(receiver.opened), receiver.keep.eq(control.keep)]
        self._connect_units(m, **self._parts)
        self._connect_rows(m, **self._parts)
        self._connect_answers(m, **self._parts)
        self._connect_layers(m, **self._parts)
        return m

    def _connect_units(self, m, *, receiver, control, packets, loader, registers, results, **_):
        """Let the control have requests carried out."""
        request, body = control.request, control.body
        # Only the unit that works takes anything.
        units = packets, loader, registers
        for unit in units:
            m.d.comb += [unit.body.payload.eq(body.payload), unit.body.valid.eq(body.valid)]
        m.d.comb += body.ready.eq(packets.body.ready | loader.body.ready | registers.body.ready)
        greeting = control.go == Unit.GREETER
        m.d.comb += [
            packets.go.eq(control.go == Unit.PACKETS),
            packets.op.eq(request.op),
            packets.label.eq(request.argument),
            packets.complete.eq(results.complete),
            receiver.again.eq(packets.again),
            control.again.eq(packets.again),
            results.clear.eq(packets.clear),
            registers.go.eq(control.go == Unit.REGISTERS),
            registers.layer.eq(request.argument),
            loader.go.eq(control.go == Unit.LOADER),
            loader.give_up.eq(greeting & loader.loading),
            loader.begun.eq(packets.done & (request.op == Op.LOAD)),
            loader.complete.eq(results.complete),
            control.loading.eq(loader.loading),
            control.done.eq(
                packets.done | loader.done | registers.done | (greeting & ~loader.loading)
            ),
            control.refused.eq(
                (packets.done & packets.refused)
                | (registers.done & registers.refused)
                | (loader.done & loader.refused)
            ),
        ]
        wiring.connect(m, packets.samples, wiring.flipped(self.samples))
        m.d.comb += [self.seen.eq(packets.seen), self.correct.eq(results.correct)]

    def _connect_rows(self, m, *, control, packets, loader, rows, reader, **_):
        """Tell those who move rows which is next."""
        for user in control, loader:
            m.d.comb += user.words.eq(rows.words)
        m.d.comb += [
            control.layer.eq(rows.layer),
            loader.matrix.eq(rows.matrix),
            loader.last.eq(rows.last),
            reader.words.eq(rows.words),
            reader.last.eq(rows.last),
            rows.advance.eq(reader.advance | loader.advance),
            reader.go.eq(packets.reading),
            reader.discard.eq(control.superseded),
            reader.sequence.eq(control.request.sequence),
            packets.read.eq(reader.done),
        ]

    def _connect_answers(
        self, m, *, receiver, control, results, loader, reader, responder, sender, **_
    ):
        """Send rows and responses, never two at once."""
        m.d.comb += [
            responder.go.eq(control.respond),
            control.responded.eq(responder.done),
            responder.request.eq(control.request),
            responder.code.eq(control.code),
            responder.predictions.eq(results.predictions),
            responder.incomplete.eq(loader.incomplete),
            sender.i.payload.eq(Mux(reader.o.valid, reader.o.payload, responder.o.payload)),
            sender.i.valid.eq(reader.o.valid | responder.o.valid),
        ]
        for source in reader, responder:
            m.d.comb += [
                source.o.ready.eq(sender.i.ready),
                source.rejected.eq(receiver.rejected),
            ]

    def _connect_layers(self, m, *, results, registers, loader, rows, words, responder, **_):
        """Connect each layer, and the one whose row is next to the loader and the reader."""
        layers = [getattr(self, f"layer{i}") for i in range(len(self.shape.plans))]
        for i, layer in enumerate(layers):
            wiring.connect(m, wiring.flipped(layer.result), getattr(results, f"i{i}"))
            register = getattr(registers, f"layer{i}")
            m.d.comb += [
                layer.lr.eq(register.lr),
                layer.rule.eq(register.rule),
                layer.weights_in.payload.eq(loader.o.payload),
                # Without samples that had left, of which the responses tell.
                getattr(responder, f"counters{i}").eq(layer.counters),
            ]
            if self.shape.plans[i].layer.margin is not None:
                m.d.comb += layer.threshold.eq(register.threshold)
            with m.If(rows.layer == i):
                m.d.comb += [
                    layer.weights_in.valid.eq(loader.o.valid),
                    layer.weights_out.ready.eq(words.i.ready),
                    words.i.valid.eq(layer.weights_out.valid),
                    words.i.payload.eq(layer.weights_out.payload),
                ]
        m.d.comb += loader.o.ready.eq(Array(layer.weights_in.ready for layer in layers)[rows.layer])
