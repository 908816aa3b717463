# SPDX-License-Identifier: BSD-2-Clause
"""What every form of the multiplier and of the memory keeps to."""

from abc import ABC, abstractmethod

from amaranth.hdl import Module, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["MULTIPLIER_WIDTH", "Memory", "Multiplier"]

#: The widest operand of a multiplier.
MULTIPLIER_WIDTH = 18


class Multiplier(wiring.Component, ABC):
    """Signed product `p` = `a` * `b`, one each clock, `delay` clocks after its operands.

    Registers lie on the operands and on the product; they have no enable and no reset.

    Parameters
    ----------
    a_width, b_width
        Bits of the operands, two's complement, 1 to 18. The product has the sum of both.
    """

    #: Clocks from the operands to their product.
    delay = 2

    a: Signal
    b: Signal
    p: Signal

    def __init__(self, *, a_width: int, b_width: int):
        for name, width in ("a_width", a_width), ("b_width", b_width):
            if not 1 <= width <= MULTIPLIER_WIDTH:
                raise ValueError(f"{name} must be between 1 and {MULTIPLIER_WIDTH}, not {width!r}")
        self.a_width = a_width
        self.b_width = b_width
        super().__init__(
            {
                "a": In(signed(a_width)),
                "b": In(signed(b_width)),
                "p": Out(signed(a_width + b_width)),
            }
        )

    @abstractmethod
    def elaborate(self, platform) -> Module:
        """Describe the form."""


class Memory(wiring.Component, ABC):
    """Memory with one read port and one write port on one clock.

    Each clock reads one word and, with `write_enable`, writes another. `read_data` follows
    `read_addr` by `delay` clocks: one in the array, one in the array's output register and one
    behind the multiplexer of its parts. A word can be read in any clock after that in which it
    was written; reading a word in the very clock in which it is written gives the old word or
    garbage, depending on the form, and so does reading a word never written. Addresses must be
    below `depth`.

    Parameters
    ----------
    width
        Bits of a word, at least 1.
    depth
        Words, at least 1.
    """

    #: Clocks from an address to the word read there.
    delay = 3

    read_addr: Signal
    read_data: Signal
    write_addr: Signal
    write_data: Signal
    write_enable: Signal

    def __init__(self, *, width: int, depth: int):
        for name, value in ("width", width), ("depth", depth):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, not {value!r}")
        self.width = width
        self.depth = depth
        super().__init__(
            {
                "read_addr": In(range(depth)),
                "read_data": Out(width),
                "write_addr": In(range(depth)),
                "write_data": In(width),
                "write_enable": In(1),
            }
        )

    @abstractmethod
    def elaborate(self, platform) -> Module:
        """Describe the form."""
