# SPDX-License-Identifier: BSD-2-Clause
"""The primitives as cells of the Lattice ECP5, with their own registers in use.

Sources: Lattice FPGA-TN-02205 (sysDSP usage guide) for MULT18X18D and FPGA-TN-02204 (memory usage
guide) for DP16KD; the parameters are those that Yosys' `lattice/cells_bb_ecp5.v` and
`lattice/cells_sim_ecp5.v` list. In short:

- MULT18X18D multiplies two 18-bit operands, each signed or not. Each operand, the product and the
  middle can be registered; a register is on when its REG_..._CLK names one of four clocks. Inputs
  A and B are chosen over the shift chains by SOURCEA = SOURCEB = 0.
- DP16KD holds 16384 bits (18432 with the ninth bits) behind two ports. Words of 18, 9, 4, 2 or 1
  bits start at address bit 4, 3, 2, 1 or 0; for 18 bits the lowest two address bits enable the
  halves of a write. REGMODE OUTREG adds a register behind the array.
- With words of 36 bits, from address bit 5 on, port A only writes and port B only reads, each
  through the data pins of both: the lower half of a word by way of DIA and DOA, the upper by way
  of DIB and DOB. The lowest four address bits enable the bytes of a write, CEA is all of its
  enable, and both REGMODEs must agree. Lattice calls this form PDPW16KD, and DOB the outputs 0 to
  17 of it, so that the halves of its word leave in the other order than they enter; Yosys' own
  `lattice/brams_map_16kd.v` takes a DP16KD, without that turn.
- Neither register is ever inferred by Yosys. nextpnr's times for speed grade 6: clock to output of
  DP16KD 5.61 ns without its register and 0.97 ns with; MULT18X18D 3.93 ns through, or 0.08 ns
  set-up and 0.74 ns clock to output with both registers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from math import ceil

from amaranth.hdl import Array, Cat, ClockSignal, Const, Instance, Module, Signal, Value

from . import interface

__all__ = ["Geometry", "Memory", "Multiplier", "Section", "geometry"]

#: Bits of a word and their number, for each way to organise a DP16KD, the most words first.
_ORGANISATIONS = ((1, 16384), (2, 8192), (4, 4096), (9, 2048), (18, 1024), (36, 512))
#: Address and data pins of a DP16KD port.
_ADDRESS_WIDTH = 14
_DATA_WIDTH = 18


def _pad(value: Value, width: int) -> Value:
    """Fill `value` up to `width` bits with zeros."""
    return Cat(value, Const(0, width - len(value)))


def _bits(port: str, value: Value) -> dict[str, Value]:
    """Name each bit of a port as the cells do: `i_A` becomes `i_A0`, `i_A1` and so on."""
    return {f"{port}{i}": bit for i, bit in enumerate(value)}


class Multiplier(interface.Multiplier):
    """One MULT18X18D with the registers of its operands and of its product.

    Narrow operands take the upper pins, with zeros below them, and the product the upper pins as
    well: constant pins need no wires, where copies of a sign bit would, and wires around the
    multipliers are scarce when most of them are in use.
    """

    def elaborate(self, platform):
        m = Module()
        width = interface.MULTIPLIER_WIDTH
        product = Signal(2 * width)
        unused_a, unused_b = width - self.a_width, width - self.b_width
        m.submodules.cell = Instance(
            "MULT18X18D",
            p_REG_INPUTA_CLK="CLK0",
            p_REG_INPUTB_CLK="CLK0",
            p_REG_OUTPUT_CLK="CLK0",
            i_CLK0=ClockSignal(),
            i_CE0=1,
            i_RST0=0,
            i_SIGNEDA=1,
            i_SIGNEDB=1,
            i_SOURCEA=0,
            i_SOURCEB=0,
            **_bits("i_A", Cat(Const(0, unused_a), self.a)),
            **_bits("i_B", Cat(Const(0, unused_b), self.b)),
            **_bits("o_P", product),
        )
        m.d.comb += self.p.eq(product[unused_a + unused_b :])
        return m


@dataclass(frozen=True)
class Section:
    """Blocks side by side, whose words together hold a word of the memory.

    Parameters
    ----------
    word
        Bits of a block's word.
    rows
        Words of a block, a power of two.
    columns
        Blocks.
    base
        Address of the first row, a multiple of `rows`.
    """

    word: int
    rows: int
    columns: int
    base: int

    @property
    def row_bits(self) -> int:
        """Bits of an address that choose a row."""
        return (self.rows - 1).bit_length()

    def holds(self, address: Value) -> Value:
        """Tell whether a row of this section has this address."""
        return address[self.row_bits :] == self.base >> self.row_bits


@dataclass(frozen=True)
class Geometry:
    """How a memory is put together from blocks.

    Parameters
    ----------
    sections
        What holds the words, from address 0 on, the largest sections first: the base of each is
        then a multiple of its rows.
    """

    sections: tuple[Section, ...]

    @property
    def blocks(self) -> int:
        """DP16KD in all."""
        return sum(section.columns for section in self.sections)


def _stack(organisations: Sequence[tuple[int, int]], width: int, depth: int) -> Geometry:
    """Stack sections of each of these organisations, as many as the smallest leave room for."""
    _, least = organisations[-1]
    end = least * ceil(depth / least)
    sections, base = [], 0
    for word, rows in organisations:
        for _ in range((end - base) // rows):
            sections.append(Section(word, rows, ceil(width / word), base))
            base += rows
    return Geometry(tuple(sections))


def geometry(width: int, depth: int) -> Geometry:
    """Choose the stack with the fewest blocks, of these that with the fewest sections.

    Of stacks that are alike in both it is one with the narrowest words: they use the fewest pins.

    >>> geometry(12, 1570)  # two halves of a word rather than two sections of words
    Geometry(sections=(Section(word=9, rows=2048, columns=2, base=0),))
    >>> geometry(36, 2355).blocks
    5
    >>> [(section.word, section.rows) for section in geometry(36, 2355).sections]
    [(9, 2048), (36, 512)]
    """
    stacks = [
        _stack(organisations, width, depth)
        for count in range(1, len(_ORGANISATIONS) + 1)
        for organisations in combinations(_ORGANISATIONS, count)
    ]
    return min(stacks, key=lambda stack: (stack.blocks, len(stack.sections)))


class Memory(interface.Memory):
    """DP16KDs, written through port A and read through port B with the output register.

    The section of a read address travels along with the read, as far as the multiplexer.
    """

    def elaborate(self, platform):
        m = Module()
        sections = geometry(self.width, self.depth).sections
        data = Signal(self.width, reset_less=True)
        m.d.comb += self.read_data.eq(data)
        if len(sections) == 1:
            m.d.sync += data.eq(self._read(m, sections[0], self.write_enable))
        else:
            words = [
                self._read(m, section, self.write_enable & section.holds(self.write_addr))
                for section in sections
            ]
            in_array = Signal(range(len(sections)), reset_less=True)
            in_register = Signal.like(in_array)
            m.d.sync += [
                in_array.eq(0),
                in_register.eq(in_array),
                data.eq(Array(words)[in_register]),
            ]
            for number, section in enumerate(sections[1:], start=1):
                with m.If(section.holds(self.read_addr)):
                    m.d.sync += in_array.eq(number)
        return m

    def _read(self, m: Module, section: Section, write_enable: Value) -> Value:
        """Add the blocks of a section to `m`; give the word that they read."""
        words = []
        for first in range(0, self.width, section.word):
            name = f"{section.base}_{first}"
            output = Signal(2 * _DATA_WIDTH, name=f"output{name}")
            m.submodules[f"block{name}"] = self._block(
                section,
                read_addr=self.read_addr[: section.row_bits],
                read_data=output,
                write_addr=self.write_addr[: section.row_bits],
                write_data=self.write_data[first : first + section.word],
                write_enable=write_enable,
            )
            # A word that fits the pins of port B is read there.
            start = 0 if section.word > _DATA_WIDTH else _DATA_WIDTH
            words.append(output[start : start + section.word])
        return Cat(words)[: self.width]

    @staticmethod
    def _block(section, *, read_addr, read_data, write_addr, write_data, write_enable):
        low = _ADDRESS_WIDTH - section.row_bits
        byte_enables = Const({18: 0b11, 36: 0b1111}.get(section.word, 0), low)
        write_data = _pad(write_data, 2 * _DATA_WIDTH)

        return Instance(
            "DP16KD",
            p_DATA_WIDTH_A=section.word,
            p_DATA_WIDTH_B=section.word,
            p_REGMODE_A="OUTREG",
            p_REGMODE_B="OUTREG",
            p_RESETMODE="SYNC",
            p_WRITEMODE_A="NORMAL",
            p_WRITEMODE_B="NORMAL",
            p_CSDECODE_A="0b000",
            p_CSDECODE_B="0b000",
            p_GSR="DISABLED",
            i_CLKA=ClockSignal(),
            i_CEA=write_enable,
            i_OCEA=1,
            i_WEA=1,
            i_RSTA=0,
            i_CLKB=ClockSignal(),
            i_CEB=1,
            i_OCEB=1,
            i_WEB=0,
            i_RSTB=0,
            **_bits("i_CSA", Const(0, 3)),
            **_bits("i_CSB", Const(0, 3)),
            **_bits("i_ADA", _pad(Cat(byte_enables, write_addr), _ADDRESS_WIDTH)),
            **_bits("i_ADB", _pad(Cat(byte_enables, read_addr), _ADDRESS_WIDTH)),
            **_bits("i_DIA", write_data[:_DATA_WIDTH]),
            **_bits("i_DIB", write_data[_DATA_WIDTH:]),
            **_bits("o_DOA", read_data[:_DATA_WIDTH]),
            **_bits("o_DOB", read_data[_DATA_WIDTH:]),
        )
