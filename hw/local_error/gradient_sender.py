# SPDX-License-Identifier: BSD-2-Clause
"""The gradient sender: local errors leave for the lanes, shifted for the learning rate."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..parts.pipeline import delayed
from ..plan import LayerPlan
from ..ports import LR_WIDTH, Gradients, Rule, Valid, ValidInterface, errors
from .gradient_order import GradientOrder

__all__ = ["GradientSender", "local_errors", "spare"]


def local_errors(plan: LayerPlan) -> data.ArrayLayout:
    """Layout of the local errors of a beat of neurons, as they are."""
    return data.ArrayLayout(signed(plan.g_width), plan.drain_width)


def spare(latency: int, lead: int) -> int:
    """Clocks by which local errors are held back, so that they do not come before they may."""
    return max(lead - latency, 0)


class GradientSender(wiring.Component):
    """Says which beat of local errors is to be made, and sends the lanes what has been made.

    - `errors`, `rule`, `lr`, `gradients`: see `Feedback`. `start` says that they begin an update.
    - `order`: the beats to be made; see `GradientOrder`, whose `taken` is to be driven.
    - `g`: the local errors of a beat, `latency` - 1 clocks after it was taken.

    Parameters
    ----------
    plan
        Dimensions of the layer.
    lead
        Clocks from `gradients.ready` to the last beat of the group, at most.
    latency
        Clocks from a beat that is taken until it may be sent.
    """

    errors: ValidInterface
    rule: Signal
    lr: Signal
    gradients: Any
    start: Signal
    g: ValidInterface

    def __init__(self, *, plan: LayerPlan, lead: int, latency: int):
        self.plan = plan
        self.lead = lead
        self.spare = spare(latency, lead)
        #: Clocks from a beat that is taken to its local errors on their way.
        self.delay = latency + self.spare
        self.order = GradientOrder(
            plan=plan, distance=max(self.delay - lead, 1), delay=self.delay + 1
        )
        super().__init__(
            {
                "errors": In(Valid(errors(plan))),
                "rule": In(Rule),
                "lr": In(LR_WIDTH),
                "gradients": Out(Gradients(plan)),
                "start": Out(1),
                "g": In(Valid(local_errors(plan))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.order = order = self.order
        gradients, update = self.gradients, self.gradients.update
        beats, left = Signal.like(gradients.beats.p), self._shift(m)
        m.d.comb += [
            update.valid.eq(self.errors.valid),
            update.p.eq(self.errors.p.update & (self.rule != Rule.FROZEN)),
            self.start.eq(update.valid & update.p),
            order.start.eq(self.start),
            order.advance.eq(gradients.advance),
            beats.index.eq(delayed(m, order.index, self.delay - self.spare)),
            *(beats.g[n].eq(delayed(m, g << left, 1)) for n, g in enumerate(self.g.p)),
        ]
        valid = delayed(m, self.g.valid, 1 + self.spare)
        m.d.comb += [
            gradients.beats.valid.eq(valid),
            gradients.beats.p.eq(delayed(m, beats, self.spare)),
            gradients.ready.eq(order.ready),
            gradients.complete.eq(order.complete),
        ]
        # Beats of the group before may still be on their way.
        turn = delayed(m, order.turn, self.delay)
        nonzero = Cat(g.any() for g in gradients.beats.p.g).any()
        with m.If(valid & (turn == order.turn) & nonzero):
            m.d.sync += gradients.some.eq(1)
        with m.If(order.start | gradients.advance):
            m.d.sync += gradients.some.eq(0)
        return m

    def _shift(self, m: Module) -> Signal:
        """Sample lr_max - lr, in its range, with the errors; give what inputs are not shifted."""
        low, high, most = self.plan.lr_min, self.plan.lr_max, self.plan.x_growth
        shift = Signal(self.plan.left_shape)
        with m.If(self.lr < low):
            m.d.comb += shift.eq(high - low)
        with m.Elif(self.lr > high):
            m.d.comb += shift.eq(0)
        with m.Else():
            m.d.comb += shift.eq(high - self.lr)
        left = Signal(range(high - low - most + 1)) if most else self.gradients.left
        with m.If(self.errors.valid & self.errors.p.update):
            m.d.sync += self.gradients.left.eq(shift)
            if most:
                m.d.sync += left.eq(Mux(shift > most, shift - most, 0))
        return left
