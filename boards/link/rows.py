# SPDX-License-Identifier: BSD-2-Clause
"""Weights on their way through the link, row by row."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from amaranth.hdl import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from golden.layer_spec import TRAINED_BITS
from hw.plan import LayerPlan

from ..frames import HEADER
from ..protocol import WEIGHT_BYTES, Op
from .sender import marked, piece

__all__ = ["Loader", "Reader", "RowOrder"]

WORD = signed(8 * WEIGHT_BYTES)


@dataclass(frozen=True)
class Rows:
    """Rows of a matrix of a layer: so many, of so many weights, of so many bits."""

    layer: int
    count: int
    words: int
    bits: int


def matrices(plans: Sequence[LayerPlan]) -> Iterator[Rows]:
    """Give the rows of all layers in their order: W, and V of a classifier that is trained."""
    for i, plan in enumerate(plans):
        layer = plan.layer
        yield Rows(i, layer.neurons, layer.columns, layer.wb)
        if plan.trained:
            yield Rows(i, layer.neurons, layer.classes, TRAINED_BITS)


class RowOrder(wiring.Component):
    """Counts through the rows of all layers: of layer 0 first, of each matrix with n ascending.

    `layer` holds the row to come, of `words` weights, in the matrix of number `matrix`; `last` is
    high at the very last. `advance` moves on, after the last to the first.
    """

    advance: Signal
    matrix: Signal
    layer: Signal
    words: Signal
    last: Signal

    def __init__(self, plans: Sequence[LayerPlan]):
        self.plans = plans
        self.matrices = [*matrices(plans)]
        super().__init__(
            {
                "advance": In(1),
                "matrix": Out(range(len(self.matrices))),
                "layer": Out(range(len(plans))),
                "words": Out(15),
                "last": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        row = Signal(range(max(rows.count for rows in self.matrices)))
        last_row = Signal()
        with m.Switch(self.matrix):
            for i, rows in enumerate(self.matrices):
                with m.Case(i):
                    m.d.comb += [
                        self.layer.eq(rows.layer),
                        self.words.eq(rows.words),
                        last_row.eq(row == rows.count - 1),
                    ]
        m.d.comb += self.last.eq(last_row & (self.matrix == len(self.matrices) - 1))
        with m.If(self.advance):
            m.d.sync += row.eq(row + 1)
            with m.If(last_row):
                m.d.sync += [row.eq(0), self.matrix.eq(Mux(self.last, 0, self.matrix + 1))]
        return m


class Loader(wiring.Component):
    """Carries out the rows of a LOAD, and completes one that was given up.

    `begun` says that the network has accepted LOAD; from then on it is `loading`, until the network
    has said that it is `complete`. While `go` is high, a row's body goes to the network; while
    `give_up` is high, and after a weight that is out of range, what is left goes there as zeros.
    `done` is high in the last clock; `refused` then says that a weight was out of range.
    `incomplete` says that no LOAD has been completed by rows since one was begun.

    Parameters
    ----------
    plans
        The plan of each layer.
    """

    begun: Signal
    go: Signal
    give_up: Signal
    complete: Signal
    done: Signal
    refused: Signal
    loading: Signal
    incomplete: Signal
    matrix: Signal
    words: Signal
    last: Signal
    advance: Signal
    body: stream.Interface
    o: stream.Interface

    def __init__(self, plans: Sequence[LayerPlan]):
        self.plans = plans
        self.matrices = [*matrices(plans)]
        super().__init__(
            {
                "begun": In(1),
                "go": In(1),
                "give_up": In(1),
                "complete": In(1),
                "done": Out(1),
                "refused": Out(1),
                "loading": Out(1),
                "incomplete": Out(1),
                # The row to come, from `RowOrder`.
                "matrix": In(range(len(self.matrices))),
                "words": In(15),
                "last": In(1),
                "advance": Out(1),
                "body": In(stream.Signature(marked())),
                "o": Out(stream.Signature(WORD)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        byte, lower = self.body.payload.byte, Signal(8)
        word, fits = Signal(WORD), Signal()
        left = Signal.like(self.words)  # weights of the row that the network waits for
        zeros = Signal()
        m.d.comb += [word.eq(Cat(lower, byte)), self.o.payload.eq(Mux(zeros, 0, word))]
        with m.Switch(self.matrix):
            for i, rows in enumerate(self.matrices):
                with m.Case(i):
                    sign = word[rows.bits - 1 :]
                    m.d.comb += fits.eq(sign.all() | ~sign.any())
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += left.eq(left - 1)
        with m.If(self.begun):
            m.d.sync += [self.loading.eq(1), self.incomplete.eq(1)]
        with m.FSM():
            with m.State("IDLE"):
                m.d.sync += [left.eq(self.words), zeros.eq(self.give_up), self.refused.eq(0)]
                with m.If(self.go):
                    m.next = "LOWER"
                with m.Elif(self.give_up):
                    m.next = "ZEROS"
            with m.State("LOWER"):
                m.d.comb += self.body.ready.eq(1)
                m.d.sync += lower.eq(byte)
                with m.If(self.body.valid):
                    m.next = "UPPER"
            with m.State("UPPER"):
                m.d.comb += [
                    self.o.valid.eq(self.body.valid & fits),
                    self.body.ready.eq(self.o.ready & fits),
                ]
                with m.If(self.body.valid & ~fits):
                    m.d.sync += self.refused.eq(1)
                    m.next = "DRAIN"
                with m.Elif(self.body.valid & self.o.ready):
                    m.next = "LOWER"
                    with m.If(self.body.payload.last):
                        m.next = "ROW DONE"
            with m.State("ROW DONE"):
                m.d.comb += self.advance.eq(1)
                m.next = "DONE"
                with m.If(self.last):
                    m.next = "COMPLETE"
                with m.Elif(zeros):
                    m.next = "NEXT ROW"
            with m.State("DRAIN"):
                m.d.comb += self.body.ready.eq(1)
                m.d.sync += zeros.eq(1)
                with m.If(self.body.valid & self.body.payload.last):
                    m.next = "ZEROS"
            with m.State("NEXT ROW"):
                m.d.sync += left.eq(self.words)
                m.next = "ZEROS"
            with m.State("ZEROS"):
                m.d.comb += self.o.valid.eq(1)
                with m.If(self.o.ready & (left == 1)):
                    m.next = "ROW DONE"
            with m.State("COMPLETE"):
                with m.If(self.complete):
                    m.d.sync += [self.loading.eq(0), self.incomplete.eq(zeros)]
                    m.next = "DONE"
            with m.State("DONE"):
                m.d.comb += self.done.eq(1)
                m.next = "IDLE"
        return m


class Reader(wiring.Component):
    """Makes ROW frames of the weights that the network gives after READ, while `go` is high.

    `done` is high in the last clock. While `discard` is high, rows are taken without being sent;
    one that has been begun is sent to its end.
    """

    go: Signal
    discard: Signal
    done: Signal
    sequence: Signal
    rejected: Signal
    words: Signal
    last: Signal
    advance: Signal
    i: stream.Interface
    o: stream.Interface

    def __init__(self):
        super().__init__(
            {
                "go": In(1),
                "discard": In(1),
                "done": Out(1),
                "sequence": In(32),
                "rejected": In(8),
                # The row to come, from `RowOrder`.
                "words": In(15),
                "last": In(1),
                "advance": Out(1),
                "i": In(stream.Signature(WORD)),
                "o": Out(stream.Signature(piece())),
            }
        )

    def elaborate(self, platform):
        m = Module()
        out, left, unseen = self.o.payload, Signal.like(self.words), Signal()
        size = Cat(Const(0, 1), self.words)
        m.d.comb += self.done.eq(self.advance & self.last)
        with m.FSM():
            with m.State("HEADER"):
                m.d.comb += [
                    self.o.valid.eq(self.go & ~self.discard),
                    out.bytes.eq(Cat(self.sequence, Const(Op.ROW, 8), self.rejected, size)),
                    out.count.eq(HEADER),
                ]
                m.d.sync += [left.eq(self.words), unseen.eq(self.discard)]
                with m.If(self.go & (self.o.ready | self.discard)):
                    m.next = "WORD"
            with m.State("WORD"):
                m.d.comb += [
                    self.i.ready.eq(self.o.ready | unseen),
                    self.o.valid.eq(self.i.valid & ~unseen),
                    out.bytes.eq(self.i.payload),
                    out.count.eq(WEIGHT_BYTES),
                    out.last.eq(left == 1),
                ]
                with m.If(self.i.valid & self.i.ready):
                    m.d.sync += left.eq(left - 1)
                    with m.If(left == 1):
                        m.d.comb += self.advance.eq(1)
                        m.next = "HEADER"
        return m
