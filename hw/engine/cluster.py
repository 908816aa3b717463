# SPDX-License-Identifier: BSD-2-Clause
"""The cluster: some lanes that share the registers of all that passes through the array."""

from collections.abc import Sequence

from amaranth.hdl import Array, Cat, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..parts.pipeline import delayed
from ..plan import LayerPlan
from ..ports import Valid, ValidInterface, gradient_beat, y_beat
from ..primitives import Primitives
from .lane import CONTROL_STAGES, Lane, Stage, control, schedule
from .operands import operands

__all__ = ["Cluster"]


class Cluster(wiring.Component):
    """A link of the systolic chain: registers whatever passes, and serves its own lanes with it.

    Operands, local errors and weights that are read pass from `i` to `o`, activations the other
    way: from `y_i`, which comes from the cluster behind, to `y_o`. Each passes one register.

    Parameters
    ----------
    plan
        Dimensions of the layer.
    index
        Position in the chain; `plan.clusters[index]` are the lanes.
    primitives
        Where memories and multipliers come from.
    """

    operands_i: data.View
    operands_o: data.View
    g_i: ValidInterface
    g_o: ValidInterface
    weight_i: ValidInterface
    weight_o: ValidInterface
    y_i: ValidInterface
    y_o: ValidInterface

    def __init__(self, *, plan: LayerPlan, index: int, primitives: Primitives):
        self.plan = plan
        self.index = index
        self.primitives = primitives
        gradient, weight, y = (
            Valid(shape) for shape in (gradient_beat(plan), signed(plan.layer.wb), y_beat(plan))
        )
        super().__init__({
            "operands_i": In(operands(plan)),
            "operands_o": Out(operands(plan)),
            "g_i": In(gradient),
            "g_o": Out(gradient),
            "weight_i": In(weight),
            "weight_o": Out(weight),
            "y_i": In(y),
            "y_o": Out(y),
        })

    def elaborate(self, platform):
        m = Module()
        plan, do = self.plan, self.operands_o.do
        clock = schedule(self.primitives)
        numbers = plan.clusters[self.index]
        m.d.sync += self.operands_o.eq(self.operands_i)
        for source, sink in (
            (self.g_i, self.g_o),
            (self.weight_i, self.weight_o),
            (self.y_i, self.y_o),
        ):
            m.d.sync += [sink.valid.eq(source.valid), sink.p.eq(source.p)]

        update = do.issue & do.update
        causes = {
            "accept": do.issue & do.first,
            "x_old": Mux(update, self.operands_o.x_old, 0),
            "read_addr": do.addr,
            "load": do.load,
            "word": do.word,
            "write_addr": do.addr,
            "x_new": self.operands_o.x_new,
            "accumulate": do.issue,
            "restart": do.first,
            "capture": do.issue & do.last,
        }
        controls = Signal(control(plan))
        m.d.comb += [
            controls[name].eq(delayed(m, causes[name], clock[stage]))
            for name, stage in CONTROL_STAGES.items()
        ]

        selected = Signal(len(numbers))
        number = delayed(m, do.lane, clock[Stage.WEIGHT] - 1)
        m.d.sync += selected.eq(Cat(number == lane for lane in numbers))
        write_update = delayed(m, update, clock[Stage.WRITE])
        write_selected = delayed(m, selected, clock[Stage.WRITE] - clock[Stage.WEIGHT])
        lanes = [Lane(plan=plan, primitives=self.primitives) for _ in numbers]
        for position, (number, lane) in enumerate(zip(numbers, lanes, strict=True)):
            m.submodules[f"lane{number}"] = lane
            beat, place = divmod(number, plan.drain_width)
            m.d.comb += [
                lane.control.eq(controls),
                lane.write.eq(write_update | (controls.load & write_selected[position])),
                lane.g_load.eq(self.g_o.valid & (self.g_o.p.index == beat)),
                lane.g.eq(self.g_o.p.g[place]),
            ]

        # Weights that are read: an own one, or what passes.
        with m.If(delayed(m, do.read, clock[Stage.WEIGHT])):
            for position, lane in enumerate(lanes):
                with m.If(selected[position]):
                    m.d.sync += [self.weight_o.valid.eq(1), self.weight_o.p.eq(lane.weight)]
        self._drain(m, lanes, clock[Stage.RESULT])
        return m

    def _drain(self, m: Module, lanes: Sequence[Lane], result: int):
        """Send own activations when all beats before them have passed, else what passes."""
        plan, do = self.plan, self.operands_o.do
        own = Array(
            Cat(lane.y for lane in lanes[first : first + plan.drain_width])
            for first in range(0, len(lanes), plan.drain_width)
        )
        beat = Signal(range(len(own)))
        sending = Signal()
        begin = delayed(m, do.issue & do.last, result + plan.drain_delay(self.index))
        m.d.comb += sending.eq(begin | (beat != 0))
        with m.If(sending):
            m.d.sync += [
                self.y_o.valid.eq(1),
                self.y_o.p.eq(own[beat]),
                beat.eq(Mux(beat == len(own) - 1, 0, beat + 1)),
            ]
