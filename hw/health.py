# SPDX-License-Identifier: BSD-2-Clause
"""The health counters of a layer: numbers that have no room, or nothing to do, are counted."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from .parts.pipeline import adder_tree, delayed, tree_delay
from .plan import LayerPlan
from .ports import (
    HEALTH,
    Valid,
    ValidInterface,
    activation_beat,
    counters,
    errors,
    trains,
    update_counts,
)

__all__ = ["Health"]


class Health(wiring.Component):
    """Counts what `hw.ports.HEALTH` names, as `golden.health` says what each of it is.

    - `activations`, `errors`: those of every sample. `trains`: the sample of the errors does.
    - `updates`: how many weights are to change.
    - `weights`: each weight that is read. `read`: a READ ends; the next weight that is read, and
      the next sample that trains, are the first of what is counted anew.
    - `values`: some clocks after what is counted.

    Parameters
    ----------
    plan
        Dimensions of the layer.
    """

    activations: ValidInterface
    errors: ValidInterface
    trains: Signal
    updates: data.View
    weights: ValidInterface
    read: Signal
    values: data.View

    def __init__(self, *, plan: LayerPlan):
        self.plan = plan
        super().__init__(
            {
                "activations": In(Valid(activation_beat(plan))),
                "errors": In(Valid(errors(plan))),
                "trains": In(1),
                "updates": In(update_counts(plan)),
                "weights": In(Valid(signed(plan.layer.wb))),
                "read": In(1),
                "values": Out(counters(HEALTH)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        trained = self.errors.valid & self.trains
        beat, train = self.activations, Signal()
        m.d.comb += train.eq(beat.valid & trains(beat.p.header))
        steps = {
            "samples": trained,
            "no_error": trained & ~self.errors.p.update,
            "saturated": adder_tree(m, [delayed(m, train & y.all(), 1) for y in beat.p.y]),
            "updates": self.updates.made,
            "updates_lost": self.updates.lost,
        }
        for name, step in steps.items():
            counter = self.values[name]
            m.d.sync += counter.eq(counter + delayed(m, step, 1))
        self._at_limit(m)
        self._dead(m, train)
        return m

    def _at_limit(self, m: Module):
        """Count the weights of a READ that are the lowest or the highest that there is."""
        word, begin = self.weights.p, Signal(init=1)
        with m.If(self.read):
            m.d.sync += begin.eq(1)
        with m.Elif(self.weights.valid):
            m.d.sync += begin.eq(0)
        # All bits but the sign are what the sign is not.
        rest = word[:-1] ^ word[-1].replicate(len(word) - 1)
        valid, first, limit = (
            delayed(m, bit, 1) for bit in (self.weights.valid, begin, rest.all())
        )
        count = Signal(range(self.plan.layer.weights + 1))
        with m.If(valid):
            m.d.sync += count.eq(Mux(first, 0, count) + limit)
        m.d.comb += self.values.at_limit.eq(count)

    def _dead(self, m: Module, train: Value):
        """Keep which neurons were active, and count them as they are for the first time."""
        plan = self.plan
        m.submodules.known = known = memory.Memory(
            shape=plan.drain_width, depth=plan.sample_beats, init=[]
        )
        write, read = known.write_port(), known.read_port(domain="comb")
        valid, last = delayed(m, train, 1), delayed(m, self.activations.p.last, 1)
        active = delayed(m, Cat(y.any() for y in self.activations.p.y), 1)
        # What stands in the memory is of no matter while the first sample passes.
        anew, begin, before = Signal(init=1), Signal(init=1), Signal(plan.drain_width)
        m.d.comb += [
            before.eq(Mux(anew, 0, read.data)),
            read.addr.eq(write.addr),
            write.data.eq(before | active),
            write.en.eq(valid),
        ]
        with m.If(valid):
            m.d.sync += [write.addr.eq(Mux(last, 0, write.addr + 1)), begin.eq(last)]
            with m.If(last):
                m.d.sync += anew.eq(0)
        with m.If(self.read):
            m.d.sync += anew.eq(1)
        found = valid.replicate(plan.drain_width) & active & ~before
        restart = delayed(m, valid & anew & begin, 1 + tree_delay(plan.drain_width))
        alive = Signal(range(plan.layer.neurons + 1))
        more = adder_tree(m, [delayed(m, bit, 1) for bit in found])
        m.d.sync += [
            alive.eq(Mux(restart, 0, alive) + more),
            self.values.dead.eq(plan.layer.neurons - alive),
        ]
