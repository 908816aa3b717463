# SPDX-License-Identifier: BSD-2-Clause
"""A FIFO for data that cannot wait: whoever causes them reserves their room beforehand."""

from typing import Any

from amaranth.hdl import Module, Shape, ShapeLike, Signal
from amaranth.lib import fifo, stream, wiring
from amaranth.lib.wiring import In, Out

from ..ports import Credit, Valid, ValidInterface

__all__ = ["CreditFIFO"]


class CreditFIFO(wiring.Component):
    """FIFO whose input has no back-pressure, only a count of what has been promised to it.

    - `room`: for `burst` more words. They may come at any time after they have been reserved.
    - `i`: words that were promised. `o`: the same, in order.
    - `idle`: nothing is promised or kept.

    Parameters
    ----------
    shape
        Of a word.
    depth
        Words that may be promised or kept at once.
    burst
        Words that are promised at once, at most `depth`.
    """

    i: ValidInterface
    room: Any
    idle: Signal
    o: stream.Interface

    def __init__(self, *, shape: ShapeLike, depth: int, burst: int = 1):
        if not 1 <= burst <= depth:
            raise ValueError(f"burst must be between 1 and depth, {depth}, not {burst!r}")
        self.shape = shape
        self.depth = depth
        self.burst = burst
        super().__init__(
            {
                "i": In(Valid(shape)),
                "room": Out(Credit()),
                "idle": Out(1),
                "o": Out(stream.Signature(shape)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        # Its output register takes a word only some clocks after it has come.
        m.submodules.fifo = words = fifo.SyncFIFOBuffered(
            width=Shape.cast(self.shape).width, depth=self.depth + 2
        )
        m.d.comb += [
            words.w_data.eq(self.i.p),
            words.w_en.eq(self.i.valid),
            self.o.valid.eq(words.r_rdy),
            self.o.p.eq(words.r_data),
            words.r_en.eq(self.o.ready),
        ]

        free, more = Signal(range(self.depth + 1), init=self.depth), Signal(range(self.depth + 2))
        # Who waits for `space` and who gives `o.ready` lie far apart: registers stand between them.
        space, taken = Signal(init=1), Signal()
        m.d.sync += taken.eq(self.o.valid & self.o.ready)
        m.d.comb += [
            more.eq(free + taken),
            self.room.space.eq(space),
            self.idle.eq(free == self.depth),
        ]
        with m.If(self.room.reserve):
            m.d.sync += [free.eq(more - self.burst), space.eq(more >= 2 * self.burst)]
        with m.Else():
            m.d.sync += [free.eq(more), space.eq(more >= self.burst)]
        return m
