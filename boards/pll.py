# SPDX-License-Identifier: BSD-2-Clause
"""The clock of an ECP5 board: one EHXPLLL, its dividers found by a search.

Source: Lattice FPGA-DS-02012 (data sheet, "sysCLOCK PLL timing") for the ranges, FPGA-TN-02200
(clock usage guide) for the cell. In short: the input, divided by CLKI_DIV, is what the phase
detector compares with CLKOP, divided by CLKFB_DIV; the oscillator runs CLKOP_DIV times as fast as
CLKOP. So with CLKFB_DIV = 1, CLKOP fed back, and the clock taken from CLKOS:

    oscillator = input / CLKI_DIV * CLKOP_DIV      output = oscillator / CLKOS_DIV
"""

from dataclasses import dataclass
from fractions import Fraction

from amaranth.hdl import Instance, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from golden.errors import InputError

__all__ = ["ECP5PLL", "Dividers", "PLLError", "solve"]

# Ranges in Hz.
INPUT = (8_000_000, 400_000_000)
DETECTOR = (10_000_000, 400_000_000)
OSCILLATOR = (400_000_000, 800_000_000)
OUTPUT = (3_125_000, 400_000_000)
#: The largest value of any divider.
DIVIDER = 128
#: The largest accepted difference between the frequency asked for and the one made.
TOLERANCE = Fraction(1, 100)


class PLLError(InputError):
    """No setting of the PLL makes the frequency; the message names the range that is left."""


@dataclass(frozen=True)
class Dividers:
    """A setting of the PLL.

    Parameters
    ----------
    source
        Input frequency in Hz.
    clki, clkop, clkos
        Dividers of the input, of the fed-back clock and of the output.
    """

    source: int
    clki: int
    clkop: int
    clkos: int

    @property
    def detector(self) -> Fraction:
        """Frequency at the phase detector in Hz."""
        return Fraction(self.source, self.clki)

    @property
    def oscillator(self) -> Fraction:
        """Frequency of the oscillator in Hz."""
        return self.detector * self.clkop

    @property
    def frequency(self) -> Fraction:
        """Output frequency in Hz."""
        return self.oscillator / self.clkos


def _check(name: str, value: int, limits: tuple[int, int]):
    if not limits[0] <= value <= limits[1]:
        low, high = (f"{limit / 1e6:g}" for limit in limits)
        raise PLLError(f"{name} must be between {low} and {high} MHz, not {value / 1e6:g} MHz")


def _within(value: Fraction, limits: tuple[int, int]) -> bool:
    return limits[0] <= value <= limits[1]


def solve(source: int, target: int) -> Dividers:
    """Find the dividers that come closest to `target` Hz from `source` Hz.

    Of equally close settings, the one with the fastest phase detector is taken (it makes the
    least jitter).

    Raises
    ------
    PLLError
        If a frequency is out of the cell's range, or the closest is off by more than 1 %.
    """
    _check("the PLL's input", source, INPUT)
    _check("the system clock", target, OUTPUT)
    choices = []
    for clki in range(1, DIVIDER + 1):
        for clkos in range(1, DIVIDER + 1):
            clkop = round(Fraction(target * clkos * clki, source))
            choice = Dividers(source, clki, clkop, clkos)
            if (
                _within(choice.detector, DETECTOR)
                and 1 <= clkop <= DIVIDER
                and _within(choice.oscillator, OSCILLATOR)
            ):
                choices.append(choice)
    if not choices:
        raise PLLError(
            f"no setting of the PLL makes {target / 1e6:g} MHz from {source / 1e6:g} MHz"
        )
    best = min(choices, key=lambda choice: (abs(choice.frequency - target), choice.clki))
    if abs(best.frequency - target) > TOLERANCE * target:
        raise PLLError(
            f"the PLL makes {float(best.frequency) / 1e6:.4g} MHz at the nearest from "
            f"{source / 1e6:g} MHz, not {target / 1e6:g} MHz"
        )
    return best


class ECP5PLL(wiring.Component):
    """Make the clock `clk_out` from `clk_in`; it stands still until the PLL has locked.

    The clock passes a gate (DCCA) that lock opens. So registers keep the values of the bitstream
    until the clock is good, and its domain needs no reset, which would have to reach every
    register of the design.

    Parameters
    ----------
    dividers
        The setting, see `solve`.
    """

    clk_in: Signal
    clk_out: Signal

    def __init__(self, dividers: Dividers):
        self.dividers = dividers
        super().__init__({"clk_in": In(1), "clk_out": Out(1)})

    def elaborate(self, platform):
        m = Module()
        dividers = self.dividers
        feedback = Signal()
        free_running = Signal()
        locked = Signal()
        m.submodules.pll = Instance(
            "EHXPLLL",
            # The loop filter, as Lattice's tools set it for this range.
            a_ICP_CURRENT="12",
            a_LPF_RESISTOR="8",
            a_MFG_ENABLE_FILTEROPAMP="1",
            a_MFG_GMCREF_SEL="2",
            p_FEEDBK_PATH="CLKOP",
            p_CLKI_DIV=dividers.clki,
            p_CLKFB_DIV=1,
            p_CLKOP_ENABLE="ENABLED",
            p_CLKOP_DIV=dividers.clkop,
            p_CLKOP_CPHASE=dividers.clkop - 1,
            p_CLKOP_FPHASE=0,
            p_CLKOS_ENABLE="ENABLED",
            p_CLKOS_DIV=dividers.clkos,
            p_CLKOS_CPHASE=dividers.clkos - 1,
            p_CLKOS_FPHASE=0,
            i_CLKI=self.clk_in,
            i_CLKFB=feedback,
            i_RST=0,
            i_STDBY=0,
            i_PLLWAKESYNC=0,
            i_PHASESEL0=0,
            i_PHASESEL1=0,
            i_PHASEDIR=0,
            i_PHASESTEP=0,
            i_PHASELOADREG=0,
            i_ENCLKOP=0,
            i_ENCLKOS=0,
            o_CLKOP=feedback,
            o_CLKOS=free_running,
            o_LOCK=locked,
        )
        m.submodules.gate = Instance("DCCA", i_CLKI=free_running, i_CE=locked, o_CLKO=self.clk_out)
        return m
