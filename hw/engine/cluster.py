# SPDX-License-Identifier: BSD-2-Clause
"""The cluster: some lanes that share the registers of all that passes through the array."""

from amaranth.hdl import Array, Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..parts.pipeline import delayed
from ..plan import LayerPlan
from ..ports import drained, gradient_beat, wave, weight_out
from ..primitives import Primitives
from .lane import Lane, Schedule, control

__all__ = ["Cluster"]


class Cluster(wiring.Component):
    """A link of the systolic chain: registers whatever passes, and serves its own lanes with it.

    Waves, local errors and weights that are read pass from `i` to `o`, activations the other way:
    from `y_i`, which comes from the cluster behind, to `y_o`. Each passes one register.

    Parameters
    ----------
    plan
        Dimensions of the layer.
    index
        Position in the chain; `plan.clusters[index]` are the lanes.
    primitives
        Where memories and multipliers come from.
    """

    wave_i: data.View
    wave_o: data.View
    g_i: data.View
    g_o: data.View
    weight_i: data.View
    weight_o: data.View
    y_i: data.View
    y_o: data.View

    def __init__(self, *, plan: LayerPlan, index: int, primitives: Primitives):
        self.plan = plan
        self.index = index
        self.primitives = primitives
        super().__init__({
            "wave_i": In(wave(plan)),
            "wave_o": Out(wave(plan)),
            "g_i": In(gradient_beat(plan)),
            "g_o": Out(gradient_beat(plan)),
            "weight_i": In(weight_out(plan)),
            "weight_o": Out(weight_out(plan)),
            "y_i": In(drained(plan)),
            "y_o": Out(drained(plan)),
        })

    def elaborate(self, platform):
        m = Module()
        plan, wave, do = self.plan, self.wave_o, self.wave_o.do
        at = Schedule(self.primitives)
        numbers = plan.clusters[self.index]
        m.d.sync += [self.wave_o.eq(self.wave_i), self.g_o.eq(self.g_i)]

        told = Signal(control(plan))
        update = do.issue & do.update
        write_update = delayed(m, update, at.write)
        m.d.comb += [
            told.take.eq(delayed(m, do.issue & do.first, at.update - 1)),
            told.x_old.eq(delayed(m, Mux(update, wave.x_old, 0), at.update)),
            told.read_addr.eq(delayed(m, do.addr, at.read)),
            told.load.eq(delayed(m, do.load, at.write)),
            told.word.eq(delayed(m, do.word, at.write)),
            told.write_addr.eq(delayed(m, do.addr, at.write)),
            told.x_new.eq(delayed(m, wave.x_new, at.write)),
            told.accumulate.eq(delayed(m, do.issue, at.accumulate)),
            told.restart.eq(delayed(m, do.first, at.accumulate)),
            told.capture.eq(delayed(m, do.issue & do.last, at.sum)),
        ]
        number = delayed(m, do.lane, at.weight - 1)
        selected = Signal(len(numbers))
        m.d.sync += selected.eq(Cat(number == lane for lane in numbers))
        write_selected = delayed(m, selected, at.write - at.weight)

        lanes = [Lane(plan=plan, primitives=self.primitives) for _ in numbers]
        for position, (number, lane) in enumerate(zip(numbers, lanes, strict=True)):
            m.submodules[f"lane{number}"] = lane
            beat, place = divmod(number, plan.drain_width)
            m.d.comb += [
                lane.control.eq(told),
                lane.write.eq(write_update | (told.load & write_selected[position])),
                lane.g_load.eq(self.g_o.valid & (self.g_o.index == beat)),
                lane.g.eq(self.g_o.g[place]),
            ]

        # Weights that are read out: an own one, or what passes.
        m.d.sync += self.weight_o.eq(self.weight_i)
        with m.If(delayed(m, do.read, at.weight)):
            for position, lane in enumerate(lanes):
                with m.If(selected[position]):
                    m.d.sync += [self.weight_o.valid.eq(1), self.weight_o.word.eq(lane.weight)]

        # Activations: own ones when all beats before them have passed, otherwise what passes.
        own = Array(
            Cat(lane.y for lane in lanes[first : first + plan.drain_width])
            for first in range(0, len(lanes), plan.drain_width)
        )
        beat = Signal(range(len(own)))
        sending = Signal()
        begin = delayed(
            m, do.issue & do.last, at.result + plan.drain_delay(self.index)
        )
        m.d.comb += sending.eq(begin | (beat != 0))
        m.d.sync += self.y_o.eq(self.y_i)
        with m.If(sending):
            m.d.sync += [
                self.y_o.valid.eq(1),
                self.y_o.y.eq(own[beat]),
                beat.eq(Mux(beat == len(own) - 1, 0, beat + 1)),
            ]
        return m
