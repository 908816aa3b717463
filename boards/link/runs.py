# SPDX-License-Identifier: BSD-2-Clause
"""Samples that come as runs, taken apart."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.link_limits import RUN_MAX
from hw.ports import X_WIDTH

from .sender import marked

__all__ = ["RunReader", "placed"]


def placed(inputs: int) -> data.StructLayout:
    """Layout of a value of a sample; `gap` is its distance from the value before, or column 0."""
    return data.StructLayout({"gap": range(inputs), "x": X_WIDTH})


class RunReader(wiring.Component):
    """Takes a body of runs apart (see `boards.runs`) while `go` is high; then begins anew.

    `wrong` says, in the clock after the last byte was taken, that a run goes beyond the last column
    or is cut. Of such a body the gaps in `o` are of no use.

    Parameters
    ----------
    inputs
        Columns of a sample.
    """

    go: Signal
    wrong: Signal
    body: stream.Interface
    o: stream.Interface

    def __init__(self, *, inputs: int):
        self.inputs = inputs
        super().__init__(
            {
                "go": In(1),
                "wrong": Out(1),
                "body": In(stream.Signature(marked())),
                "o": Out(stream.Signature(placed(inputs))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        byte = self.body.payload.byte
        gap, column = Signal(range(self.inputs)), Signal(range(self.inputs + RUN_MAX + 1))
        counting = Signal()  # the next byte says how many values follow
        left = Signal(8)  # values of the run that are still to come
        inside, beyond = Signal(), Signal()
        m.d.comb += [
            inside.eq(left != 0),
            beyond.eq(column > self.inputs),
            self.wrong.eq(beyond | counting | inside),
            self.o.payload.gap.eq(gap),
            self.o.payload.x.eq(byte),
            self.o.valid.eq(self.go & self.body.valid & inside),
            self.body.ready.eq(self.go & (self.o.ready | ~inside)),
        ]
        with m.If(~self.go):
            m.d.sync += [gap.eq(0), column.eq(0), counting.eq(0), left.eq(0)]
        with m.Elif(self.body.valid & self.body.ready):
            with m.If(counting):
                m.d.sync += [counting.eq(0), left.eq(byte)]
            with m.Elif(inside):
                m.d.sync += [left.eq(left - 1), gap.eq(1)]
            with m.Else():
                m.d.sync += [counting.eq(1), gap.eq(gap + byte)]
            # Where it is beyond the last column it stays so.
            with m.If(~counting & ~beyond):
                m.d.sync += column.eq(column + Mux(inside, 1, byte))
        return m
