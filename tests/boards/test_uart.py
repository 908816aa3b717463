# SPDX-License-Identifier: BSD-2-Clause
"""The serial line: bytes through a transmitter, a wire and a receiver."""

import random
import re

import pytest
from amaranth.hdl import Module
from amaranth.sim import Simulator

from boards.uart import BYTE_BITS, UARTReceiver, UARTTransmitter, divisor


def simulate(module, *testbenches):
    """Run the test benches to their ends, or for 0.1 s of simulated time at most."""
    simulator = Simulator(module)
    simulator.add_clock(1e-6)
    for testbench in testbenches:
        simulator.add_testbench(testbench)
    simulator.run_until(0.1)


def bits(byte):
    """List the levels of the line for a byte."""
    return [0, *(byte >> i & 1 for i in range(8)), 1]


@pytest.mark.parametrize("clocks", [4, 5, 33])
def test_round_trip(clocks):
    """What goes in comes out, with and without pauses between the bytes."""
    rng = random.Random(clocks)
    sent = [rng.randrange(256) for _ in range(30)]
    received = []
    m = Module()
    m.submodules.tx = tx = UARTTransmitter(divisor=clocks)
    m.submodules.rx = rx = UARTReceiver(divisor=clocks)
    m.d.comb += rx.rx.eq(tx.tx)

    async def source(ctx):
        for byte in sent:
            if rng.random() < 0.3:
                await ctx.tick().repeat(rng.randrange(1, 40))
            ctx.set(tx.i.payload, byte)
            ctx.set(tx.i.valid, 1)
            await ctx.tick().until(tx.i.ready)
            ctx.set(tx.i.valid, 0)

    async def sink(ctx):
        ctx.set(rx.o.ready, 1)
        while len(received) < len(sent):
            (byte,) = await ctx.tick().sample(rx.o.payload).until(rx.o.valid)
            received.append(byte)

    simulate(m, source, sink)
    assert received == sent


@pytest.mark.parametrize("period", [24, 26])
def test_other_rate(period):
    """A sender 4 % slower or faster is understood."""
    sent = [0x00, 0xFF, 0x55, 0xA5, 0x80, 0x01]
    received = []
    dut = UARTReceiver(divisor=25)
    line = [level for byte in sent for level in bits(byte)]

    async def source(ctx):
        for level in [*line, 1, 1]:
            ctx.set(dut.rx, level)
            await ctx.tick().repeat(period)

    async def sink(ctx):
        ctx.set(dut.o.ready, 1)
        while len(received) < len(sent):
            (byte,) = await ctx.tick().sample(dut.o.payload).until(dut.o.valid)
            received.append(byte)

    simulate(dut, source, sink)
    assert received == sent


def test_not_a_byte():
    """A glitch and a byte without a stop bit give nothing; the byte after them arrives."""
    received = []
    dut = UARTReceiver(divisor=8)

    async def source(ctx):
        ctx.set(dut.rx, 0)
        await ctx.tick().repeat(2)
        ctx.set(dut.rx, 1)
        await ctx.tick().repeat(20)
        for level in [*bits(0x3C)[:-1], 0, *[1] * (BYTE_BITS + 2), *bits(0x42), 1]:
            ctx.set(dut.rx, level)
            await ctx.tick().repeat(8)

    async def sink(ctx):
        ctx.set(dut.o.ready, 1)
        while 0x42 not in received:
            (byte,) = await ctx.tick().sample(dut.o.payload).until(dut.o.valid)
            received.append(byte)

    simulate(dut, source, sink)
    assert 0x42 in received
    assert 0x3C not in received


def test_full_receiver_keeps_its_byte():
    """A byte that is not taken stays as it is; those behind it are lost."""
    dut = UARTReceiver(divisor=4)
    seen = []

    async def testbench(ctx):
        for level in [1, *bits(0x12), *bits(0x34), 1, 1, 1]:
            ctx.set(dut.rx, level)
            await ctx.tick().repeat(4)
        seen.append((ctx.get(dut.o.valid), ctx.get(dut.o.payload)))

    simulate(dut, testbench)
    assert seen == [(1, 0x12)]


def test_divisor():
    """The clocks of a bit are the nearest whole number, if it is near enough."""
    assert divisor(100e6, 1_000_000) == 100
    assert divisor(100e6, 3_000_000) == 33
    message = (
        "a clock of 25 MHz cannot make 3000000 baud; choose a rate that divides the clock to "
        "within 2 % and is at most a quarter of it"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        divisor(25e6, 3_000_000)
    for component in UARTReceiver, UARTTransmitter:
        with pytest.raises(ValueError, match=r"^divisor must be at least 4, not 3$"):
            component(divisor=3)
