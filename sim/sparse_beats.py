# SPDX-License-Identifier: BSD-2-Clause
"""Sparse beats: a dense sample, without its zeros."""

from amaranth.hdl import Module, Signal, Value, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.plan import LayerPlan
from hw.ports import X_WIDTH, is_sample, samples

__all__ = ["SparseBeats"]


class SparseBeats(wiring.Component):
    """Writes the same samples in as few beats as it can without looking ahead: see `hw.ports.beat`.

    Beats without anything but zeros are left out, unless they are the last of their packet, and
    each begins with its first activation that is not 0. No clock passes in between.

    Parameters
    ----------
    plan
        Dimensions of the layer that takes them.
    width
        Activations in a beat.
    """

    i: stream.Interface
    o: stream.Interface

    def __init__(self, plan: LayerPlan, width: int):
        self.plan = plan
        self.width = width
        super().__init__({"i": In(samples(plan, width)), "o": Out(samples(plan, width))})

    def elaborate(self, platform):
        m = Module()
        before, after = self.i.payload, self.o.payload
        first = Signal(range(self.width))
        for k in reversed(range(self.width)):
            with m.If(before.x[k] != 0):
                m.d.comb += first.eq(k)
        # From where the last beat began to where that of `i` before this one did.
        lead = Signal(signed(self.plan.layer.inputs.bit_length() + 1))
        gap = Signal.like(lead)
        dropped = Signal()
        x = Value.cast(before.x)
        m.d.comb += [
            gap.eq(lead + before.gap),
            dropped.eq(is_sample(before.header) & ~before.last & ~x.any()),
            after.eq(before),
            after.gap.eq(gap + first),
            Value.cast(after.x).eq(x >> (first * X_WIDTH)),
            self.o.valid.eq(self.i.valid & ~dropped),
            self.i.ready.eq(self.o.ready | dropped),
        ]
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += lead.eq(gap)
            with m.If(~dropped):
                m.d.sync += lead.eq(-first)
            with m.If(before.last):
                m.d.sync += lead.eq(0)
        return m
