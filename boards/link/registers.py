# SPDX-License-Identifier: BSD-2-Clause
"""The run-time registers of all layers, which SET writes."""

from collections.abc import Sequence
from typing import Any

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.link_limits import register_bytes
from hw.plan import LayerPlan
from hw.ports import LR_WIDTH, Rule

from .sender import marked

__all__ = ["Registers", "registers"]


def registers(plan: LayerPlan) -> data.StructLayout:
    """Layout of the registers of a layer."""
    fields = {"lr": LR_WIDTH, "rule": Rule}
    return data.StructLayout(
        fields if plan.layer.margin is None else {**fields, "threshold": plan.s_width}
    )


def _initial(plan: LayerPlan) -> dict[str, Any]:
    """What the registers of a layer hold until they are set."""
    values = {"lr": plan.layer.lr, "rule": Rule.named(plan.layer.rule)}
    if plan.layer.margin is not None:
        values["threshold"] = plan.threshold(plan.layer.margin)
    return values


class Registers(wiring.Component):
    """Takes the bytes of SET for layer `layer` while `go` is high, if they are in range.

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
                registers(plan),
                init=_initial(plan),  # pyright: ignore[reportCallIssue]
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
        sizes = [register_bytes(plan.layer) for plan in self.plans]
        # The last bytes, the latest at the top.
        before, accepted = Signal(8 * (max(sizes) - 1)), Signal()
        taken = Cat(before, self.body.payload.byte)
        m.d.comb += [
            self.body.ready.eq(self.go),
            self.done.eq(self.go & self.body.valid & self.body.payload.last),
            self.refused.eq(~accepted),
        ]
        with m.If(self.body.valid & self.body.ready):
            m.d.sync += before.eq(taken[8:])
        for i, (plan, size) in enumerate(zip(self.plans, sizes, strict=True)):
            register = getattr(self, f"layer{i}")
            own = taken[-8 * size :]
            lr, rule, threshold = own[:8], own[8:16], own[16:]
            with m.If(self.layer == i):
                m.d.comb += accepted.eq(
                    (lr >= plan.lr_min)
                    & (lr <= plan.lr_max)
                    & (rule < len(Rule))
                    & ~threshold[plan.s_width :].any()
                )
                with m.If(self.done & accepted):
                    m.d.sync += [register.lr.eq(lr), register.rule.eq(rule)]
                    if plan.layer.margin is not None:
                        m.d.sync += register.threshold.eq(threshold)
        return m
