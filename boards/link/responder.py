# SPDX-License-Identifier: BSD-2-Clause
"""The response to a request."""

from math import ceil

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from ..frames import HEADER
from ..protocol import Code, Info, LinkShape, Op, counters_size
from .control import request
from .sender import PIECE, piece

__all__ = ["Responder"]


def _pieces(value: Value) -> list[Value]:
    """Cut a body into pieces, the last perhaps shorter."""
    return [value[start : start + 8 * PIECE] for start in range(0, len(value), 8 * PIECE)]


class Responder(wiring.Component):
    """Makes the frame that answers `request`, while `go` is high.

    `done` is high in the last clock. `code` is why the request was refused, if it was;
    `rejected`, `predictions`, `incomplete`, `counters0`, `counters1`, ... go into the frame.

    Parameters
    ----------
    shape
        Sizes.
    info
        Answer to INFO and HELLO.
    """

    go: Signal
    done: Signal
    request: data.View
    code: Signal
    rejected: Signal
    predictions: Signal
    incomplete: Signal
    o: stream.Interface

    def __init__(self, *, shape: LinkShape, info: Info):
        self.info = info
        self.layers = len(shape.plans)
        answers = self.layers + shape.plans[-1].layer.exits
        counters = counters_size(shape.plans)
        self._longest = max(answers, counters, len(info.encode()))
        super().__init__(
            {
                "go": In(1),
                "done": Out(1),
                "request": In(request()),
                "code": In(Code),
                "rejected": In(8),
                "predictions": In(8 * answers),
                "incomplete": In(1),
                **{f"counters{i}": In(8 * counters) for i in range(self.layers)},
                "o": Out(stream.Signature(piece())),
            }
        )

    def elaborate(self, platform):
        m = Module()
        out, refused = self.o.payload, Signal()
        # Whatever chooses is no wider than need be: a bit more could double the multiplexers.
        index = Signal(range(ceil(self._longest / PIECE)))
        left = Signal(range(self._longest + 1))
        m.d.comb += refused.eq(self.code != Code.NONE)
        chosen, size = self._body(m, refused, index)
        body = Signal.like(chosen)
        with m.FSM():
            with m.State("HEADER"):
                op = Mux(refused, Op.ERROR, self.request.op)
                header = Cat(self.request.sequence, op[:8], self.rejected, size)
                m.d.comb += [
                    self.o.valid.eq(self.go),
                    out.bytes.eq(header),
                    out.count.eq(HEADER),
                    out.last.eq(size == 0),
                ]
                m.d.sync += [left.eq(size), index.eq(0)]
                with m.If(self.go & self.o.ready):
                    m.d.comb += self.done.eq(size == 0)
                    with m.If(size != 0):
                        m.next = "CHOOSE"
            with m.State("CHOOSE"):
                m.d.sync += body.eq(chosen)
                m.next = "PIECE"
            with m.State("PIECE"):
                m.d.comb += [
                    self.o.valid.eq(1),
                    out.bytes.eq(body),
                    out.count.eq(Mux(left > PIECE, PIECE, left)),
                    out.last.eq(left <= PIECE),
                ]
                with m.If(self.o.ready):
                    m.d.sync += [left.eq(left - PIECE), index.eq(index + 1)]
                    m.next = "CHOOSE"
                    with m.If(out.last):
                        m.d.comb += self.done.eq(1)
                        m.next = "HEADER"
        return m

    def _body(self, m: Module, refused: Signal, index: Signal) -> tuple[Signal, Signal]:
        """Choose piece `index` of the body, and the bytes of all of it."""
        text, bit = self.info.encode(), self.info.incomplete_bit
        number = Const(int.from_bytes(text, "little"), 8 * len(text))
        info = Cat(number[:bit], self.incomplete, number[bit + 1 :])
        counters = [getattr(self, f"counters{i}") for i in range(self.layers)]
        # Of each layer first: the multiplexers are narrower that way.
        layer = self.request.argument[: ceil_log2(self.layers)]
        counts = Array(Array(_pieces(value))[index] for value in counters)[layer]
        choices = {
            (Op.TRAIN, Op.INFER): (Array(_pieces(self.predictions))[index], len(self.predictions)),
            (Op.COUNTERS,): (counts, len(counters[0])),
            (Op.INFO, Op.HELLO): (Array(_pieces(info))[index], len(info)),
        }
        chosen, size = Signal(8 * PIECE), Signal(range(self._longest + 1))
        with m.If(refused):
            m.d.comb += [chosen.eq(self.code), size.eq(1)]
        with m.Else(), m.Switch(self.request.op):
            for ops, (value, bits) in choices.items():
                with m.Case(*ops):
                    m.d.comb += [chosen.eq(value), size.eq(bits // 8)]
        return chosen, size
