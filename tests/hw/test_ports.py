# SPDX-License-Identifier: BSD-2-Clause
"""The interfaces that components share."""

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator

from hw.ports import (
    CLOCK_COUNTERS,
    COUNTERS,
    Activity,
    Command,
    Credit,
    Valid,
    beat,
    header,
    is_sample,
)
from tests.hw.bench import plan


class Fan(wiring.Component):
    """One source, two receivers, and a monitor that is a port."""

    def __init__(self):
        super().__init__(
            {
                "i": In(Valid(4)),
                "a": Out(Valid(4)),
                "b": Out(Valid(4)),
                "monitor": Out(wiring.Signature({"tap": Out(Valid(4))})),
            }
        )

    def elaborate(self, platform):
        m = Module()
        wiring.connect(
            m,
            wiring.flipped(self.i),
            wiring.flipped(self.a),
            wiring.flipped(self.b),
            wiring.flipped(self.monitor).tap,
        )
        return m


def test_valid_reaches_all_receivers():
    dut = Fan()

    async def bench(ctx):
        for valid, payload in (1, 9), (0, 3), (1, 0):
            ctx.set(dut.i.valid, valid)
            ctx.set(dut.i.payload, payload)
            for port in dut.a, dut.b, dut.monitor.tap:
                assert (ctx.get(port.valid), ctx.get(port.p)) == (valid, payload)

    simulator = Simulator(dut)
    simulator.add_testbench(bench)
    simulator.run()


def test_valid_is_what_it_carries():
    assert Valid(4) == Valid(4)
    assert Valid(4) != Valid(5)
    assert repr(Valid(4)) == "Valid(4)"


def test_credit_is_seen_from_the_room():
    assert {name: member.flow for name, member in Credit().members.items()} == {
        "space": Out,
        "reserve": In,
    }


def test_counters_have_one_home():
    """Each activity has a counter; `cycles` is no activity."""
    assert set(CLOCK_COUNTERS) == {activity.name.lower() for activity in Activity}
    assert len(set(COUNTERS)) == len(COUNTERS)
    assert set(COUNTERS) - set(CLOCK_COUNTERS) == {
        *("cycles", "columns_skipped", "updates_skipped", "groups_skipped"),
        *("weight_reads", "weight_writes"),
    }


def test_beat_has_room_for_every_distance():
    """From one column to any other, also where a beat holds a whole sample."""
    for columns, width in (1, 1), (5, 5), (784, 8), (1000, 1):
        layout = beat(header(plan()), columns, width)
        assert layout["gap"].width >= max(columns - 1, width * (columns > width)).bit_length()
        assert len(layout.const({}).x) == width


def test_only_samples_have_inputs():
    m, i = Module(), Signal(header(plan()))

    async def bench(ctx):
        for kind, value, sample in zip(Command, range(4), (1, 1, 0, 0), strict=True):
            assert kind.value == value
            ctx.set(i.command, kind)
            assert ctx.get(is_sample(i)) == sample

    simulator = Simulator(m)
    simulator.add_testbench(bench)
    simulator.run()
