# SPDX-License-Identifier: BSD-2-Clause
"""The byte link: the gates that answer a host's requests (see `boards.protocol`)."""

from collections.abc import Iterator, Sequence

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.parts.register_slice import RegisterSlice
from hw.plan import LayerPlan
from hw.ports import LR_WIDTH, LayerSignature, Rule, beat, result
from hw.primitives import Primitives

from .frames import HEADER, FrameReceiver, FrameSender
from .protocol import COUNTER_BYTES, WEIGHT_BYTES, Info, LinkShape, Op

__all__ = ["Link"]

#: Bytes that go to the serializer at once: a header, a weight, or a piece of an answer.
_PIECE = max(HEADER, WEIGHT_BYTES, COUNTER_BYTES)
#: The header of a request as it lies in a register, and a layer's run-time registers.
_REQUEST = data.StructLayout({"sequence": 8, "op": 8, "argument": 8, "length": 16})
_REGISTERS = data.StructLayout({"lr": LR_WIDTH, "rule": Rule})


def _reset(plan: LayerPlan) -> dict:
    """Say what a layer's registers hold until they are set."""
    return {"lr": plan.layer.lr, "rule": Rule.named(plan.layer.rule)}


def _pieces(value: Value) -> list[Value]:
    """Cut an answer into pieces, the last perhaps shorter."""
    return [value[start : start + 8 * _PIECE] for start in range(0, len(value), 8 * _PIECE)]


class RowOrder(wiring.Component):
    """Counts through the rows of all layers: of layer 0 first, of each with n ascending.

    `layer` holds the row to come, of `size` bytes; `last` is high at the very last. `advance`
    moves on, after the last to the first.
    """

    advance: Signal
    layer: Signal
    size: Signal
    last: Signal

    def __init__(self, plans: Sequence[LayerPlan]):
        self.plans = plans
        super().__init__({
            "advance": In(1),
            "layer": Out(range(len(plans))),
            "size": Out(16),
            "last": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        row = Signal(range(max(plan.layer.neurons for plan in self.plans)))
        last_of_layer = Signal()
        with m.Switch(self.layer):
            for i, plan in enumerate(self.plans):
                with m.Case(i):
                    m.d.comb += [
                        self.size.eq(WEIGHT_BYTES * plan.layer.columns),
                        last_of_layer.eq(row == plan.layer.neurons - 1),
                    ]
        m.d.comb += self.last.eq(last_of_layer & (self.layer == len(self.plans) - 1))
        with m.If(self.advance):
            m.d.sync += row.eq(row + 1)
            with m.If(last_of_layer):
                m.d.sync += [row.eq(0), self.layer.eq(Mux(self.last, 0, self.layer + 1))]
        return m


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


class Serializer(wiring.Component):
    """Sends the lowest `count` bytes of `bytes`, lowest first; `last` marks the end of a frame.

    Parameters
    ----------
    size
        Bytes in `bytes`.
    """

    i: stream.Interface
    o: stream.Interface

    def __init__(self, *, size: int):
        self.size = size
        super().__init__({
            "i": In(
                stream.Signature(
                    data.StructLayout({"bytes": 8 * size, "count": range(size + 1), "last": 1})
                )
            ),
            "o": Out(stream.Signature(data.StructLayout({"byte": 8, "last": 1}))),
        })

    def elaborate(self, platform):
        m = Module()
        rest = Signal.like(self.i.p)
        m.d.comb += [
            self.i.ready.eq(rest.count == 0),
            self.o.valid.eq(rest.count != 0),
            self.o.payload.byte.eq(rest.bytes[:8]),
            self.o.payload.last.eq(rest.last & (rest.count == 1)),
        ]
        with m.If(self.i.ready), m.If(self.i.valid):
            m.d.sync += rest.eq(self.i.payload)
        with m.Elif(self.o.ready):
            m.d.sync += [rest.bytes.eq(rest.bytes >> 8), rest.count.eq(rest.count - 1)]
        return m


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
    idle
        See `FrameReceiver`.
    primitives
        Where memories come from.
    """

    rx: stream.Interface
    tx: stream.Interface
    samples: stream.Interface
    seen: Signal
    correct: Signal

    def __init__(self, *, shape: LinkShape, info: Info, idle: int, primitives: Primitives):
        self.shape = shape
        self.info = info
        plans = shape.plans
        self._receiver = FrameReceiver(
            body_max=shape.body_max, depth=shape.buffer, idle=idle, primitives=primitives
        )
        self._sender = FrameSender()
        self._serializer = Serializer(size=_PIECE)
        self._rows = RowOrder(plans)
        self._results = Results(classes=shape.spec.classes, layers=len(plans))
        layers = {f"layer{i}": In(LayerSignature(plan)) for i, plan in enumerate(plans)}
        super().__init__({
            "rx": In(stream.Signature(8)),
            "tx": Out(stream.Signature(8)),
            "samples": Out(stream.Signature(beat(shape.spec.classes, 1))),
            **layers,
            "seen": Out(1),
            "correct": Out(len(plans)),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.receiver = receiver = self._receiver
        m.submodules.sender = sender = self._sender
        m.submodules.serializer = serializer = self._serializer
        m.submodules.rows = rows = self._rows
        m.submodules.results = results = self._results
        layers = [getattr(self, f"layer{i}") for i in range(len(self.shape.plans))]
        wiring.connect(m, wiring.flipped(self.rx), receiver.i)
        wiring.connect(m, serializer.o, sender.i)
        wiring.connect(m, sender.o, wiring.flipped(self.tx))
        for i, layer in enumerate(layers):
            wiring.connect(m, wiring.flipped(layer.result), getattr(results, f"i{i}"))

        request = Signal(_REQUEST)
        body, response = receiver.o, serializer.i
        taken = Signal()
        left = Signal(16)  # bytes still to be taken of the request, or to be sent of the answer
        remaining = Signal(16)  # weights of the row still to be sent
        lower = Signal(8)  # the byte taken before
        loading = Signal()
        refused = Signal(8)
        rejected = Signal(8)
        m.d.comb += [
            taken.eq(body.valid & body.ready),
            rejected.eq(receiver.rejected + refused),
            self.samples.payload.header.command.eq(request.op),
            self.samples.payload.header.label.eq(request.argument),
            self.samples.payload.x[0].eq(body.payload),
            self.correct.eq(results.correct),
        ]
        with m.If(taken):
            m.d.sync += [left.eq(left - 1), lower.eq(body.payload)]

        registers = Array(Signal(_REGISTERS, init=_reset(plan)) for plan in self.shape.plans)
        for layer, register in zip(layers, registers, strict=True):
            m.d.comb += [
                layer.lr.eq(register.lr),
                layer.rule.eq(register.rule),
                layer.weights_in.payload.eq(Cat(lower, body.payload)),
            ]
        m.submodules.words = words = RegisterSlice(signed(8 * WEIGHT_BYTES))
        give_word = Signal()
        for i, layer in enumerate(layers):
            with m.If(rows.layer == i):
                m.d.comb += [
                    layer.weights_in.valid.eq(give_word & body.valid),
                    layer.weights_out.ready.eq(words.i.ready),
                    words.i.valid.eq(layer.weights_out.valid),
                    words.i.payload.eq(layer.weights_out.payload),
                ]
        wants_word = Array(layer.weights_in.ready for layer in layers)[rows.layer]

        m.d.sync += self.seen.eq(0)
        index = Signal(8)  # of the piece of the answer that is sent
        chosen, size = self._answer(m, request, index, layers)
        piece = Signal.like(chosen)
        with m.FSM():
            with m.State("NEXT"):
                m.d.sync += left.eq(HEADER)
                m.next = "HEADER"

            with m.State("HEADER"):
                m.d.comb += body.ready.eq(1)
                with m.If(taken):
                    m.d.sync += request.eq(Cat(request.as_value()[8:], body.payload))
                    with m.If(left == 1):
                        m.next = "CHECK"

            with m.State("CHECK"):
                m.d.comb += results.clear.eq(~loading)
                m.d.sync += left.eq(request.length)
                m.next = "REFUSE"
                for state, sensible in self._sensible(request, loading):
                    with m.If(sensible):
                        m.next = state

            with m.State("REFUSE"):
                m.d.comb += body.ready.eq(left != 0)
                with m.If(left == 0):
                    m.d.sync += refused.eq(refused + 1)
                    m.next = "NEXT"

            with m.State("SAMPLE"):
                m.d.comb += [self.samples.valid.eq(body.valid), body.ready.eq(self.samples.ready)]
                with m.If(taken & (left == 1)):
                    m.next = "WAIT"

            with m.State("COMMAND"):
                m.d.comb += self.samples.valid.eq(1)
                with m.If(self.samples.ready):
                    m.next = "WAIT"
                    with m.If(request.op == Op.READ):
                        m.next = "ROW HEADER"
                    with m.If(request.op == Op.LOAD):
                        m.d.sync += loading.eq(1)
                        m.next = "RESPOND"

            with m.State("LOWER"):
                m.d.comb += body.ready.eq(1)
                with m.If(taken):
                    m.next = "UPPER"

            with m.State("UPPER"):
                m.d.comb += [give_word.eq(1), body.ready.eq(wants_word)]
                with m.If(taken):
                    m.next = "LOWER"
                    with m.If(left == 1):
                        m.d.comb += rows.advance.eq(1)
                        m.next = "RESPOND"
                        with m.If(rows.last):
                            m.next = "WAIT"

            with m.State("SET"):
                m.d.comb += body.ready.eq(1)
                with m.If(taken & (left == 1)):
                    m.d.sync += [
                        registers[request.argument].lr.eq(lower),
                        registers[request.argument].rule.eq(body.payload),
                    ]
                    m.next = "RESPOND"

            with m.State("WAIT"), m.If(results.complete):
                m.d.sync += self.seen.eq(request.op <= Op.INFER)
                m.d.sync += loading.eq(0)
                m.next = "RESPOND"

            with m.State("RESPOND"):
                m.d.comb += [
                    response.valid.eq(1),
                    response.payload.bytes.eq(Cat(request.sequence, request.op, rejected, size)),
                    response.payload.count.eq(HEADER),
                    response.payload.last.eq(size == 0),
                ]
                m.d.sync += [left.eq(size), index.eq(0)]
                with m.If(response.ready):
                    m.next = "NEXT"
                    with m.If(size != 0):
                        m.next = "CHOOSE"

            with m.State("CHOOSE"):
                m.d.sync += piece.eq(chosen)
                m.next = "PIECE"

            with m.State("PIECE"):
                m.d.comb += [
                    response.valid.eq(1),
                    response.payload.bytes.eq(piece),
                    response.payload.count.eq(Mux(left > _PIECE, _PIECE, left)),
                    response.payload.last.eq(left <= _PIECE),
                ]
                with m.If(response.ready):
                    m.d.sync += [left.eq(left - _PIECE), index.eq(index + 1)]
                    m.next = "CHOOSE"
                    with m.If(response.payload.last):
                        m.next = "NEXT"

            with m.State("ROW HEADER"):
                m.d.sync += remaining.eq(rows.size // WEIGHT_BYTES)
                m.d.comb += [
                    response.valid.eq(1),
                    response.payload.bytes.eq(
                        Cat(request.sequence, Const(Op.ROW, 8), rejected, rows.size)
                    ),
                    response.payload.count.eq(HEADER),
                ]
                with m.If(response.ready):
                    m.next = "WORD"

            with m.State("WORD"):
                m.d.comb += [
                    words.o.ready.eq(response.ready),
                    response.valid.eq(words.o.valid),
                    response.payload.bytes.eq(words.o.payload),
                    response.payload.count.eq(WEIGHT_BYTES),
                    response.payload.last.eq(remaining == 1),
                ]
                with m.If(response.valid & response.ready):
                    m.d.sync += remaining.eq(remaining - 1)
                    with m.If(remaining == 1):
                        m.d.comb += rows.advance.eq(1)
                        m.next = "ROW HEADER"
                        with m.If(rows.last):
                            m.next = "WAIT"
        return m

    def _sensible(self, request, loading) -> Iterator[tuple[str, Value]]:
        """For each state that carries out a request: whether this one is for it."""
        op, empty = request.op, request.length == 0
        of_layer = request.argument < len(self.shape.plans)
        sample = (
            ~loading
            & (request.length == self.shape.spec.inputs)
            & (request.argument < self.shape.spec.classes)
        )
        rows = self._rows
        row = loading & (request.argument == rows.layer) & (request.length == rows.size)
        yield "SAMPLE", (op <= Op.INFER) & sample
        yield "COMMAND", (op >= Op.FLUSH) & (op <= Op.LOAD) & empty & ~loading
        yield "LOWER", (op == Op.ROW) & row
        yield "SET", (op == Op.SET) & of_layer & (request.length == 2)
        yield "RESPOND", ((op == Op.COUNTERS) & of_layer | (op == Op.INFO)) & empty

    def _answer(self, m, request, index, layers) -> tuple[Value, Value]:
        """Choose piece `index` of the body of the response, and the bytes of all of it."""
        info = Const.cast(Cat(*(Const(byte, 8) for byte in self.info.encode())))
        counters = [layer.counters.as_value() for layer in layers]
        # Of each layer first: the multiplexers are narrower that way.
        chosen = Array(Array(_pieces(value))[index] for value in counters)[request.argument]
        choices = {
            (Op.TRAIN, Op.INFER): (
                Array(_pieces(self._results.predictions))[index],
                len(self._results.predictions),
            ),
            (Op.COUNTERS,): (chosen, len(counters[0])),
            (Op.INFO,): (Array(_pieces(info))[index], len(info)),
        }
        piece = Signal(8 * _PIECE)
        size = Signal(16)
        with m.Switch(request.op):
            for ops, (value, bits) in choices.items():
                with m.Case(*ops):
                    m.d.comb += [piece.eq(value), size.eq(bits // 8)]
        return piece, size
