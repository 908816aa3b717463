# SPDX-License-Identifier: BSD-2-Clause
"""The run-time registers of all layers, which SET writes."""

from collections.abc import Sequence

from amaranth.hdl import Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.plan import LayerPlan
from hw.ports import LR_WIDTH, Rule

from .sender import marked

__all__ = ["Registers", "registers"]


def registers() -> data.StructLayout:
    """Layout of the registers of a layer."""
    return data.StructLayout({"lr": LR_WIDTH, "rule": Rule})


class Registers(wiring.Component):
    """Takes the two bytes of SET for layer `layer` while `go` is high, if they are in range.

    `done` is high in the last clock; `refused` says that they were not, and nothing has changed.
    `layer0`, `layer1`, ... are the registers; until they are set they hold what the description
    says.

    Parameters
    ----------
    plans
        The plan of each layer.
    """

    go: Signal
    layer: Signal
    body: stream.Interface
    done: Signal
    refused: Signal

    def __init__(self, plans: Sequence[LayerPlan]):
        self.plans = plans
        outputs = {
            f"layer{i}": Out(
                registers(),
                init={"lr": plan.layer.lr, "rule": Rule.named(plan.layer.rule)},  # pyright: ignore[reportCallIssue]
            )
            for i, plan in enumerate(plans)
        }
        super().__init__(
            {
                "go": In(1),
                "layer": In(8),
                "body": In(stream.Signature(marked())),
                "done": Out(1),
                "refused": Out(1),
                **outputs,
            }
        )

    def elaborate(self, platform):
        m = Module()
        lr, rule, accepted = Signal(8), Signal(8), Signal()
        m.d.comb += [
            rule.eq(self.body.payload.byte),
            self.body.ready.eq(self.go),
            self.done.eq(self.go & self.body.valid & self.body.payload.last),
            self.refused.eq(~accepted),
        ]
        with m.If(self.body.valid & self.body.ready):
            m.d.sync += lr.eq(self.body.payload.byte)
        for i, plan in enumerate(self.plans):
            register = getattr(self, f"layer{i}")
            with m.If(self.layer == i):
                m.d.comb += accepted.eq(
                    (lr >= plan.lr_min) & (lr <= plan.lr_max) & (rule < len(Rule))
                )
                with m.If(self.done & accepted):
                    m.d.sync += [register.lr.eq(lr), register.rule.eq(rule)]
        return m
