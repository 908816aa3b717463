# SPDX-License-Identifier: BSD-2-Clause
"""The cluster: some lanes that share the registers of all that passes through the array."""

from collections.abc import Sequence

from amaranth.hdl import Array, Cat, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..parts.pipeline import adder_tree, delayed, tree_delay
from ..plan import LayerPlan
from ..ports import Valid, ValidInterface, gradient_beat, y_beat
from ..primitives import Primitives
from .lane import Lane, Schedule, control

__all__ = ["Cluster"]


class Cluster(wiring.Component):
    """A link of the systolic chain: registers whatever passes, and serves its own lanes with it.

    Controls, local errors and weights that are read pass from `i` to `o`, activations the other
    way: from `y_i`, which comes from the cluster behind, to `y_o`. Each passes one register.

    If the layer counts its health, `lost_i` and `lost_o` pass on in how many lanes an update was
    rounded to 0: `lost_o`, `lost_delay` clocks after its `write` in `control_o`, those of all
    clusters so far. For what is no update it holds anything, for a load nothing.

    The lanes of a bank share its memory: their weights at an address lie side by side in a word,
    and are read and written together.

    Parameters
    ----------
    plan
        Dimensions of the layer.
    index
        Position in the chain; `plan.clusters[index]` are the lanes.
    primitives
        Where memories and multipliers come from.
    """

    control_i: data.View
    control_o: data.View
    g_i: ValidInterface
    g_o: ValidInterface
    weight_i: ValidInterface
    weight_o: ValidInterface
    y_i: ValidInterface
    y_o: ValidInterface
    lost_i: Signal
    lost_o: Signal

    def __init__(self, *, plan: LayerPlan, index: int, primitives: Primitives):
        self.plan = plan
        self.index = index
        self.primitives = primitives
        # Over the largest cluster, which is the first.
        self._sum_delay = tree_delay(len(plan.clusters[0]))
        #: Clocks from `write` in `control_o` to `lost_o`.
        self.lost_delay = self._sum_delay + 1
        lost = range(plan.lanes + 1)
        gradient, weight, y = (
            Valid(shape) for shape in (gradient_beat(plan), signed(plan.layer.wb), y_beat(plan))
        )
        super().__init__(
            {
                "control_i": In(control(plan)),
                "control_o": Out(control(plan)),
                "g_i": In(gradient),
                "g_o": Out(gradient),
                "weight_i": In(weight),
                "weight_o": Out(weight),
                "y_i": In(y),
                "y_o": Out(y),
                **({"lost_i": In(lost), "lost_o": Out(lost)} if plan.layer.health else {}),
            }
        )

    def elaborate(self, platform):
        m = Module()
        plan, control = self.plan, self.control_o
        numbers = plan.clusters[self.index]
        m.d.sync += control.eq(self.control_i)
        for source, sink in (
            (self.g_i, self.g_o),
            (self.weight_i, self.weight_o),
            (self.y_i, self.y_o),
        ):
            m.d.sync += [sink.valid.eq(source.valid), sink.p.eq(source.p)]

        selected = Signal(len(numbers))
        m.d.sync += selected.eq(Cat(control.lane == number for number in numbers))
        lanes = [Lane(plan=plan, primitives=self.primitives) for _ in numbers]
        for position, (number, lane) in enumerate(zip(numbers, lanes, strict=True)):
            m.submodules[f"lane{number}"] = lane
            beat, place = divmod(number, plan.drain_width)
            m.d.comb += [
                lane.control.eq(control),
                lane.load.eq(control.load & selected[position]),
                lane.g_load.eq(self.g_o.valid & (self.g_o.p.index == beat)),
                lane.g.eq(self.g_o.p.g[place]),
            ]
        for bank in plan.banks(self.index):
            self._bank(m, bank, [lanes[number - numbers.start] for number in bank])

        # Weights that are read: an own one, or what passes. A read is an update by nothing that is
        # not written.
        schedule = Schedule(self.primitives)
        reading = delayed(m, selected, schedule.result - schedule.product)
        with m.If(control.read):
            for position, lane in enumerate(lanes):
                with m.If(reading[position]):
                    m.d.sync += [self.weight_o.valid.eq(1), self.weight_o.p.eq(lane.updated)]
        self._drain(m, lanes)
        if plan.layer.health:
            own = adder_tree(m, [lane.lost for lane in lanes])
            own = delayed(m, own, self._sum_delay - tree_delay(len(lanes)))
            m.d.sync += self.lost_o.eq(self.lost_i + own)
        return m

    def _bank(self, m: Module, numbers: range, lanes: Sequence[Lane]):
        """Put the weights of some lanes into one memory."""
        wb, control = self.plan.layer.wb, self.control_o
        bank = self.primitives.memory(width=wb * len(lanes), depth=self.plan.depth)
        m.submodules[f"bank{numbers.start}"] = bank
        m.d.comb += [
            bank.read_addr.eq(control.read_addr),
            bank.write_addr.eq(control.write_addr),
            bank.write_enable.eq(control.write),
            bank.write_data.eq(Cat(lane.updated for lane in lanes)),
            Cat(lane.weight for lane in lanes).eq(bank.read_data),
        ]

    def _drain(self, m: Module, lanes: Sequence[Lane]):
        """Send own activations when all beats before them have passed, else what passes."""
        plan = self.plan
        own = Array(
            Cat(lane.y for lane in lanes[first : first + plan.drain_width])
            for first in range(0, len(lanes), plan.drain_width)
        )
        beat = Signal(range(len(own)))
        sending = Signal()
        begin = delayed(m, self.control_o.capture, 1 + plan.drain_delay(self.index))
        m.d.comb += sending.eq(begin | (beat != 0))
        with m.If(sending):
            m.d.sync += [
                self.y_o.valid.eq(1),
                self.y_o.p.eq(own[beat]),
                beat.eq(Mux(beat == len(own) - 1, 0, beat + 1)),
            ]
