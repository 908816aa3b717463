# SPDX-License-Identifier: BSD-2-Clause
"""The update counts: how many weights U events are to change."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..parts.pipeline import adder_tree, delayed, tree_delay
from ..plan import LayerPlan
from ..ports import Valid, ValidInterface, gradient_beat

__all__ = ["UpdateCounts"]


class UpdateCounts(wiring.Component):
    """Counts the lanes whose local error is not 0, for each U event; its input is never 0.

    As the lanes do, it gathers the local errors of the next group while the present ones are in
    use.

    - `g`: local errors, as they go to the lanes.
    - `update`: a U event; with `accept` the lanes accept the local errors that have come.
    - `o`: the lanes that it changes weights of, `delay` clocks after it; 0 in other clocks.

    Parameters
    ----------
    plan
        Dimensions of the layer.
    accept
        Clocks from `accept` to the first local error that is of the next group.
    """

    g: ValidInterface
    update: Signal
    accept: Signal
    o: Signal

    def __init__(self, *, plan: LayerPlan, accept: int):
        self.plan = plan
        self._accept = accept + 1 + tree_delay(plan.drain_width)
        #: Clocks from an event to its count.
        self.delay = self._accept + 2
        super().__init__(
            {
                "g": In(Valid(gradient_beat(plan))),
                "update": In(1),
                "accept": In(1),
                "o": Out(range(plan.lanes + 1)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        come = [delayed(m, self.g.valid & g.any(), 1) for g in self.g.p.g]
        beat = adder_tree(m, come)
        gathered, present = Signal.like(self.o), Signal.like(self.o)
        accept = delayed(m, self.accept, self._accept)
        m.d.sync += [
            gathered.eq(Mux(accept, 0, gathered) + beat),
            self.o.eq(Mux(delayed(m, self.update, self._accept + 1), present, 0)),
        ]
        with m.If(accept):
            m.d.sync += present.eq(gathered)
        return m
