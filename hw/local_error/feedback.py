# SPDX-License-Identifier: BSD-2-Clause
"""The feedback: local errors of all neurons, from class errors and random weights."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from ..parts.pipeline import delayed
from ..plan import LayerPlan
from ..ports import (
    LR_WIDTH,
    Gradients,
    Rule,
    Valid,
    ValidInterface,
    activation_beat,
    errors,
)
from .gradient_order import GradientOrder
from .random_weights import FeedbackWeights
from .weighted_errors import WeightedErrors
from .weighted_errors import latency as weighted_latency

__all__ = ["Feedback"]


def latency(plan: LayerPlan) -> int:
    """Count the clocks of the step of the weights, of their use, and of the shift."""
    return 1 + weighted_latency(plan) + 1


def spare(plan: LayerPlan, lead: int) -> int:
    """Clocks by which local errors are held back, so that they do not come before they may."""
    return max(lead - latency(plan), 0)


class Feedback(wiring.Component):
    """Computes the local errors g of a sample, and sends them to the lanes.

    - `activations`: tell where y > 0. They replace those of the sample before, whose local errors
      must have been sent as far.
    - `errors`: of a sample; their payload stays until its last local errors have been sent.
    - `rule`, `lr`: are sampled with the errors. An `lr` out of range acts as the nearest in range.
    - `gradients`: local errors, shifted left by lr_max - lr; see `Gradients`. `gradients.ready`
      comes at most `lead` clocks before the last beat of a group, and the first beat of the next
      group more than `lead` clocks after `gradients.advance`.
    - `g`: the local errors as they are, a clock before they are shifted.

    Parameters
    ----------
    plan
        Dimensions of the layer.
    lead
        Clocks from `gradients.ready` to the last beat of the group, at most.
    """

    activations: ValidInterface
    errors: ValidInterface
    rule: Signal
    lr: Signal
    gradients: Any
    g: ValidInterface

    def __init__(self, *, plan: LayerPlan, lead: int):
        self.plan = plan
        self.lead = lead
        #: Clocks from the decision to send a beat to its local errors.
        self.delay = latency(plan) + spare(plan, lead)
        g = data.ArrayLayout(signed(plan.g_width), plan.drain_width)
        super().__init__(
            {
                "activations": In(Valid(activation_beat(plan))),
                "errors": In(Valid(errors(plan))),
                "rule": In(Rule),
                "lr": In(LR_WIDTH),
                "gradients": Out(Gradients(plan)),
                "g": Out(Valid(g)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        plan, layer = self.plan, self.plan.layer
        m.submodules.order = order = GradientOrder(
            plan=plan, distance=max(self.delay - self.lead, 1), delay=self.delay + 1
        )
        m.submodules.weights = weights = FeedbackWeights(
            seeds=(layer.seeds[1], layer.seeds[2]),
            neurons=plan.drain_width,
            classes=layer.classes,
            width=layer.mb,
        )
        m.submodules.weighted = weighted = WeightedErrors(plan=plan)
        update, rule, errors = self.gradients.update, Signal(Rule), self.errors
        m.d.comb += [
            update.valid.eq(errors.valid),
            update.p.eq(errors.p.update & (self.rule != Rule.FROZEN)),
            order.start.eq(update.valid & update.p),
            order.advance.eq(self.gradients.advance),
            # The weights are many: what moves them comes straight from registers.
            weights.step.eq(delayed(m, order.sending, 1)),
            weights.restart.eq(delayed(m, order.sending & order.last, 1)),
            weights.rule.eq(rule),
            weighted.e.eq(errors.p.e),
            weighted.u.eq(weights.u),
            weighted.d.eq(self._derivatives(m, weights.step, weights.restart)),
            self.g.p.eq(weighted.g),
            self.g.valid.eq(delayed(m, weights.step, weighted.delay)),
        ]
        with m.If(order.start):
            m.d.sync += rule.eq(self.rule)
        self._send(m, order)
        return m

    def _send(self, m: Module, order: GradientOrder):
        """Send the lanes what they need, and say how far it has got."""
        beats, left = Signal.like(self.gradients.beats.p), self._shift(m)
        m.d.comb += [
            beats.index.eq(delayed(m, order.index, self.delay - spare(self.plan, self.lead))),
            *(beats.g[n].eq(delayed(m, g << left, 1)) for n, g in enumerate(self.g.p)),
        ]
        rest = spare(self.plan, self.lead)
        valid = delayed(m, self.g.valid, 1 + rest)
        m.d.comb += [
            self.gradients.beats.valid.eq(valid),
            self.gradients.beats.p.eq(delayed(m, beats, rest)),
            self.gradients.ready.eq(order.ready),
            self.gradients.complete.eq(order.complete),
        ]
        # Beats of the group before may still be on their way.
        turn = delayed(m, order.turn, self.delay)
        nonzero = Cat(g.any() for g in self.gradients.beats.p.g).any()
        with m.If(valid & (turn == order.turn) & nonzero):
            m.d.sync += self.gradients.some.eq(1)
        with m.If(order.start | self.gradients.advance):
            m.d.sync += self.gradients.some.eq(0)

    def _shift(self, m: Module) -> Signal:
        """Sample lr_max - lr, within its range, with the errors."""
        low, high = self.plan.lr_min, self.plan.lr_max
        left = Signal(range(high - low + 1))
        with m.If(self.errors.valid & self.errors.p.update):
            with m.If(self.lr < low):
                m.d.sync += left.eq(high - low)
            with m.Elif(self.lr > high):
                m.d.sync += left.eq(0)
            with m.Else():
                m.d.sync += left.eq(high - self.lr)
        return left

    def _derivatives(self, m: Module, step: Signal, restart: Signal) -> Value:
        """Keep where y > 0, for all neurons; give it beat by beat, a `step` further each."""
        m.submodules.derivatives = derivatives = memory.Memory(
            shape=self.plan.drain_width, depth=self.plan.sample_beats, init=[]
        )
        write, read = derivatives.write_port(), derivatives.read_port(domain="comb")
        i = self.activations
        m.d.comb += [
            write.en.eq(i.valid),
            write.data.eq(Cat(i.p.y[n] != 0 for n in range(self.plan.drain_width))),
        ]
        with m.If(i.valid):
            m.d.sync += write.addr.eq(Mux(i.p.last, 0, write.addr + 1))
        with m.If(step):
            m.d.sync += read.addr.eq(Mux(restart, 0, read.addr + 1))
        return read.data
