# SPDX-License-Identifier: BSD-2-Clause
"""The cocotb bench that test_sim_verilator.py runs."""

import os

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge


@cocotb.test()
async def adds(dut):
    """The sum appears one clock after the operands, off by what the environment says."""
    Clock(dut.clk, 10, "ns").start()
    dut.rst.value = 0
    for a in range(4):
        dut.a.value = a
        dut.b.value = 3
        await FallingEdge(dut.clk)
        await FallingEdge(dut.clk)
        assert int(dut.o.value) == a + 3 + int(os.environ.get("LEL_TEST_OFF_BY", "0"))
