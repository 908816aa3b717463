# SPDX-License-Identifier: BSD-2-Clause
"""What goes into the MAC array: an instruction and the inputs that belong to it."""

from amaranth.hdl import signed
from amaranth.lib import data

from ..plan import LayerPlan
from ..ports import X_WIDTH

__all__ = ["instruction", "move", "operands", "step"]


def step(plan: LayerPlan) -> data.StructLayout:
    """Layout of a step of a pass: an input meets a weight of every lane.

    With `issue` the lanes read the weight at `addr`. With `update` they subtract the product of
    local error and `x_old` from it and write it back. They multiply it by `x_new` and accumulate.
    `first` and `last` mark a group's inputs. On `first` the lanes accept the local errors of the
    group, on `last` the sums become activations.
    """
    return data.StructLayout({
        "issue": 1,
        "first": 1,
        "last": 1,
        "update": 1,
        "addr": range(plan.depth),
    })


def move(plan: LayerPlan) -> data.StructLayout:
    """Layout of the move of a weight into or out of the array.

    - `load`: weight `addr` of lane `lane` becomes `word`.
    - `read`: weight `addr` of lane `lane` comes out of the array.
    """
    return data.StructLayout({
        "load": 1,
        "read": 1,
        "addr": range(plan.depth),
        "lane": range(plan.layer.lanes),
        "word": signed(plan.layer.wb),
    })


def instruction(plan: LayerPlan) -> data.StructLayout:
    """Layout of what the MAC array does in a clock: a step or a move, with one address."""
    return data.StructLayout({**step(plan).members, **move(plan).members})


def operands(plan: LayerPlan) -> data.StructLayout:
    """Layout of an instruction and its input, of the sample before and of the present one."""
    return data.StructLayout({"do": instruction(plan), "x_old": X_WIDTH, "x_new": X_WIDTH})
