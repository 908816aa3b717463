# SPDX-License-Identifier: BSD-2-Clause
"""The trained classifier: scores, local errors and its own update, all with the same weights V."""

from typing import Any

from amaranth.hdl import Module, Signal, Value, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from golden.layer_spec import TRAINED_BITS

from ..parts.pipeline import delayed
from ..plan import LayerPlan
from ..ports import (
    LR_WIDTH,
    X_WIDTH,
    Command,
    Credit,
    Gradients,
    Rule,
    Valid,
    ValidInterface,
    activation_beat,
    errors,
    packets,
    scores,
)
from ..primitives import Primitives
from . import sample_store, trained_scores
from .gradient_sender import GradientSender, local_errors
from .sample_store import SampleStore
from .sample_walk import Kind, SampleWalk
from .trained_scores import TrainedScores
from .trained_unit import TrainedSchedule, TrainedUnit
from .trained_words import TrainedWords

__all__ = ["TrainedClassifier", "feedback_latency", "score_latency"]


def score_latency(plan: LayerPlan, primitives: Primitives) -> int:
    """Count the clocks from the last beat to the scores, if nothing else is waited for."""
    # The walk begins the beat, makes its step, and the step its products.
    products = 2 + TrainedSchedule(plan, primitives).product
    return sample_store.latency(plan) + products + trained_scores.latency(plan)


def feedback_latency(plan: LayerPlan, primitives: Primitives) -> int:
    """Count the clocks from the last of the clocks of a beat to its local errors."""
    return 1 + TrainedSchedule(plan, primitives).g + 2


class TrainedClassifier(wiring.Component):
    """A classifier that learns (contract, "Trained classifier"), in the places of `Classifier` and
    `Feedback`.

        activations -> store -> walk -> units -> scores
                                  |       |
        errors -> sender ---------+       +----> local errors -> sender -> gradients

    A sample is gone through once for its scores, as it comes. If its errors update weights it is
    gone through again for its local errors, group by group as they are asked for, and once more
    for the update of V, as soon as all of them are made.

    - `activations`: `plan.drain_width` a beat, n ascending. `room`: for the last beat of a sample,
      which reserves it.
    - `scores`, `errors`, `rule`, `lr`, `gradients`, `g`: see `Classifier` and `Feedback`. A rule
      other than FROZEN is TLC.
    - `packet`: those that are no samples, when all samples are done. `moved`: the same, when V has
      been moved if it is LOAD or READ. `weights_in`, `weights_out`: V, n-major.

    Parameters
    ----------
    plan
        Dimensions of the layer.
    lead
        Clocks from `gradients.ready` to the last beat of the group, at most.
    primitives
        Where memories and multipliers come from.
    """

    activations: ValidInterface
    room: Any
    scores: ValidInterface
    errors: ValidInterface
    rule: Signal
    lr: Signal
    gradients: Any
    g: ValidInterface
    packet: stream.Interface
    moved: stream.Interface
    weights_in: stream.Interface
    weights_out: stream.Interface

    def __init__(self, *, plan: LayerPlan, lead: int, primitives: Primitives):
        self.plan = plan
        self.lead = lead
        self.primitives = primitives
        self.schedule = TrainedSchedule(plan, primitives)
        weights = stream.Signature(signed(TRAINED_BITS))
        super().__init__(
            {
                "activations": In(Valid(activation_beat(plan))),
                "room": Out(Credit()),
                "scores": Out(Valid(scores(plan))),
                "errors": In(Valid(errors(plan))),
                "rule": In(Rule),
                "lr": In(LR_WIDTH),
                "gradients": Out(Gradients(plan)),
                "g": Out(Valid(local_errors(plan))),
                "packet": In(packets(plan)),
                "moved": Out(packets(plan)),
                "weights_in": In(weights),
                "weights_out": Out(weights),
            }
        )

    def elaborate(self, platform):
        m = Module()
        plan, primitives = self.plan, self.primitives
        m.submodules.store = store = SampleStore(plan=plan)
        m.submodules.walk = walk = SampleWalk(plan=plan)
        m.submodules.words = words = TrainedWords(plan=plan, primitives=primitives)
        m.submodules.sums = sums = TrainedScores(plan=plan, product=TRAINED_BITS + X_WIDTH)
        m.submodules.sender = sender = GradientSender(
            plan=plan, lead=self.lead, latency=feedback_latency(plan, primitives)
        )
        wiring.connect(m, wiring.flipped(self.activations), store.activations)
        wiring.connect(m, sums.scores, wiring.flipped(self.scores))
        wiring.connect(m, wiring.flipped(self.errors), sender.errors)
        wiring.connect(m, sender.gradients, wiring.flipped(self.gradients))
        wiring.connect(m, wiring.flipped(self.weights_in), words.i)
        wiring.connect(m, words.o, wiring.flipped(self.weights_out))
        # Beats of the next sample come before this one is done with, but not its last.
        with m.If(self.activations.valid & self.activations.p.last):
            m.d.sync += sums.header.eq(self.activations.p.header)
        m.d.comb += [
            walk.beat.eq(store.beat),
            walk.index.eq(store.index),
            walk.last.eq(store.last),
            store.step.eq(walk.begin),
            store.fresh.eq(walk.kind == Kind.SCORE),
            sums.step.valid.eq(delayed(m, walk.step.valid, self.schedule.product)),
            sums.step.p.eq(delayed(m, walk.step.p, self.schedule.product)),
            sender.rule.eq(self.rule),
            sender.lr.eq(self.lr),
            sender.order.taken.eq(walk.ends & (walk.present == Kind.FEEDBACK)),
            sender.g.p.eq(self.g.p),
            sender.g.valid.eq(self.g.valid),
        ]
        self._connect_units(m, walk, words, sums)
        self._control(m, store, walk, words, sender)
        return m

    def _connect_units(self, m: Module, walk: SampleWalk, words: TrainedWords, sums: TrainedScores):
        """Let the units take the steps of the walk, and gather their local errors."""
        trained, schedule = self.plan.trained, self.schedule
        assert trained is not None
        units = [
            TrainedUnit(plan=self.plan, index=index, primitives=self.primitives)
            for index in range(trained.units)
        ]
        wiring.connect(m, walk.step, *(unit.step for unit in units))
        for index, unit in enumerate(units):
            m.submodules[f"unit{index}"] = unit
            m.d.comb += [
                unit.e.eq(self.errors.p.e),
                unit.access.eq(words.access),
                unit.access.write.eq(words.write[index]),
                words.words[index].eq(unit.word),
                sums.products[index].eq(unit.products),
            ]

        step = delayed(m, walk.step.p, schedule.g)
        made = delayed(m, walk.step.valid & (walk.step.p.kind == Kind.FEEDBACK), schedule.g)
        m.d.sync += self.g.valid.eq(made & step.ends)
        for neuron in range(self.plan.drain_width):
            place, index = divmod(neuron, trained.units)
            own = step.active[index] & (step.place[index] == place)
            with m.If(made & own & (step.word == trained.words - 1)):
                m.d.sync += self.g.p[neuron].eq(units[index].g)
            with m.Elif(made & step.first):
                m.d.sync += self.g.p[neuron].eq(0)

    def _control(
        self,
        m: Module,
        store: SampleStore,
        walk: SampleWalk,
        words: TrainedWords,
        sender: GradientSender,
    ):
        """Go through each sample, for one thing after the other; in between, move V."""
        packet, order = self.packet, sender.order
        # The last beat of a sample has been promised, and the sample is not done with.
        whole, ended = Signal(), Signal()
        m.d.comb += [
            self.room.space.eq(~whole),
            ended.eq(walk.begin & store.last),
            self.moved.p.eq(packet.p),
        ]
        with m.If(self.room.reserve):
            m.d.sync += whole.eq(1)
        with m.Elif(store.release):
            m.d.sync += whole.eq(0)
        with m.FSM():
            with m.State("INITIALISE"), m.If(words.done):
                m.next = "SCORE"

            with m.State("SCORE"):
                m.d.comb += [walk.kind.eq(Kind.SCORE), walk.go.eq(store.arrived)]
                with m.If(ended):
                    m.next = "ERROR"
                with m.Elif(packet.valid):
                    m.next = "MOVE"
                    if self.plan.layer.exits_below:
                        with m.If(packet.p.left):
                            m.next = "MOVED"

            with m.State("ERROR"), m.If(self.errors.valid):
                m.next = "FEEDBACK"
                with m.If(~sender.start):
                    m.d.comb += store.release.eq(1)
                    m.next = "SCORE"

            with m.State("FEEDBACK"):
                # The last beat of a group asks for no other.
                asked = order.sending & ~(walk.busy & order.ends)
                m.d.comb += [walk.kind.eq(Kind.FEEDBACK), walk.go.eq(asked)]
                with m.If(ended):
                    m.next = "UPDATE"

            with m.State("UPDATE"):
                m.d.comb += [walk.kind.eq(Kind.UPDATE), walk.go.eq(1)]
                with m.If(ended):
                    m.next = "SETTLE"

            with m.State("SETTLE"):
                with m.If(self._settled(m, walk)):
                    m.d.comb += store.release.eq(1)
                    m.next = "SCORE"

            with m.State("MOVE"):
                m.d.comb += [
                    words.load.eq(packet.p.command == Command.LOAD),
                    words.read.eq(packet.p.command == Command.READ),
                ]
                m.next = "MOVING"

            with m.State("MOVING"), m.If(words.done):
                m.next = "MOVED"

            with m.State("MOVED"):
                m.d.comb += [self.moved.valid.eq(1), packet.ready.eq(self.moved.ready)]
                with m.If(self.moved.ready):
                    m.next = "SCORE"

    def _settled(self, m: Module, walk: SampleWalk) -> Value:
        """Tell whether V that was written may be read by the walk's next step."""
        clocks = self.schedule.write - 2
        wait = Signal(range(clocks + 1))
        with m.If(walk.busy):
            m.d.sync += wait.eq(clocks)
        with m.Elif(wait != 0):
            m.d.sync += wait.eq(wait - 1)
        return ~walk.busy & (wait == 0)
