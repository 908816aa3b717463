# SPDX-License-Identifier: BSD-2-Clause
"""Requests one after another: which of them makes sense, and who carries it out."""

from typing import Any

from amaranth.hdl import Array, Cat, Module, Signal
from amaranth.lib import data, enum, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from hw.link_limits import register_bytes

from ..frames import HEADER
from ..protocol import WEIGHT_BYTES, Code, LinkShape, Op
from .sender import marked

__all__ = ["Checker", "Control", "Unit", "request"]


def request() -> data.StructLayout:
    """Layout of the header of a request."""
    return data.StructLayout({"sequence": 32, "op": 8, "argument": 8, "length": 16})


class Unit(enum.Enum, shape=3):
    """Who carries a request out; nobody if the answer is all there is to it."""

    NOBODY = 0
    PACKETS = 1
    LOADER = 2
    REGISTERS = 3
    #: The loader, if a LOAD was begun.
    GREETER = 4


class Checker(wiring.Component):
    """Says why a request is to be refused, and who carries it out if it is not.

    Parameters
    ----------
    shape
        Sizes.
    """

    request: data.View
    expected: Signal
    loading: Signal
    layer: Signal
    words: Signal
    code: Signal
    unit: Signal

    def __init__(self, shape: LinkShape):
        self.shape = shape
        super().__init__(
            {
                "request": In(request()),
                # The sequence that is next.
                "expected": In(32),
                # Whether a LOAD was begun, and the row that is next.
                "loading": In(1),
                "layer": In(range(len(shape.plans))),
                "words": In(15),
                "code": Out(Code),
                "unit": Out(Unit),
            }
        )

    def elaborate(self, platform):
        m = Module()
        argument, length = self.request.argument, self.request.length
        known, state, of_argument, of_length = Signal(), Signal(), Signal(), Signal()
        # Each request: who carries it out, when it may come, its argument, its length.
        layers, empty = argument < len(self.shape.plans), length == 0
        sizes = [register_bytes(plan.layer) for plan in self.shape.plans]
        of_registers = length == sizes[0]
        if len({*sizes}) > 1:
            of_registers = Array(length == size for size in sizes)[
                argument[: ceil_log2(len(sizes))]
            ]
        table: list[tuple[tuple[Op, ...], Unit, Any, Any, Any]] = [
            (
                (Op.TRAIN, Op.INFER),
                Unit.PACKETS,
                ~self.loading,
                argument < self.shape.spec.classes,
                ~empty,
            ),
            (
                (Op.READ, Op.LOAD),
                Unit.PACKETS,
                ~self.loading,
                argument == 0,
                empty,
            ),
            (
                (Op.ROW,),
                Unit.LOADER,
                self.loading,
                argument == self.layer,
                length == WEIGHT_BYTES * self.words,
            ),
            ((Op.SET,), Unit.REGISTERS, 1, layers, of_registers),
            ((Op.COUNTERS,), Unit.NOBODY, 1, layers, empty),
            ((Op.INFO,), Unit.NOBODY, 1, argument == 0, empty),
            ((Op.HELLO,), Unit.GREETER, 1, argument == 0, empty),
        ]
        with m.Switch(self.request.op):
            for ops, unit, *conditions in table:
                with m.Case(*ops):
                    m.d.comb += [known.eq(1), self.unit.eq(unit)]
                    m.d.comb += Cat(state, of_argument, of_length).eq(Cat(*conditions))
        with m.If((self.request.sequence != self.expected) & (self.request.op != Op.HELLO)):
            m.d.comb += self.code.eq(Code.SEQUENCE)
        with m.Elif(~known):
            m.d.comb += self.code.eq(Code.OPERATION)
        with m.Elif(~state):
            m.d.comb += self.code.eq(Code.STATE)
        with m.Elif(~of_argument):
            m.d.comb += self.code.eq(Code.ARGUMENT)
        with m.Elif(~of_length):
            m.d.comb += self.code.eq(Code.LENGTH)
        return m


class Control(wiring.Component):
    """Takes requests from `i`, has each carried out, and then answered.

    `go` says which unit is to carry out `request`, whose body is `body`, until `done`; with it,
    `refused` says that a number was out of range. `again` gives the unit the body from the start,
    which `keep` makes possible. Then `respond` is high until `responded`, for a response with
    `code`. `opened` says that a HELLO has arrived: until it is carried out, requests that wait
    before it are dropped, which `superseded` says.

    Parameters
    ----------
    shape
        Sizes.
    """

    i: stream.Interface
    opened: Signal
    superseded: Signal
    request: data.View
    body: stream.Interface
    keep: Signal
    again: Signal
    go: Signal
    done: Signal
    refused: Signal
    respond: Signal
    responded: Signal
    code: Signal
    loading: Signal
    layer: Signal
    words: Signal

    def __init__(self, shape: LinkShape):
        self.shape = shape
        self._checker = Checker(shape)
        super().__init__(
            {
                "i": In(stream.Signature(8)),
                "opened": In(1),
                "superseded": Out(1),
                "request": Out(request()),
                "body": Out(stream.Signature(marked())),
                "keep": Out(1),
                "again": In(1),
                "go": Out(Unit),
                "done": In(1),
                "refused": In(1),
                "respond": Out(1),
                "responded": In(1),
                "code": Out(Code),
                # Whether a LOAD was begun, and the row that is next.
                "loading": In(1),
                "layer": In(range(len(shape.plans))),
                "words": In(15),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.checker = checker = self._checker
        expected, left, accepted = Signal(32), Signal(16), Signal()
        unit, code = Signal(Unit), Signal(Code)
        hello = Signal()
        m.d.comb += [
            checker.request.eq(self.request),
            checker.expected.eq(expected),
            checker.loading.eq(self.loading),
            checker.layer.eq(self.layer),
            checker.words.eq(self.words),
            hello.eq(self.request.op == Op.HELLO),
            accepted.eq(self.i.valid & self.i.ready),
            self.body.payload.byte.eq(self.i.payload),
            self.body.payload.last.eq(left == 1),
            self.code.eq(code),
        ]
        with m.If(accepted):
            m.d.sync += left.eq(left - 1)
        with m.If(self.opened):
            m.d.sync += self.superseded.eq(1)
        with m.FSM():
            with m.State("NEXT"):
                m.d.sync += left.eq(HEADER)
                m.next = "HEADER"
            with m.State("HEADER"):
                m.d.comb += self.i.ready.eq(1)
                with m.If(accepted):
                    m.d.sync += self.request.eq(Cat(self.request.as_value()[8:], self.i.payload))
                    with m.If(left == 1):
                        m.next = "SETTLE"
            with m.State("SETTLE"):
                m.d.sync += [left.eq(self.request.length), code.eq(checker.code)]
                m.d.sync += unit.eq(checker.unit)
                m.next = "CHECK"
            with m.State("CHECK"):
                with m.If(self.superseded & ~hello):
                    m.next = "DROP"
                with m.Elif(code != Code.NONE):
                    m.next = "REFUSE"
                with m.Elif(unit == Unit.NOBODY):
                    m.next = "RESPOND"
                with m.Else():
                    m.next = "WORK"
                # What is refused has been answered, too; only what is out of order has no number.
                with m.If(hello):
                    m.d.sync += expected.eq(self.request.sequence + 1)
                    with m.If(~self.opened):
                        m.d.sync += self.superseded.eq(0)
                with m.Elif(code != Code.SEQUENCE):
                    m.d.sync += expected.eq(expected + 1)
            for state, after in (("DROP", "NEXT"), ("REFUSE", "RESPOND")):
                with m.State(state):
                    m.d.comb += self.i.ready.eq(left != 0)
                    with m.If(left == 0):
                        m.next = after
            with m.State("WORK"):
                m.d.comb += [
                    self.go.eq(unit),
                    self.keep.eq(1),
                    self.body.valid.eq(self.i.valid & (left != 0)),
                    self.i.ready.eq(self.body.ready & (left != 0)),
                ]
                with m.If(self.again):
                    m.d.sync += left.eq(self.request.length)
                with m.If(self.done):
                    m.next = "RESPOND"
                    with m.If(self.refused):
                        m.d.sync += code.eq(Code.VALUE)
            with m.State("RESPOND"):
                m.d.comb += self.respond.eq(1)
                with m.If(self.responded):
                    m.next = "NEXT"
        return m
