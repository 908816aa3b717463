# SPDX-License-Identifier: BSD-2-Clause
"""The register slice: a stream goes on a few clocks later, and no path goes through."""

from amaranth.hdl import Module, Shape, ShapeLike
from amaranth.lib import fifo, stream, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["RegisterSlice"]


class RegisterSlice(wiring.Component):
    """Cuts a stream by registers in both directions; a word may pass every clock.

    Parameters
    ----------
    shape
        Of a word.
    """

    i: stream.Interface
    o: stream.Interface

    def __init__(self, shape: ShapeLike):
        self.shape = shape
        super().__init__(
            {
                "i": In(stream.Signature(shape)),
                "o": Out(stream.Signature(shape)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        # With less depth it could not take a word every clock.
        m.submodules.fifo = words = fifo.SyncFIFOBuffered(
            width=Shape.cast(self.shape).width, depth=3
        )
        m.d.comb += [
            words.w_data.eq(self.i.p),
            words.w_en.eq(self.i.valid),
            self.i.ready.eq(words.w_rdy),
            self.o.p.eq(words.r_data),
            self.o.valid.eq(words.r_rdy),
            words.r_en.eq(self.o.ready),
        ]
        return m
