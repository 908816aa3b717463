# SPDX-License-Identifier: BSD-2-Clause
"""The staller: a stream that stops and goes at random."""

from typing import Any

from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.parts.lfsr import LFSR

__all__ = ["RATES", "Staller"]

#: Bits of a draw: `rate` is in units of 2^-DRAW.
DRAW = 8
#: What `rate` may be.
RATES = range(1 << DRAW)


class Staller(wiring.Component):
    """Passes what comes on in the same clock, or lets it wait.

    It is open or shut. Shut, it draws in every clock whether to open; open, it stays so until the
    next transfer, so that what it has shown as valid stays valid, and then draws again.

    Parameters
    ----------
    payload
        Of both streams.
    rate
        How likely a draw shuts it, or lets it be shut, of 256; with 0 it is always open.
    seed
        Of the draws: from 1 to 2^64 - 1.
    """

    i: stream.Interface
    o: stream.Interface

    def __init__(self, payload: Any, *, rate: int, seed: int):
        if rate not in RATES:
            raise ValueError(f"rate must be from 0 to {RATES[-1]}, not {rate!r}")
        self.rate = rate
        self.seed = seed
        super().__init__(
            {"i": In(stream.Signature(payload)), "o": Out(stream.Signature(payload))},
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.draws = draws = LFSR(seed=self.seed, width=DRAW)
        is_open = Signal(init=1)
        m.d.comb += [
            draws.step.eq(1),
            self.o.payload.eq(self.i.payload),
            self.o.valid.eq(self.i.valid & is_open),
            self.i.ready.eq(self.o.ready & is_open),
        ]
        with m.If(~is_open | (self.o.valid & self.o.ready)):
            m.d.sync += is_open.eq(draws.o >= self.rate)
        return m
