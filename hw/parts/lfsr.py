# SPDX-License-Identifier: BSD-2-Clause
"""The random bit generator: a Fibonacci LFSR that leaps many bits a clock."""

from collections.abc import Iterable

from amaranth.hdl import Cat, Const, Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["LFSR", "TAPS", "bits", "following", "odd"]

#: a[t] is the XOR of a[t - tap] over these (contract, "Random numbers").
TAPS = (64, 63, 61, 60)


def bits(seed: int, first: int, count: int) -> int:
    """Compute output bits `first` to `first + count - 1`, the earliest least significant.

    Bit 0 is a[64], the first that the generator makes.
    """
    a = [seed >> t & 1 for t in range(64)]
    for t in range(64, 64 + first + count):
        a.append(a[t - 64] ^ a[t - 63] ^ a[t - 61] ^ a[t - 60])
    return sum(bit << i for i, bit in enumerate(a[64 + first :]))


def odd(u: Value) -> Value:
    """Give the odd number 2u - 2^b + 1 that a field of b bits stands for: b + 1 bits, signed."""
    return Cat(Const(1, 1), u[:-1], ~u[-1]).as_signed()


def following(m: Module, window: Iterable[Value], count: int) -> list[Value]:
    """Give at least 64 bits of the sequence in a row, and `count` that follow.

    Each group of 60 new bits costs one level of 4-input XORs.
    """
    sequence = list(window)
    for _ in range(count):
        new = Signal(name=f"a{len(sequence)}")
        terms = [sequence[-tap] for tap in TAPS]
        m.d.comb += new.eq(terms[0] ^ terms[1] ^ terms[2] ^ terms[3])
        sequence.append(new)
    return sequence


class LFSR(wiring.Component):
    """Linear-feedback shift register over x^64 + x^63 + x^61 + x^60 + 1.

    `o` shows the next `width` bits of the sequence, straight from registers; `step` moves on by
    `width` bits, `restart` (which wins) moves back to the first. With `short` high a `step` moves
    on by `part` bits only; there is no such port without a `part`.

    Parameters
    ----------
    seed
        a[0..63], least significant bit first; not 0, where the generator would stay for ever.
    width
        Bits per step, at least 1.
    part
        Bits of a short step, fewer than `width`; 0 if there is none.
    """

    short: Signal
    restart: Signal
    step: Signal
    o: Signal

    def __init__(self, *, seed: int, width: int, part: int = 0):
        if not 0 < seed < 1 << 64:
            raise ValueError(f"seed must be a number between 1 and 2^64 - 1, not {seed!r}")
        if width < 1:
            raise ValueError(f"width must be at least 1, not {width!r}")
        if not 0 <= part < width:
            raise ValueError(f"part must be between 0 and width - 1, {width - 1}, not {part!r}")
        self.seed = seed
        self.width = width
        self.part = part
        super().__init__(
            {
                "restart": In(1),
                "step": In(1),
                "o": Out(width),
                **({"short": In(1)} if part else {}),
            }
        )

    def elaborate(self, platform):
        m = Module()
        length = max(64, self.width)
        start = bits(self.seed, 0, length)
        window = Signal(length, init=start)

        sequence = following(m, window, self.width)
        m.d.comb += self.o.eq(window[: self.width])
        with m.If(self.restart):
            m.d.sync += window.eq(start)
        with m.Elif(self.step):
            m.d.sync += window.eq(Cat(sequence[self.width :]))
            if self.part:
                with m.If(self.short):
                    m.d.sync += window.eq(Cat(sequence[self.part : self.part + length]))
        return m
