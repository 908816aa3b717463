# SPDX-License-Identifier: BSD-2-Clause
"""Dropout: some neurons of each training sample are dropped, and at inference all count less."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..parts.lfsr import LFSR
from ..plan import LayerPlan
from ..ports import y_beat

__all__ = ["Dropout"]

#: Bits of a draw, and how many neurons `dropout` counts of which it drops some.
DRAW, OF = 3, 8


class Dropout(wiring.Component):
    """Drops neurons at training: y becomes 0 for k of 8 draws, k the layer's dropout, at least 1.

    At inference y becomes (y * (8 - k)) >> 3 and nothing is drawn (contract, "Dropout", stream 3).
    Only neurons that exist are drawn for, so the last beat of a sample may take fewer bits.

    - `i`: activations of a beat; `o`: what becomes of them, in the same clock.
    - `train`: whether their sample trains.
    - `step`: the beat leaves, and has neurons; `final`: it is the last that has.

    Parameters
    ----------
    plan
        Dimensions of the layer.
    """

    i: data.View
    o: data.View
    train: Signal
    step: Signal
    final: Signal

    def __init__(self, *, plan: LayerPlan):
        self.plan = plan
        super().__init__(
            {
                "i": In(y_beat(plan)),
                "o": Out(y_beat(plan)),
                "train": In(1),
                "step": In(1),
                "final": In(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        layer, drain = self.plan.layer, self.plan.drain_width
        m.submodules.lfsr = lfsr = LFSR(
            seed=layer.seeds[3], width=DRAW * drain, part=DRAW * (layer.neurons % drain)
        )
        m.d.comb += lfsr.step.eq(self.step & self.train)
        if lfsr.part:
            m.d.comb += lfsr.short.eq(self.final)
        kept = [bit for bit in range(DRAW) if OF - layer.dropout >> bit & 1]
        for n in range(drain):
            y, draw = self.i[n], lfsr.o.word_select(n, DRAW)
            dropped = Mux(draw < layer.dropout, 0, y)
            # As a product it would be made by a multiplier, which lanes are short of.
            scaled = sum((y << bit for bit in kept[1:]), y << kept[0]) >> DRAW
            m.d.comb += self.o[n].eq(Mux(self.train, dropped, scaled))
        return m
