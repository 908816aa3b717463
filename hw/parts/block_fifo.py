# SPDX-License-Identifier: BSD-2-Clause
"""The FIFO in memory blocks: for words that would take too many LUTs."""

from amaranth.hdl import Module, Mux, ShapeLike, Signal
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out

from .pipeline import delayed

__all__ = ["BlockFIFO"]


class BlockFIFO(wiring.Component):
    """Keeps the words of a stream, in order; one may come and one go every clock.

    A word can go two clocks after it has come. No path goes from `o.ready` to `i.ready`.

    Parameters
    ----------
    shape
        Of a word.
    depth
        Words that find room, at least 1.
    """

    i: stream.Interface
    o: stream.Interface

    def __init__(self, shape: ShapeLike, *, depth: int):
        if depth < 1:
            raise ValueError(f"depth must be at least 1, not {depth!r}")
        self.shape = shape
        self.depth = depth
        super().__init__(
            {
                "i": In(stream.Signature(shape)),
                "o": Out(stream.Signature(shape)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        # Left to itself, synthesis takes blocks for some depths and LUTs for others.
        m.submodules.words = words = memory.Memory(
            shape=self.shape, depth=self.depth, init=[], attrs={"ram_style": "block"}
        )
        write, read = words.write_port(), words.read_port()
        kept, come = Signal(range(self.depth + 1)), Signal(range(self.depth + 1))
        first, following = Signal(range(self.depth)), Signal(range(self.depth))
        taken = Signal()
        m.d.comb += [
            self.i.ready.eq(kept != self.depth),
            write.en.eq(self.i.valid & self.i.ready),
            write.data.eq(self.i.p),
            self.o.valid.eq(come != 0),
            taken.eq(self.o.valid & self.o.ready),
            following.eq(Mux(taken, Mux(first == self.depth - 1, 0, first + 1), first)),
            read.addr.eq(following),
            self.o.p.eq(read.data),
        ]
        m.d.sync += [
            kept.eq(kept + write.en - taken),
            # What is written can be read two clocks later.
            come.eq(come + delayed(m, write.en, 1) - taken),
            first.eq(following),
        ]
        with m.If(write.en):
            m.d.sync += write.addr.eq(Mux(write.addr == self.depth - 1, 0, write.addr + 1))
        return m
