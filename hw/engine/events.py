# SPDX-License-Identifier: BSD-2-Clause
"""What goes into the MAC array: events, and moves of weights."""

from amaranth.hdl import signed
from amaranth.lib import data

from ..plan import LayerPlan

__all__ = ["entry", "event", "move", "step"]


def entry(plan: LayerPlan) -> data.StructLayout:
    """Layout of an entry of an event list: a column, and the input that it brings."""
    return data.StructLayout({"column": range(plan.layer.columns), "x": plan.x_shape})


def step(plan: LayerPlan) -> data.StructLayout:
    """Layout of what is done with the next entry of a list.

    - `forward`: an F event, z += W x. `last` marks the group's last: its sums become activations.
    - `update`: a U event, W = clip(W - rs(g x)). `accept` marks the group's first: the lanes
      accept the local errors of the group.
    - `draw`: the entry draws a field of stochastic rounding, beside a U event or alone. `first`
      marks the sample's first; with `again` the fields begin with that one again. All three are
      there only if there is something to draw.
    - `clear`: no event; z becomes 0 for the group whose first F event may be next.
    - `base`: address of the group's column 0.
    """
    drawn = min(plan.drawn_bits, 1)
    return data.StructLayout(
        {
            "forward": 1,
            "last": 1,
            "update": 1,
            "accept": 1,
            "draw": drawn,
            "first": drawn,
            "again": drawn,
            "clear": 1,
            "base": range(plan.depth),
        }
    )


def move(plan: LayerPlan) -> data.StructLayout:
    """Layout of the move of a weight into or out of the array.

    - `load`: weight `addr` of lane `lane` becomes `word`.
    - `read`: weight `addr` of lane `lane` comes out of the array.
    """
    return data.StructLayout(
        {
            "load": 1,
            "read": 1,
            "addr": range(plan.depth),
            "lane": range(plan.lanes),
            "word": signed(plan.layer.wb),
        }
    )


def event(plan: LayerPlan) -> data.StructLayout:
    """Layout of what all lanes do in a clock: a step with its input and address, or a move."""
    fields = {**step(plan).members, **move(plan).members}
    del fields["base"]
    return data.StructLayout({**fields, "x": plan.x_shape})
