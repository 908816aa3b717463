# SPDX-License-Identifier: BSD-2-Clause
"""The feedback: local errors of all neurons, from class errors and random weights."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import memory, wiring
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
from .gradient_sender import GradientSender, local_errors
from .random_weights import FeedbackWeights
from .random_weights import delay as weights_delay
from .weighted_errors import WeightedErrors
from .weighted_errors import latency as weighted_latency

__all__ = ["Feedback"]


def latency(plan: LayerPlan) -> int:
    """Count the clocks of the step of the weights, of their use, and of the shift."""
    return 1 + weights_delay(plan.layer.terms) + weighted_latency(plan) + 1


class Feedback(wiring.Component):
    """Computes the local errors g of a sample, and sends them to the lanes.

    - `activations`: tell where y > 0. They replace those of the sample before, whose local errors
      must have been sent as far.
    - `errors`: of a sample; their payload stays until its last local errors have been sent.
    - `rule`, `lr`: are sampled with the errors. An `lr` out of range acts as the nearest in range.
    - `gradients`: local errors, shifted for the learning rate; see `Gradients`. `gradients.ready`
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
        self._sender = GradientSender(plan=plan, lead=lead, latency=latency(plan))
        #: Clocks from the decision to send a beat to its local errors.
        self.delay = self._sender.delay
        super().__init__(
            {
                "activations": In(Valid(activation_beat(plan))),
                "errors": In(Valid(errors(plan))),
                "rule": In(Rule),
                "lr": In(LR_WIDTH),
                "gradients": Out(Gradients(plan)),
                "g": Out(Valid(local_errors(plan))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        plan, layer = self.plan, self.plan.layer
        m.submodules.sender = sender = self._sender
        m.submodules.weights = weights = FeedbackWeights(
            seeds=(layer.seeds[1], layer.seeds[2]),
            neurons=plan.drain_width,
            classes=layer.classes,
            width=layer.mb,
            terms=layer.terms,
            source=layer.source,
        )
        m.submodules.weighted = weighted = WeightedErrors(plan=plan)
        order, rule = sender.order, Signal(Rule)
        step, restart = (delayed(m, s, weights.delay) for s in (weights.step, weights.restart))
        wiring.connect(m, wiring.flipped(self.errors), sender.errors)
        wiring.connect(m, sender.gradients, wiring.flipped(self.gradients))
        m.d.comb += [
            sender.rule.eq(self.rule),
            sender.lr.eq(self.lr),
            order.taken.eq(1),
            # The weights are many: what moves them comes straight from registers.
            weights.step.eq(delayed(m, order.sending, 1)),
            weights.restart.eq(delayed(m, order.sending & order.last, 1)),
            weights.rule.eq(rule),
            weighted.e.eq(self.errors.p.e),
            weighted.u.eq(weights.u),
            weighted.d.eq(self._derivatives(m, step, restart)),
            self.g.p.eq(weighted.g),
            self.g.valid.eq(delayed(m, step, weighted.delay)),
            sender.g.p.eq(self.g.p),
            sender.g.valid.eq(self.g.valid),
        ]
        with m.If(sender.start):
            m.d.sync += rule.eq(self.rule)
        return m

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
