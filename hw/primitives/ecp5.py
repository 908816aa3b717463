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
- Neither register is ever inferred by Yosys. nextpnr's times for speed grade 6: clock to output of
  DP16KD 5.61 ns without its register and 0.97 ns with; MULT18X18D 3.93 ns through, or 0.08 ns
  set-up and 0.74 ns clock to output with both registers.
"""

from dataclasses import dataclass
from math import ceil

from amaranth.hdl import Array, Cat, ClockSignal, Const, Instance, Module, Signal, Value

from . import interface

__all__ = ["Geometry", "Memory", "Multiplier", "geometry"]

#: Bits of a word and their number, for each way to organise a DP16KD.
_ORGANISATIONS = ((18, 1024), (9, 2048), (4, 4096), (2, 8192), (1, 16384))
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
class Geometry:
    """How a memory is put together from blocks.

    Parameters
    ----------
    word
        Bits of a block's word.
    rows
        Words of a block.
    columns
        Blocks side by side, so that their words together hold a word of the memory.
    banks
        Rows of blocks, of which each address selects one.
    """

    word: int
    rows: int
    columns: int
    banks: int

    @property
    def blocks(self) -> int:
        """DP16KD in all."""
        return self.columns * self.banks


def geometry(width: int, depth: int) -> Geometry:
    """Choose the organisation with the fewest blocks, and among these that with the fewest banks.

    >>> geometry(12, 1570)  # two halves of a word rather than two banks of words
    Geometry(word=9, rows=2048, columns=2, banks=1)
    """
    choices = [
        Geometry(word, rows, ceil(width / word), ceil(depth / rows))
        for word, rows in _ORGANISATIONS
    ]
    return min(choices, key=lambda choice: (choice.blocks, choice.banks))


class Memory(interface.Memory):
    """DP16KDs, written through port A and read through port B with the output register.

    The bank of a read address travels along with the read, as far as the multiplexer.
    """

    def elaborate(self, platform):
        m = Module()
        shape = geometry(self.width, self.depth)
        row_bits = (shape.rows - 1).bit_length()
        write_bank, read_bank = self.write_addr[row_bits:], self.read_addr[row_bits:]

        words = []
        for bank in range(shape.banks):
            enable = self.write_enable
            if shape.banks > 1:
                enable = enable & (write_bank == bank)
            word = []
            for first in range(0, self.width, shape.word):
                output = Signal(_DATA_WIDTH, name=f"output{bank}_{first}")
                m.submodules[f"block{bank}_{first}"] = self._block(
                    shape,
                    read_addr=self.read_addr[:row_bits],
                    read_data=output,
                    write_addr=self.write_addr[:row_bits],
                    write_data=self.write_data[first : first + shape.word],
                    write_enable=enable,
                )
                word.append(output[: shape.word])
            words.append(Cat(word)[: self.width])

        data = Signal(self.width, reset_less=True)
        m.d.comb += self.read_data.eq(data)
        if shape.banks == 1:
            m.d.sync += data.eq(words[0])
        else:
            in_array = Signal(range(shape.banks), reset_less=True)
            in_register = Signal(range(shape.banks), reset_less=True)
            m.d.sync += [
                in_array.eq(read_bank),
                in_register.eq(in_array),
                data.eq(Array(words)[in_register]),
            ]
        return m

    @staticmethod
    def _block(shape, *, read_addr, read_data, write_addr, write_data, write_enable):
        low = _ADDRESS_WIDTH - (shape.rows - 1).bit_length()
        byte_enables = Const(0b11 if shape.word == 18 else 0, low)

        return Instance(
            "DP16KD",
            p_DATA_WIDTH_A=shape.word,
            p_DATA_WIDTH_B=shape.word,
            p_REGMODE_A="OUTREG",
            p_REGMODE_B="OUTREG",
            p_RESETMODE="SYNC",
            p_WRITEMODE_A="NORMAL",
            p_WRITEMODE_B="NORMAL",
            p_CSDECODE_A="0b000",
            p_CSDECODE_B="0b000",
            p_GSR="DISABLED",
            i_CLKA=ClockSignal(),
            i_CEA=1,
            i_OCEA=1,
            i_WEA=write_enable,
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
            **_bits("i_DIA", _pad(write_data, _DATA_WIDTH)),
            **_bits("o_DOB", read_data),
        )
