# SPDX-License-Identifier: BSD-2-Clause
"""The receiving end of the link: whole, intact frames out of the bytes of a line."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.crc.catalog import CRC16_IBM_3740
from amaranth.lib.wiring import In, Out

from hw.primitives import Primitives

from ..frames import BODY_MAX, END, ESC, ESC_END, ESC_ESC, HEADER

__all__ = ["FrameReceiver", "Unstuffer"]

#: Any: the type stubs of Amaranth leave CRCs out.
CRC: Any = CRC16_IBM_3740(8)
#: Where the operation stands in the header.
OP = 4


class Unstuffer(wiring.Component):
    """Undoes the byte stuffing of a line, a clock later.

    `valid` marks a byte of a frame, `end` its end. `broken` marks a pair that stands for nothing;
    where it is END that follows ESC, `end` is high too.
    """

    i: stream.Interface
    valid: Signal
    byte: Signal
    end: Signal
    broken: Signal

    def __init__(self):
        super().__init__(
            {
                "i": In(stream.Signature(8)),
                "valid": Out(1),
                "byte": Out(8),
                "end": Out(1),
                "broken": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        byte = self.i.payload
        escaped = Signal()
        m.d.comb += self.i.ready.eq(1)
        m.d.sync += [self.valid.eq(0), self.end.eq(0), self.broken.eq(0), self.byte.eq(byte)]
        with m.If(self.i.valid):
            m.d.sync += escaped.eq(byte == ESC)
            with m.If(byte == END):
                m.d.sync += [self.end.eq(1), self.broken.eq(escaped)]
            with m.Elif(~escaped):
                m.d.sync += self.valid.eq(byte != ESC)
            with m.Elif(byte == ESC_END):
                m.d.sync += [self.valid.eq(1), self.byte.eq(END)]
            with m.Elif(byte == ESC_ESC):
                m.d.sync += [self.valid.eq(1), self.byte.eq(ESC)]
            with m.Else():
                m.d.sync += self.broken.eq(1)
        return m


class Ring(wiring.Component):
    """Bytes that become readable, or are forgotten, together.

    `store` takes `byte` in; `commit` makes all that were stored since the last `commit` readable,
    unless one of them found no room, which `overflow` says; `drop` forgets them. Bytes that are
    read while `keep` is high can be read again: `again`, in a clock in which none is read, goes
    back to the first of them. `keep` rises a clock or more after a byte was read.

    Parameters
    ----------
    depth
        Bytes, a power of two.
    primitives
        Where the memory comes from.
    """

    store: Signal
    byte: Signal
    commit: Signal
    drop: Signal
    overflow: Signal
    keep: Signal
    again: Signal
    o: stream.Interface

    def __init__(self, *, depth: int, primitives: Primitives):
        if depth & (depth - 1):
            raise ValueError(f"depth must be a power of two, not {depth!r}")
        self.depth = depth
        self._memory = primitives.memory(width=8, depth=depth)
        super().__init__(
            {
                "store": In(1),
                "byte": In(8),
                "commit": In(1),
                "drop": In(1),
                "overflow": Out(1),
                "keep": In(1),
                "again": In(1),
                "o": Out(stream.Signature(8)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.memory = memory = self._memory
        # Bytes between `read` and `committed` are for the reader, those from `kept` on may be once
        # more; those up to `write` may yet be dropped. One more bit than an address tells full
        # from empty.
        pointer = range(2 * self.depth)
        kept, read, committed, write = (
            Signal(pointer, name=name) for name in ("kept", "read", "committed", "write")
        )
        with m.If(~self.keep):
            m.d.sync += kept.eq(read)
        m.d.comb += [memory.write_addr.eq(write), memory.write_data.eq(self.byte)]
        with m.If(self.drop):
            m.d.sync += [write.eq(committed), self.overflow.eq(0)]
        with m.Elif(self.commit):
            m.d.sync += committed.eq(write)
        with m.Elif(self.store):
            with m.If(write == kept ^ self.depth):
                m.d.sync += self.overflow.eq(1)
            with m.Else():
                m.d.comb += memory.write_enable.eq(1)
                m.d.sync += write.eq(write + 1)

        # A word takes `delay` clocks out of the memory; there is time, the line is far slower.
        age = Signal(range(memory.delay + 1))
        m.d.comb += [
            memory.read_addr.eq(read),
            self.o.payload.eq(memory.read_data),
            self.o.valid.eq(age == memory.delay),
        ]
        with m.If(self.again):
            m.d.sync += [age.eq(0), read.eq(kept)]
        with m.Elif(self.o.valid), m.If(self.o.ready):
            m.d.sync += [age.eq(0), read.eq(read + 1)]
        with m.Else():
            m.d.sync += age.eq(Mux(read == committed, 0, age + 1))
        return m


class FrameReceiver(wiring.Component):
    """Passes on the frames that are whole and intact, header and body.

    Bytes are taken as they come, with at least four clocks from one to the next; a frame waits in
    a ring of `depth` bytes until it is read. `rejected` counts the frames not passed on. At the
    start, and once a frame has been rejected, only one whose operation is `opening` is passed on,
    and then all are again; `opened` is high for a clock as it becomes readable. For `keep` and
    `again` see `Ring`.

    Parameters
    ----------
    body_max
        The longest body to expect.
    depth
        Bytes of the ring, a power of two that holds at least the longest frame.
    opening
        Operation of the frames that begin a session.
    primitives
        Where the ring's memory comes from.
    """

    i: stream.Interface
    o: stream.Interface
    rejected: Signal
    opened: Signal
    keep: Signal
    again: Signal

    def __init__(self, *, body_max: int, depth: int, opening: int, primitives: Primitives):
        if not 0 <= body_max <= BODY_MAX:
            raise ValueError(f"body_max must be between 0 and {BODY_MAX}, not {body_max!r}")
        if depth < HEADER + body_max:
            raise ValueError(f"depth must be at least {HEADER + body_max}, not {depth!r}")
        self.body_max = body_max
        self.depth = depth
        self.opening = opening
        self._ring = Ring(depth=depth, primitives=primitives)
        super().__init__(
            {
                "i": In(stream.Signature(8)),
                "o": Out(stream.Signature(8)),
                "rejected": Out(8),
                "opened": Out(1),
                "keep": In(1),
                "again": In(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.line = line = Unstuffer()
        m.submodules.crc = crc = CRC.create()
        m.submodules.ring = ring = self._ring
        wiring.connect(m, wiring.flipped(self.i), line.i)
        wiring.connect(m, ring.o, wiring.flipped(self.o))

        left, length = Signal(16, init=HEADER), Signal(16)
        opening, closed = Signal(), Signal(init=1)
        store = Signal()
        m.d.comb += [
            crc.data.eq(line.byte),
            crc.valid.eq(line.valid),
            ring.byte.eq(line.byte),
            ring.store.eq(store & line.valid),
            ring.keep.eq(self.keep),
            ring.again.eq(self.again),
        ]
        with m.If(line.valid):
            m.d.sync += left.eq(left - 1)

        def cut_short():
            """In a state in which a frame is not complete: it ends, or is broken."""
            with m.If(line.end):
                m.next = "REJECT"
            with m.Elif(line.broken):
                m.next = "SKIP"

        with m.FSM():
            with m.State("START"):
                m.d.comb += [crc.start.eq(1), ring.drop.eq(1)]
                m.d.sync += left.eq(HEADER)
                m.next = "HEADER"
            with m.State("HEADER"):
                m.d.comb += store.eq(1)
                with m.If(line.valid):
                    m.d.sync += length.eq(Cat(length[8:], line.byte))
                    with m.If(left == HEADER - OP):
                        m.d.sync += opening.eq(line.byte == self.opening)
                    with m.If(left == 1):
                        m.next = "LENGTH"
                # Two ENDs in a row have nothing between them.
                with m.If((left != HEADER) | line.broken):
                    cut_short()
            with m.State("LENGTH"):
                m.d.sync += left.eq(length)
                m.next = "BODY"
                with m.If(length > self.body_max):
                    m.next = "SKIP"
                with m.Elif(length == 0):
                    m.d.sync += left.eq(2)
                    m.next = "CRC"
            with m.State("BODY"):
                m.d.comb += store.eq(1)
                with m.If(line.valid & (left == 1)):
                    m.d.sync += left.eq(2)
                    m.next = "CRC"
                cut_short()
            with m.State("CRC"):
                with m.If(line.valid & (left == 1)):
                    m.next = "WHOLE"
                cut_short()
            with m.State("WHOLE"):
                with m.If(line.valid):
                    m.next = "SKIP"
                cut_short()
                with m.If(line.end & ~line.broken):
                    with m.If(crc.match_detected & ~ring.overflow & (opening | ~closed)):
                        m.d.comb += [ring.commit.eq(1), self.opened.eq(opening)]
                        m.d.sync += closed.eq(0)
                        m.next = "START"
            with m.State("SKIP"):
                with m.If(line.end):
                    m.next = "REJECT"
            with m.State("REJECT"):
                m.d.sync += [self.rejected.eq(self.rejected + 1), closed.eq(1)]
                m.next = "START"
        return m
