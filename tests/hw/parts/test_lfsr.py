# SPDX-License-Identifier: BSD-2-Clause
"""The random bit generator against the contract and against its own software twin."""

import re

import galois
import pytest
from amaranth.sim import Simulator
from hypothesis import given, settings
from hypothesis import strategies as st

from hw.parts.lfsr import LFSR, TAPS, bits

SEEDS = st.integers(1, 2**64 - 1)


def test_check_values():
    assert bits(1, 0, 60) == 1
    assert bits(1, 60, 8) == 0b00011011


def test_full_period():
    polynomial = galois.Poly.Degrees([*TAPS, 0])
    assert polynomial.is_primitive()


@given(seed=SEEDS, first=st.integers(0, 300))
@settings(deadline=None, max_examples=20)
def test_twin_against_galois(seed, first):
    # Galois states the recurrence by the reciprocal polynomial and counts its state backwards.
    register = [seed >> t & 1 for t in range(64)]
    a = galois.GF2(register)
    for _ in range(first + 8):
        a = galois.GF2([*a, a[-64] + a[-63] + a[-61] + a[-60]])
    assert bits(seed, first, 8) == sum(int(b) << i for i, b in enumerate(a[64 + first :]))


@given(
    seed=SEEDS,
    width=st.integers(1, 200),
    steps=st.lists(st.sampled_from(["", "short", "whole"]), max_size=20),
    data=st.data(),
)
@settings(deadline=None, max_examples=30)
def test_rtl_against_twin(seed, width, steps, data):
    """Steps, some of them short if there are such, and again from the start."""
    dut = LFSR(seed=seed, width=width, part=data.draw(st.just(0) | st.integers(0, width - 1)))

    async def bench(ctx):
        for _ in range(2):
            position = 0
            for step in steps:
                assert ctx.get(dut.o) == bits(seed, position, width)
                short = step == "short" and dut.part
                if dut.part:
                    # Without a step it is of no matter.
                    ctx.set(dut.short, step != "whole")
                ctx.set(dut.step, step != "")
                await ctx.tick()
                position += (dut.part if short else width) * (step != "")
            ctx.set(dut.restart, 1)
            await ctx.tick()
            ctx.set(dut.restart, 0)

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()


@pytest.mark.parametrize(
    ("seed", "width", "message"),
    [
        (0, 1, "seed must be a number between 1 and 2^64 - 1, not 0"),
        (2**64, 1, "seed must be a number between"),
        (1, 0, "width must be at least 1, not 0"),
    ],
)
def test_messages(seed, width, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        LFSR(seed=seed, width=width)


def test_a_short_step_is_shorter():
    with pytest.raises(ValueError, match=r"^part must be between 0 and width - 1, 4, not 5$"):
        LFSR(seed=1, width=5, part=5)
