# SPDX-License-Identifier: BSD-2-Clause
"""The sample store: activations are kept for as long as a classifier that is trained needs them."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from ..parts.pipeline import adder_tree, delayed, tree, tree_delay
from ..plan import LayerPlan
from ..ports import Valid, ValidInterface, activation_beat, y_beat

__all__ = ["SampleStore", "depth", "latency", "stored"]

#: Samples that find room: the one that is worked on, and the beats of the next but its last.
SAMPLES = 2


def latency(plan: LayerPlan) -> int:
    """Count the clocks from a beat to its arrival in the store."""
    assert plan.trained is not None
    return tree_delay(plan.trained.places) + tree_delay(plan.trained.units) + 2


def depth(plan: LayerPlan) -> int:
    """Count the beats for which there is room."""
    return plan.sample_beats * SAMPLES


def stored(plan: LayerPlan) -> data.StructLayout:
    """Layout of a beat in the store.

    `active` tells which y are not 0; `rest` are the clocks that the beat takes beyond the first.
    """
    assert plan.trained is not None
    rest = range(plan.trained.clocks)
    return data.StructLayout({"y": y_beat(plan), "active": plan.drain_width, "rest": rest})


class SampleStore(wiring.Component):
    """Keeps the activations of samples, and leads through those of the oldest again and again.

    - `activations`: of every sample. Its last beat comes only when the one before is released.
    - `beat`: the present beat; `index` is its number in the sample, and `last` marks the last.
    - `step`: the next one becomes the present beat, after the last the first again.
    - `arrived`: the present beat has come. It counts when a sample is gone through for the first
      time, in steps with `fresh`.
    - `release`: the next sample becomes the oldest.

    Parameters
    ----------
    plan
        Dimensions of the layer.
    """

    activations: ValidInterface
    beat: data.View
    index: Signal
    last: Signal
    arrived: Signal
    fresh: Signal
    step: Signal
    release: Signal

    def __init__(self, *, plan: LayerPlan):
        self.plan = plan
        super().__init__(
            {
                "activations": In(Valid(activation_beat(plan))),
                "beat": Out(stored(plan)),
                "index": Out(range(plan.sample_beats)),
                "last": Out(1),
                "arrived": Out(1),
                "fresh": In(1),
                "step": In(1),
                "release": In(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        beats = self.plan.sample_beats
        # Left to itself, synthesis takes blocks for some layers and LUTs for others.
        m.submodules.words = words = memory.Memory(
            shape=self.beat.shape(), depth=depth(self.plan), init=[], attrs={"ram_style": "block"}
        )
        write, read = words.write_port(), words.read_port()
        # Samples take turns in the lowest bit of the address.
        slot, following = Signal(), Signal.like(self.index)
        m.d.comb += [
            self.last.eq(self.index == beats - 1),
            following.eq(Mux(self.step, Mux(self.last, 0, self.index + 1), self.index)),
            read.addr.eq(Cat(slot ^ self.release, following)),
            self.beat.eq(read.data),
        ]
        m.d.sync += [self.index.eq(following), slot.eq(slot ^ self.release)]
        self._write(m, write)

        # What is written can be read two clocks later.
        level = Signal(range(depth(self.plan) + 1))
        written = delayed(m, write.en, 1)
        m.d.sync += level.eq(level + written - (self.step & self.fresh))
        m.d.comb += self.arrived.eq(level != 0)
        return m

    def _write(self, m: Module, write):
        """Count the clocks that a beat takes, and write it."""
        plan, trained = self.plan, self.plan.trained
        assert trained is not None
        i, units = self.activations, trained.units
        # The unit with the most active neurons decides. Those with a neuron less count as long.
        missing = units * trained.places - plan.drain_width
        active = [*(y != 0 for y in i.p.y), *[Const(0)] * missing]
        counts = [adder_tree(m, active[unit::units]) for unit in range(units)]
        count = tree(m, counts, lambda a, b: Mux(a > b, a, b), "most")
        delay = latency(plan) - 2
        y, last = delayed(m, i.p.y, delay), delayed(m, i.p.last, delay)
        index, slot = Signal.like(self.index), Signal()
        m.d.comb += [
            write.en.eq(delayed(m, i.valid, delay)),
            write.addr.eq(Cat(slot, index)),
            write.data.y.eq(y),
            write.data.active.eq(Cat(value != 0 for value in y)),
            write.data.rest.eq(Mux(count == 0, 0, count * trained.words - 1)),
        ]
        with m.If(write.en):
            m.d.sync += [index.eq(Mux(last, 0, index + 1)), slot.eq(slot ^ last)]
