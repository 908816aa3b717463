# SPDX-License-Identifier: BSD-2-Clause
"""The feedback: local errors of all neurons, from class errors and random weights."""

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from ..parts.pipeline import adder_tree, delayed, tree_delay
from ..plan import LayerPlan, signed_width
from ..ports import LR_WIDTH, Rule, gradient_beat
from .random_weights import FeedbackWeights

__all__ = ["Feedback"]


def latency(plan: LayerPlan) -> int:
    """Count the clocks of the step of the weights, the gates, the tree, difference and shift."""
    return 2 + tree_delay(plan.layer.classes * plan.layer.mb) + 2


class Feedback(wiring.Component):
    """Computes g[n] = rs(sum_c K[n,c] e[c], ms) where y[n] > 0, and sends it to the lanes.

    Contract, "One training step of a layer". With K = 2u - (2^mb - 1) the sum is
    2 sum_c u e - (2^mb - 1) sum_c e.

    - `d_valid`, `d`, `d_last`: y > 0, beat by beat of a sample; they replace those of the sample
      before, whose local errors must have been sent as far.
    - `start`: the errors `e` of the sample are there, and stay until its last local errors have
      been sent; `rule` and `lr` are as they shall be for it.
    - `o`: local errors for the lanes, n ascending, shifted left by lr_max - lr: those of one group
      as soon as possible, those of the next group after `advance`.
    - `ready`: the local errors of the present group have been sent, or will be within `lead`
      clocks, or there are none.
    - `g_valid`, `g`: the local errors as they are.

    Parameters
    ----------
    plan
        Dimensions of the layer.
    lead
        Clocks from `ready` to the last beat of the group, at most.
    """

    d_valid: Signal
    d_last: Signal
    d: Signal
    start: Signal
    e: data.View
    rule: Signal
    lr: Signal
    advance: Signal
    ready: Signal
    o: data.View
    g_valid: Signal
    g: data.View

    def __init__(self, *, plan: LayerPlan, lead: int):
        self.plan = plan
        self.lead = lead
        #: Clocks from the decision to send a beat to its local errors.
        self.delay = latency(plan)
        super().__init__({
            "d_valid": In(1),
            "d_last": In(1),
            "d": In(plan.drain_width),
            "start": In(1),
            "e": In(data.ArrayLayout(signed(plan.e_width), plan.layer.classes)),
            "rule": In(Rule),
            "lr": In(LR_WIDTH),
            "advance": In(1),
            "ready": Out(1),
            "o": Out(gradient_beat(plan)),
            "g_valid": Out(1),
            "g": Out(data.ArrayLayout(signed(plan.g_width), plan.drain_width)),
        })

    def elaborate(self, platform):
        m = Module()
        plan, layer = self.plan, self.plan.layer
        m.submodules.weights = weights = FeedbackWeights(
            seeds=(layer.seeds[1], layer.seeds[2]),
            neurons=plan.drain_width,
            classes=layer.classes,
            width=layer.mb,
        )
        m.submodules.derivatives = derivatives = memory.Memory(
            shape=plan.drain_width, depth=plan.sample_beats, init=[]
        )
        write, read = derivatives.write_port(), derivatives.read_port(domain="comb")
        with m.If(self.d_valid):
            m.d.sync += write.addr.eq(Mux(self.d_last, 0, write.addr + 1))
        m.d.comb += [write.en.eq(self.d_valid), write.data.eq(self.d)]

        # Which beat is sent: of the present group, and of the sample.
        active, sending, last_group = Signal(), Signal(), Signal()
        index, group = Signal(range(plan.beats)), Signal(range(plan.groups))
        last_index = Signal()
        m.d.comb += [
            last_index.eq(index == plan.beats - 1),
            last_group.eq(group == plan.groups - 1),
        ]
        # The weights are many: what moves them comes straight from registers.
        m.d.comb += [
            weights.step.eq(delayed(m, sending, 1)),
            weights.restart.eq(delayed(m, sending & last_index & last_group, 1)),
        ]
        with m.If(weights.step):
            m.d.sync += read.addr.eq(Mux(weights.restart, 0, read.addr + 1))
        # The last beat of a group has this long to go until `ready` may say so.
        distance = max(self.delay - self.lead, 1)
        remaining = Signal(range(distance))
        m.d.comb += self.ready.eq(~active | (~sending & (remaining == 0)))
        with m.If(sending):
            m.d.sync += [
                remaining.eq(distance - 1),
                index.eq(Mux(last_index, 0, index + 1)),
                sending.eq(~last_index),
            ]
        with m.Elif(remaining != 0):
            m.d.sync += remaining.eq(remaining - 1)
        with m.If(self.advance & active):
            m.d.sync += group.eq(Mux(last_group, 0, group + 1))
            with m.If(last_group):
                m.d.sync += active.eq(0)
            with m.Else():
                m.d.sync += sending.eq(1)

        rule, left = Signal(Rule), Signal(range(plan.lr_max - plan.lr_min + 1))
        m.d.comb += weights.rule.eq(rule)
        with m.If(self.start):
            m.d.sync += [
                active.eq(1),
                sending.eq(1),
                rule.eq(self.rule),
                left.eq(plan.lr_max - self.lr),
            ]

        # The sum of all errors starts two clocks before the first sum of weighted ones and has
        # at most as many terms, so that its two further registers do not make it late.
        half = (1 << layer.ms) >> 1 if layer.ms > 0 else 0
        bound = (2**layer.mb - 1) * (2**layer.fe - 1) * layer.classes
        e = [self.e[c] for c in range(layer.classes)]
        e_sum = adder_tree(m, e)
        scaled = Signal(signed(signed_width(bound)))
        offset = Signal(signed(signed_width(bound + half)))
        m.d.sync += [scaled.eq((e_sum << layer.mb) - e_sum), offset.eq(half - scaled)]

        summed = 1 + tree_delay(layer.classes * layer.mb)
        d = delayed(m, read.data, summed + 1)
        m.d.comb += self.g_valid.eq(delayed(m, weights.step, summed + 1))
        m.d.sync += [
            self.o.valid.eq(self.g_valid),
            self.o.index.eq(delayed(m, index, summed + 2)),
        ]
        for n in range(plan.drain_width):
            u = weights.u[n]
            terms = [
                (e[c].as_unsigned() & u[c][bit].replicate(plan.e_width)).as_signed() << bit
                for c in range(layer.classes)
                for bit in range(layer.mb)
            ]
            total = Signal.like(offset, name=f"total{n}")
            weighted = adder_tree(m, [delayed(m, term, 1) for term in terms])
            m.d.sync += total.eq((weighted << 1) + offset)
            g = total >> layer.ms if layer.ms > 0 else total << -layer.ms
            m.d.comb += self.g[n].eq(Mux(d[n], g, 0))
            m.d.sync += self.o.g[n].eq(self.g[n] << left)
        return m
