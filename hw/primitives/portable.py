# SPDX-License-Identifier: BSD-2-Clause
"""The primitives in plain Amaranth: for any device, and for simulation."""

from amaranth.hdl import Module, Signal
from amaranth.lib import memory

from . import interface

__all__ = ["Memory", "Multiplier"]


class Multiplier(interface.Multiplier):
    """A product that synthesis is free to place where it likes."""

    def elaborate(self, platform):
        m = Module()
        a = Signal.like(self.a, reset_less=True)
        b = Signal.like(self.b, reset_less=True)
        p = Signal.like(self.p, reset_less=True)
        m.d.sync += [a.eq(self.a), b.eq(self.b), p.eq(a * b)]
        m.d.comb += self.p.eq(p)
        return m


class Memory(interface.Memory):
    """An array that synthesis maps to block memory, if it is large enough."""

    def elaborate(self, platform):
        m = Module()
        m.submodules.array = array = memory.Memory(shape=self.width, depth=self.depth, init=[])
        read, write = array.read_port(), array.write_port()
        in_register = Signal(self.width, reset_less=True)
        data = Signal(self.width, reset_less=True)
        m.d.sync += [in_register.eq(read.data), data.eq(in_register)]
        m.d.comb += [
            read.addr.eq(self.read_addr),
            self.read_data.eq(data),
            write.addr.eq(self.write_addr),
            write.data.eq(self.write_data),
            write.en.eq(self.write_enable),
        ]
        return m
