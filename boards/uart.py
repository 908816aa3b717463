# SPDX-License-Identifier: BSD-2-Clause
"""A serial line of 8 data bits, no parity and one stop bit, as streams of bytes."""

from amaranth.hdl import Cat, Const, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.wiring import In, Out

__all__ = ["BYTE_BITS", "UARTReceiver", "UARTTransmitter", "divisor"]

#: Bits on the line for each byte: start, data, stop.
BYTE_BITS = 10
#: The largest part of a bit by which the last bit of a byte may be off, both ends together a half.
_DRIFT = 0.2


def divisor(frequency: float, baud: int) -> int:
    """Compute the clocks of a bit.

    Raises
    ------
    ValueError
        If a whole number of clocks is not close enough to a bit.
    """
    clocks = round(frequency / baud)
    if clocks < 4 or abs(clocks * baud / frequency - 1) * BYTE_BITS > _DRIFT:
        raise ValueError(
            f"a clock of {frequency / 1e6:g} MHz cannot make {baud} baud; choose a rate that "
            f"divides the clock to within {100 * _DRIFT / BYTE_BITS:g} % and is at most a "
            "quarter of it"
        )
    return clocks


def _check(divisor: int):
    if divisor < 4:
        raise ValueError(f"divisor must be at least 4, not {divisor!r}")


class UARTReceiver(wiring.Component):
    """Bytes from the line `rx`, which may be asynchronous.

    Each bit is sampled once, in its middle. A byte that is not taken by the time the next one is
    complete is lost, and so is a byte without a stop bit.

    Parameters
    ----------
    divisor
        Clocks of a bit, at least 4.
    """

    rx: Signal
    o: stream.Interface

    def __init__(self, *, divisor: int):
        _check(divisor)
        self.divisor = divisor
        super().__init__(
            {
                "rx": In(1, init=1),  # pyright: ignore[reportCallIssue]
                "o": Out(stream.Signature(8)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        rx = Signal(init=1)
        m.submodules += FFSynchronizer(self.rx, rx, init=1)

        clocks = Signal(range(self.divisor))
        bits = Signal(range(BYTE_BITS + 1))
        byte = Signal(8)
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.If(bits == 0), m.If(~rx):
            m.d.sync += [bits.eq(BYTE_BITS), clocks.eq(self.divisor // 2)]
        with m.Elif(clocks != 0):
            m.d.sync += clocks.eq(clocks - 1)
        with m.Else():
            m.d.sync += [
                clocks.eq(self.divisor - 1),
                bits.eq(bits - 1),
                byte.eq(Cat(byte[1:], rx)),
            ]
            # The first sample lies in the start bit: a glitch is over by then.
            with m.If((bits == BYTE_BITS) & rx):
                m.d.sync += bits.eq(0)
            with m.If((bits == 1) & rx & (~self.o.valid | self.o.ready)):
                m.d.sync += [self.o.payload.eq(byte), self.o.valid.eq(1)]
        return m


class UARTTransmitter(wiring.Component):
    """Bytes to the line `tx`.

    Parameters
    ----------
    divisor
        Clocks of a bit, at least 4.
    """

    i: stream.Interface
    tx: Signal

    def __init__(self, *, divisor: int):
        _check(divisor)
        self.divisor = divisor
        super().__init__(
            {
                "i": In(stream.Signature(8)),
                "tx": Out(1, init=1),  # pyright: ignore[reportCallIssue]
            }
        )

    def elaborate(self, platform):
        m = Module()
        clocks = Signal(range(self.divisor))
        bits = Signal(range(BYTE_BITS + 1))
        line = Signal(BYTE_BITS, init=(1 << BYTE_BITS) - 1)
        m.d.comb += [self.tx.eq(line[0]), self.i.ready.eq(bits == 0)]
        with m.If(self.i.ready), m.If(self.i.valid):
            m.d.sync += [
                line.eq(Cat(Const(0, 1), self.i.payload, Const(1, 1))),
                bits.eq(BYTE_BITS),
                clocks.eq(self.divisor - 1),
            ]
        with m.Elif(clocks != 0):
            m.d.sync += clocks.eq(clocks - 1)
        with m.Else():
            m.d.sync += [
                line.eq(Cat(line[1:], Const(1, 1))),
                bits.eq(bits - 1),
                clocks.eq(self.divisor - 1),
            ]
        return m
