# SPDX-License-Identifier: BSD-2-Clause
"""Frames on a byte line: the same in both directions, in software and in gates.

    byte 0   0xA5
         1   sequence: the host's number of the request, repeated in its responses
         2   operation (`boards.protocol.Op`)
         3   argument; in a response, how many frames the board has rejected, modulo 256
      4, 5   length of the body, low byte first
         6   body
       ...   CRC-16 of all bytes after the first, high byte first

The CRC is CRC-16/IBM-3740 (polynomial 0x1021, all ones at the start). A frame that is longer than
the receiver takes, does not pass the CRC, finds no room, or breaks off, is rejected whole: nothing
of it is passed on. The receiver then looks for the next 0xA5.
"""

from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.crc.catalog import CRC16_IBM_3740
from amaranth.lib.wiring import In, Out

from hw.link_limits import BODY_MAX
from hw.primitives import Primitives

__all__ = ["BODY_MAX", "HEADER", "OVERHEAD", "SYNC", "Decoder", "Frame", "FrameReceiver",
           "FrameSender"]  # fmt: skip

#: First byte of every frame.
SYNC = 0xA5
#: Bytes between SYNC and the body.
HEADER = 5
#: Bytes of a frame besides its body.
OVERHEAD = 1 + HEADER + 2
#: Any: the type stubs of Amaranth leave CRCs out.
_CRC: Any = CRC16_IBM_3740(8)


@dataclass(frozen=True)
class Frame:
    """One frame.

    Parameters
    ----------
    sequence, op, argument
        Bytes of the header.
    body
        Up to 65535 bytes.
    """

    sequence: int
    op: int
    argument: int = 0
    body: bytes = b""

    def encode(self) -> bytes:
        """Compute the bytes on the line.

        Raises
        ------
        ValueError
            If a field does not fit.
        """
        if len(self.body) > BODY_MAX:
            raise ValueError(f"a body has at most {BODY_MAX} bytes, not {len(self.body)}")
        header = bytes([self.sequence, self.op, self.argument])
        checked = header + len(self.body).to_bytes(2, "little") + self.body
        return bytes([SYNC]) + checked + _CRC.compute(checked).to_bytes(2, "big")


class Decoder:
    """Finds frames in bytes that arrive in pieces of any size.

    After a broken frame it looks for the next SYNC behind the one that began it, so that an
    intact frame is found whatever came before it.
    """

    def __init__(self):
        self._pending = bytearray()
        #: Frames that did not pass the CRC.
        self.rejected = 0

    def feed(self, received: bytes) -> list[Frame]:
        """Take in `received` and return the frames that are complete by it."""
        pending = self._pending
        pending += received
        frames = []
        while True:
            start = pending.find(SYNC)
            del pending[: start if start >= 0 else len(pending)]
            if len(pending) < OVERHEAD:
                return frames
            size = OVERHEAD + int.from_bytes(pending[4:6], "little")
            if len(pending) < size:
                return frames
            checked, crc = bytes(pending[1 : size - 2]), pending[size - 2 : size]
            if _CRC.compute(checked) == int.from_bytes(crc, "big"):
                sequence, op, argument = checked[:3]
                frames.append(Frame(sequence, op, argument, checked[HEADER:]))
                del pending[:size]
            else:
                self.rejected += 1
                del pending[:1]

    def reset(self):
        """Forget the beginning of a frame that will not be completed."""
        self._pending.clear()


class FrameReceiver(wiring.Component):
    """Passes on the frames that are whole and intact, header (without SYNC) and body.

    Bytes are taken as they come, with at least three clocks from one to the next; a frame waits
    in a ring of `depth` bytes until it is read. `rejected` counts the frames not passed on.

    Parameters
    ----------
    body_max
        The longest body to expect.
    depth
        Bytes of the ring, a power of two that holds at least the longest frame.
    idle
        Clocks of silence within a frame after which the rest is no longer expected.
    primitives
        Where the ring's memory comes from.
    """

    i: stream.Interface
    o: stream.Interface
    rejected: Signal

    def __init__(self, *, body_max: int, depth: int, idle: int, primitives: Primitives):
        if not 0 <= body_max <= BODY_MAX:
            raise ValueError(f"body_max must be between 0 and {BODY_MAX}, not {body_max!r}")
        if depth & (depth - 1) or depth < HEADER + body_max:
            raise ValueError(
                f"depth must be a power of two of at least {HEADER + body_max}, not {depth!r}"
            )
        self.body_max = body_max
        self.depth = depth
        self.idle = idle
        self._ring = primitives.memory(width=8, depth=depth)
        super().__init__({
            "i": In(stream.Signature(8)),
            "o": Out(stream.Signature(8)),
            "rejected": Out(8),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.crc = crc = _CRC.create()
        m.submodules.ring = ring = self._ring
        byte, arrives = self.i.payload, self.i.valid

        # Bytes between `read` and `committed` are for the reader; those up to `write` belong to
        # a frame that is not complete yet. One more bit than an address tells full from empty.
        pointer = range(2 * self.depth)
        read, committed, write = (
            Signal(pointer, name=name) for name in ("read", "committed", "write")
        )
        overflow = Signal()
        store = Signal()
        length = Signal(16)
        left = Signal(16)
        silence = Signal(range(self.idle + 1))
        m.d.comb += [
            self.i.ready.eq(1),
            crc.data.eq(byte),
            ring.write_addr.eq(write),
            ring.write_data.eq(byte),
        ]
        with m.If(store):
            with m.If(write - read == self.depth):
                m.d.sync += overflow.eq(1)
            with m.Else():
                m.d.comb += ring.write_enable.eq(1)
                m.d.sync += write.eq(write + 1)

        broken_off = Signal()
        m.d.comb += broken_off.eq(silence == self.idle)
        m.d.sync += silence.eq(Mux(arrives | broken_off, 0, silence + 1))

        with m.FSM():
            with m.State("SYNC"):
                m.d.sync += [write.eq(committed), overflow.eq(0), left.eq(HEADER)]
                m.d.comb += crc.start.eq(1)
                with m.If(arrives & (byte == SYNC)):
                    m.next = "HEADER"
            with m.State("HEADER"):
                m.d.comb += [store.eq(arrives), crc.valid.eq(arrives)]
                with m.If(arrives):
                    m.d.sync += [left.eq(left - 1), length.eq(Cat(length[8:], byte))]
                    with m.If(left == 1):
                        m.next = "LENGTH"
                with m.Elif(broken_off):
                    m.next = "REJECT"
            with m.State("LENGTH"):
                m.d.sync += left.eq(length)
                m.next = "BODY"
                with m.If(length > self.body_max):
                    m.next = "REJECT"
                with m.Elif(length == 0):
                    m.d.sync += left.eq(2)
                    m.next = "CRC"
            with m.State("BODY"):
                m.d.comb += [store.eq(arrives), crc.valid.eq(arrives)]
                with m.If(arrives):
                    m.d.sync += left.eq(left - 1)
                    with m.If(left == 1):
                        m.d.sync += left.eq(2)
                        m.next = "CRC"
                with m.Elif(broken_off):
                    m.next = "REJECT"
            with m.State("CRC"):
                m.d.comb += crc.valid.eq(arrives)
                with m.If(arrives):
                    m.d.sync += left.eq(left - 1)
                    with m.If(left == 1):
                        m.next = "VERDICT"
                with m.Elif(broken_off):
                    m.next = "REJECT"
            with m.State("VERDICT"):
                m.next = "REJECT"
                with m.If(crc.match_detected & ~overflow):
                    m.d.sync += committed.eq(write)
                    m.next = "SYNC"
            with m.State("REJECT"):
                m.d.sync += self.rejected.eq(self.rejected + 1)
                m.next = "SYNC"

        # A word takes `delay` clocks out of the ring; there is time, the line is far slower.
        age = Signal(range(ring.delay + 1))
        m.d.comb += [
            ring.read_addr.eq(read),
            self.o.payload.eq(ring.read_data),
            self.o.valid.eq(age == ring.delay),
        ]
        with m.If(self.o.valid), m.If(self.o.ready):
            m.d.sync += [age.eq(0), read.eq(read + 1)]
        with m.Else():
            m.d.sync += age.eq(Mux(read == committed, 0, age + 1))
        return m


class FrameSender(wiring.Component):
    """Puts SYNC before a frame and the CRC behind it.

    `i` is the header (without SYNC) and the body, the last byte of it marked.
    """

    i: stream.Interface
    o: stream.Interface

    def __init__(self):
        super().__init__({
            "i": In(stream.Signature(data.StructLayout({"byte": 8, "last": 1}))),
            "o": Out(stream.Signature(8)),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.crc = crc = _CRC.create()
        m.d.comb += crc.data.eq(self.i.payload.byte)
        with m.FSM():
            with m.State("SYNC"):
                m.d.comb += [
                    self.o.payload.eq(SYNC),
                    self.o.valid.eq(self.i.valid),
                    crc.start.eq(1),
                ]
                with m.If(self.o.valid & self.o.ready):
                    m.next = "BYTES"
            with m.State("BYTES"):
                m.d.comb += [
                    self.o.payload.eq(self.i.payload.byte),
                    self.o.valid.eq(self.i.valid),
                    self.i.ready.eq(self.o.ready),
                    crc.valid.eq(self.i.valid & self.o.ready),
                ]
                with m.If(self.i.valid & self.o.ready & self.i.payload.last):
                    m.next = "HIGH"
            with m.State("HIGH"):
                m.d.comb += [self.o.payload.eq(crc.crc[8:]), self.o.valid.eq(1)]
                with m.If(self.o.ready):
                    m.next = "LOW"
            with m.State("LOW"):
                m.d.comb += [self.o.payload.eq(crc.crc[:8]), self.o.valid.eq(1)]
                with m.If(self.o.ready):
                    m.next = "SYNC"
        return m
