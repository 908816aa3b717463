# SPDX-License-Identifier: BSD-2-Clause
"""The sending end of the link: frames on their way to the line."""

from amaranth.hdl import Const, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..frames import END, ESC, ESC_END, ESC_ESC, HEADER
from .receiver import CRC

__all__ = ["PIECE", "FrameSender", "Serializer", "marked", "piece"]

#: Bytes that go to the serializer at once: a header, a weight, or a piece of a body.
PIECE = HEADER


def marked() -> data.StructLayout:
    """Layout of a byte of a frame; `last` marks its last."""
    return data.StructLayout({"byte": 8, "last": 1})


def piece() -> data.StructLayout:
    """Layout of the lowest `count` bytes of `bytes`; `last` marks the end of a frame."""
    return data.StructLayout({"bytes": 8 * PIECE, "count": range(PIECE + 1), "last": 1})


class Serializer(wiring.Component):
    """Makes bytes of pieces of a frame, the lowest first."""

    i: stream.Interface
    o: stream.Interface

    def __init__(self):
        super().__init__(
            {
                "i": In(stream.Signature(piece())),
                "o": Out(stream.Signature(marked())),
            }
        )

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


class Checksum(wiring.Component):
    """Puts the CRC behind a frame."""

    i: stream.Interface
    o: stream.Interface

    def __init__(self):
        super().__init__(
            {
                "i": In(stream.Signature(marked())),
                "o": Out(stream.Signature(marked())),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.crc = crc = CRC.create()
        m.d.comb += crc.data.eq(self.i.payload.byte)
        with m.FSM():
            with m.State("BYTES"):
                m.d.comb += [
                    self.o.payload.byte.eq(self.i.payload.byte),
                    self.o.valid.eq(self.i.valid),
                    self.i.ready.eq(self.o.ready),
                    crc.valid.eq(self.i.valid & self.o.ready),
                ]
                with m.If(self.i.valid & self.o.ready & self.i.payload.last):
                    m.next = "HIGH"
            with m.State("HIGH"):
                m.d.comb += [self.o.payload.byte.eq(crc.crc[8:]), self.o.valid.eq(1)]
                with m.If(self.o.ready):
                    m.next = "LOW"
            with m.State("LOW"):
                m.d.comb += [
                    self.o.payload.byte.eq(crc.crc[:8]),
                    self.o.payload.last.eq(1),
                    self.o.valid.eq(1),
                    crc.start.eq(self.o.ready),
                ]
                with m.If(self.o.ready):
                    m.next = "BYTES"
        return m


class Stuffer(wiring.Component):
    """Puts END behind a frame, and pairs in the place of END and ESC within it."""

    i: stream.Interface
    o: stream.Interface

    def __init__(self):
        super().__init__(
            {
                "i": In(stream.Signature(marked())),
                "o": Out(stream.Signature(8)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        byte, last, special = self.i.payload.byte, self.i.payload.last, Signal()
        m.d.comb += special.eq((byte == END) | (byte == ESC))
        with m.FSM():
            with m.State("BYTE"):
                m.d.comb += [
                    self.o.payload.eq(Mux(special, ESC, byte)),
                    self.o.valid.eq(self.i.valid),
                    self.i.ready.eq(self.o.ready & ~special),
                ]
                with m.If(self.i.valid & self.o.ready):
                    with m.If(special):
                        m.next = "SECOND"
                    with m.Elif(last):
                        m.next = "END"
            with m.State("SECOND"):
                m.d.comb += [
                    self.o.payload.eq(Mux(byte == END, ESC_END, ESC_ESC)),
                    self.o.valid.eq(1),
                    self.i.ready.eq(self.o.ready),
                ]
                with m.If(self.o.ready):
                    m.next = "BYTE"
                    with m.If(last):
                        m.next = "END"
            with m.State("END"):
                m.d.comb += [self.o.payload.eq(Const(END, 8)), self.o.valid.eq(1)]
                with m.If(self.o.ready):
                    m.next = "BYTE"
        return m


class FrameSender(wiring.Component):
    """Sends frames, whose header and body come in pieces.

    The start of a frame may not wait for its end: pieces of two frames may not be mixed.
    """

    i: stream.Interface
    o: stream.Interface

    def __init__(self):
        super().__init__(
            {
                "i": In(stream.Signature(piece())),
                "o": Out(stream.Signature(8)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.serializer = serializer = Serializer()
        m.submodules.checksum = checksum = Checksum()
        m.submodules.stuffer = stuffer = Stuffer()
        wiring.connect(m, wiring.flipped(self.i), serializer.i)
        wiring.connect(m, serializer.o, checksum.i)
        wiring.connect(m, checksum.o, stuffer.i)
        wiring.connect(m, stuffer.o, wiring.flipped(self.o))
        return m
