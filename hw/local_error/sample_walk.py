# SPDX-License-Identifier: BSD-2-Clause
"""The walk: goes through the active neurons of a sample, a beat at a time, word by word of V."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, enum, wiring
from amaranth.lib.wiring import In, Out

from ..parts.select import any_of
from ..plan import LayerPlan
from ..ports import X_WIDTH, Valid, ValidInterface
from .sample_store import stored

__all__ = ["Kind", "SampleWalk", "step"]


class Kind(enum.Enum, shape=2):
    """What a sample is gone through for."""

    SCORE = 0
    FEEDBACK = 1
    UPDATE = 2


def step(plan: LayerPlan) -> data.StructLayout:
    """Layout of a step: one neuron, or none, of each unit meets a word of V.

    - `kind`: what for.
    - `index`: of the beat. `word`: of the words of a neuron.
    - `first`, `ends`: it is the first, or the last, of a beat. `last`: it is the last of a sample.
    - `active`, `place`, `y`: for each unit, whether it has a neuron, which, and its activation; 0
      if it has none.
    """
    trained = plan.trained
    assert trained is not None
    return data.StructLayout(
        {
            "kind": Kind,
            "index": range(plan.sample_beats),
            "word": range(trained.words),
            "first": 1,
            "ends": 1,
            "last": 1,
            "active": trained.units,
            "place": data.ArrayLayout(range(trained.places), trained.units),
            "y": data.ArrayLayout(X_WIDTH, trained.units),
        }
    )


class SampleWalk(wiring.Component):
    """Makes the steps of beats, each as soon as it may be begun and the one before has ended.

    Neurons that are not active are left out; a beat without any takes one step. Steps come from
    registers, a clock after their beat was present.

    - `go`: the beat that is next, `beat`, may be begun, for what `kind` says; `index` is its
      number, `last` tells whether it is the last of its sample. `begin`: it is.
    - `busy`: a beat is present; `ends`: in its last clock. `present`: what it is gone through for.
    - `step`: see `step`.

    Parameters
    ----------
    plan
        Dimensions of the layer.
    """

    go: Signal
    kind: Signal
    beat: data.View
    index: Signal
    last: Signal
    begin: Signal
    busy: Signal
    ends: Signal
    present: Signal
    step: ValidInterface

    def __init__(self, *, plan: LayerPlan):
        self.plan = plan
        super().__init__(
            {
                "go": In(1),
                "kind": In(Kind),
                "beat": In(stored(plan)),
                "index": In(range(plan.sample_beats)),
                "last": In(1),
                "begin": Out(1),
                "busy": Out(1),
                "ends": Out(1),
                "present": Out(Kind),
                "step": Out(Valid(step(plan))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        trained, out = self.plan.trained, self.step
        assert trained is not None
        beat, last, final = Signal.like(self.beat), Signal(), Signal()
        first, word, last_word = Signal(), Signal.like(out.p.word), Signal()
        index = Signal.like(self.index)
        m.d.comb += [
            self.begin.eq(self.go & (~self.busy | final)),
            self.ends.eq(self.busy & final),
            last_word.eq(word == trained.words - 1),
        ]
        m.d.sync += [
            word.eq(Mux(self.begin | last_word, 0, word + 1)),
            first.eq(self.begin),
            beat.rest.eq(beat.rest - 1),
            final.eq(beat.rest == 1),
            out.valid.eq(self.busy),
            out.p.kind.eq(self.present),
            out.p.index.eq(index),
            out.p.word.eq(word),
            out.p.first.eq(first),
            out.p.ends.eq(final),
            out.p.last.eq(final & last),
        ]
        with m.If(self.begin):
            m.d.sync += [
                self.busy.eq(1),
                self.present.eq(self.kind),
                index.eq(self.index),
                last.eq(self.last),
                beat.eq(self.beat),
                final.eq(self.beat.rest == 0),
            ]
        with m.Elif(final):
            m.d.sync += self.busy.eq(0)
        for unit in range(trained.units):
            self._pick(m, unit, beat.y, last_word)
        return m

    def _pick(self, m: Module, unit: int, y, last_word: Value):
        """Let a unit take the first of its active neurons that are left."""
        places = range(unit, self.plan.drain_width, len(self.step.p.active))
        left = Signal(len(places), name=f"left{unit}")
        rest = Signal.like(left, name=f"rest{unit}")
        chosen = Signal.like(left, name=f"chosen{unit}")
        m.d.comb += [rest.eq(left & (left - 1)), chosen.eq(left & ~rest)]
        with m.If(self.begin):
            m.d.sync += left.eq(Cat(self.beat.active[place] for place in places))
        with m.Elif(last_word):
            m.d.sync += left.eq(rest)
        out = self.step.p
        m.d.sync += [
            out.active[unit].eq(left.any()),
            out.place[unit].eq(any_of(Mux(bit, k, 0) for k, bit in enumerate(chosen))),
            out.y[unit].eq(
                any_of(y[p] & bit.replicate(X_WIDTH) for p, bit in zip(places, chosen, strict=True))
            ),
        ]
