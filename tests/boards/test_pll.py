# SPDX-License-Identifier: BSD-2-Clause
"""The search for PLL dividers, and the cells it configures."""

import re
from fractions import Fraction

import pytest
from amaranth.back import rtlil
from hypothesis import example, given, settings
from hypothesis import strategies as st

from boards.pll import DETECTOR, DIVIDER, ECP5PLL, OSCILLATOR, PLLError, solve


@settings(deadline=None, max_examples=50)
@example(source=10_958_905, target=397_260_307)
@given(source=st.integers(10_000_000, 400_000_000), target=st.integers(3_200_000, 400_000_000))
def test_ranges(source, target):
    """Every setting found is within the cell's ranges and within 1 % of the frequency."""
    try:
        dividers = solve(source, target)
    except PLLError as error:
        refusals = ("the PLL makes", "no setting of the PLL makes")
        assert str(error).startswith(refusals)  # noqa: PT017
        return
    assert DETECTOR[0] <= dividers.detector <= DETECTOR[1]
    assert OSCILLATOR[0] <= dividers.oscillator <= OSCILLATOR[1]
    assert all(1 <= d <= DIVIDER for d in (dividers.clki, dividers.clkop, dividers.clkos))
    assert abs(dividers.frequency - target) <= Fraction(target, 100)


@pytest.mark.parametrize("megahertz", [25, 50, 62.5, 75, 80, 90, 96, 100, 110, 125])
def test_from_25_megahertz(megahertz):
    """What a board with a 25 MHz crystal asks for is made to within 0.2 %."""
    target = int(megahertz * 1e6)
    assert abs(solve(25_000_000, target).frequency - target) <= target * Fraction(2, 1000)


def test_exact():
    """100 MHz from 25 MHz: exact, the phase detector at the crystal's rate."""
    dividers = solve(25_000_000, 100_000_000)
    assert dividers.frequency == 100_000_000
    assert dividers.clki == 1


RANGE = "the system clock must be between 3.125 and 400 MHz"


@pytest.mark.parametrize(
    ("source", "target", "message"),
    [
        (25e6, 3e6, f"{RANGE}, not 3 MHz"),
        (25e6, 401e6, f"{RANGE}, not 401 MHz"),
        (5e6, 100e6, "the PLL's input must be between 8 and 400 MHz, not 5 MHz"),
        (8e6, 50e6, "no setting of the PLL makes 50 MHz from 8 MHz"),
        (19e6, 212e6, "the PLL makes 209 MHz at the nearest from 19 MHz, not 212 MHz"),
    ],
)
def test_errors(source, target, message):
    """Each reason for failure has its own message."""
    with pytest.raises(PLLError, match=f"^{re.escape(message)}$"):
        solve(int(source), int(target))


def test_cell():
    """The dividers reach the cell, and the clock passes the gate that lock opens."""
    dividers = solve(25_000_000, 96_000_000)
    text = rtlil.convert(ECP5PLL(dividers))
    for name in "clki", "clkop", "clkos":
        assert f"parameter \\{name.upper()}_DIV {getattr(dividers, name)}\n" in text
    gate = text[text.index("cell \\DCCA") :]
    assert re.search(r"connect \\CE \\locked\b", gate)
    assert re.search(r"connect \\CLKO \\clk_out\b", gate)
