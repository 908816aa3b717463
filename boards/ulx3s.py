# SPDX-License-Identifier: BSD-2-Clause
"""The ULX3S: a network behind its USB serial line, and LEDs that show it learn.

LED 0 to 5 are a bar: the share of the last 64 or so samples that the top layer got right (see
`LEVELS`). LED 6 changes with every sample; LED 7 blinks about once a second while the clock runs.
"""

from typing import Any

from amaranth.hdl import ClockDomain, Module, Mux, Signal
from amaranth.lib import io, wiring
from amaranth.lib.wiring import In, Out
from amaranth_boards.ulx3s import (
    ULX3S_12F_Platform,
    ULX3S_25F_Platform,
    ULX3S_45F_Platform,
    ULX3S_85F_Platform,
)

from golden.spec import NetworkSpec
from hw.network import Network
from hw.network_plan import NetworkPlan
from hw.primitives import ECP5

from .link import Link
from .pll import ECP5PLL, solve
from .protocol import Info, LinkShape, fingerprint
from .uart import UARTReceiver, UARTTransmitter, divisor

__all__ = ["LEVELS", "PLATFORMS", "AccuracyBar", "ULX3STop"]

#: The platform of each variant.
PLATFORMS = {
    "12F": ULX3S_12F_Platform,
    "25F": ULX3S_25F_Platform,
    "45F": ULX3S_45F_Platform,
    "85F": ULX3S_85F_Platform,
}
#: Frequency of the crystal in Hz.
CRYSTAL = 25_000_000
#: The share of correct samples from which each LED of the bar is lit.
LEVELS = (0.25, 0.5, 0.7, 0.8, 0.9, 0.95)


class AccuracyBar(wiring.Component):
    """A bar that is the longer the more of the last samples were correct.

    The share is a running mean: each sample takes a 64th of the difference to it.
    """

    seen: Signal
    correct: Signal
    bar: Signal

    def __init__(self):
        super().__init__({"seen": In(1), "correct": In(1), "bar": Out(len(LEVELS))})

    def elaborate(self, platform):
        m = Module()
        mean = Signal(16)  # its largest value stands for 1
        one = (1 << 16) - 1
        with m.If(self.seen):
            m.d.sync += mean.eq(mean - (mean >> 6) + Mux(self.correct, one >> 6, 0))
        for i, level in enumerate(LEVELS):
            m.d.sync += self.bar[i].eq(mean >= int(level * one))
        return m


class ULX3STop(wiring.Component):
    """All of the board: PLL, serial line, link, network, LEDs.

    Parameters
    ----------
    spec
        Description of the network.
    frequency
        System clock in Hz.
    baud
        Rate of the serial line.

    Raises
    ------
    PLLError, ValueError
        If the clock or the rate cannot be made, or the network does not fit the link.
    """

    def __init__(self, spec: NetworkSpec, *, frequency: int, baud: int):
        self.spec = spec
        self.dividers = solve(CRYSTAL, frequency)
        clock = int(self.dividers.frequency)
        self._divisor = divisor(clock, baud)
        shape = LinkShape(NetworkPlan(spec))
        self._network = Network(spec=spec, primitives=ECP5)
        self._link = Link(
            shape=shape,
            info=Info(clock, shape.window, fingerprint(spec), spec.name),
            primitives=ECP5,
        )
        super().__init__({})

    def elaborate(self, platform):
        m = Module()
        m.submodules.clk25 = clk25 = io.Buffer(
            io.Direction.Input, platform.request("clk25", dir="-")
        )
        m.submodules.pll = pll = ECP5PLL(self.dividers)
        sync: Any = ClockDomain(reset_less=True)  # the type stubs leave out its `clk`
        m.domains.sync = sync
        platform.add_clock_constraint(sync.clk, float(self.dividers.frequency))
        m.d.comb += [pll.clk_in.eq(clk25.i), sync.clk.eq(pll.clk_out)]

        uart = platform.request("uart", dir=dict.fromkeys(("rx", "tx", "rts", "dtr"), "-"))
        m.submodules.rx_pin = rx_pin = io.Buffer(io.Direction.Input, uart.rx)
        m.submodules.tx_pin = tx_pin = io.Buffer(io.Direction.Output, uart.tx)
        m.submodules.rx = rx = UARTReceiver(divisor=self._divisor)
        m.submodules.tx = tx = UARTTransmitter(divisor=self._divisor)
        m.d.comb += [rx.rx.eq(rx_pin.i), tx_pin.o.eq(tx.tx)]

        m.submodules.link = link = self._link
        m.submodules.network = network = self._network
        wiring.connect(m, rx.o, link.rx)
        wiring.connect(m, link.tx, tx.i)
        wiring.connect(m, link.samples, network.i)
        top = len(self.spec.layers) - 1
        for i in range(top + 1):
            wiring.connect(m, getattr(link, f"layer{i}"), getattr(network, f"layer{i}"))

        m.submodules.accuracy = accuracy = AccuracyBar()
        activity = Signal()
        heartbeat = Signal((int(self.dividers.frequency) // 2).bit_length())
        m.d.comb += [accuracy.seen.eq(link.seen), accuracy.correct.eq(link.correct[top])]
        m.d.sync += [activity.eq(activity ^ link.seen), heartbeat.eq(heartbeat + 1)]
        for i, light in enumerate([*accuracy.bar, activity, heartbeat[-1]]):
            pin = platform.request("led", i, dir="-")
            m.submodules[f"led{i}"] = led = io.Buffer(io.Direction.Output, pin)
            m.d.comb += led.o.eq(light)
        return m
