# SPDX-License-Identifier: BSD-2-Clause
"""The local error of a layer: from activations and a label to a gradient for each neuron."""

from typing import Any

from amaranth.hdl import Module, Signal, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from golden.layer_spec import TRAINED_BITS

from ..parts.pipeline import delayed
from ..plan import LayerPlan
from ..ports import (
    LR_WIDTH,
    Credit,
    Gradients,
    MonitorSignature,
    Rule,
    Valid,
    ValidInterface,
    activation_beat,
    margin,
    packets,
    result,
)
from ..primitives import PORTABLE, Primitives
from . import cross_entropy
from .classifier import Classifier
from .cross_entropy import CrossEntropy
from .error_unit import ErrorUnit
from .feedback import Feedback
from .prediction import Prediction
from .prediction import latency as prediction_latency
from .trained_classifier import TrainedClassifier

__all__ = ["LocalError", "error_latency"]


def error_latency(plan: LayerPlan) -> int:
    """Count the clocks from the scores to the errors, by the layer's loss."""
    return cross_entropy.latency(plan) if plan.layer.loss == "ce" else ErrorUnit.delay


class LocalError(wiring.Component):
    """Makes a layer's own error from its activations and the label, and a prediction.

        activations -> classifier -> prediction -> result
                           |
                       error unit -> feedback -> gradients

    Parameters
    ----------
    plan
        Dimensions.
    lead
        Clocks from `gradients.ready` to the last local errors of a group, at most; from
        `gradients.advance` to the first of the next group there are more.
    primitives
        Where memories and multipliers come from, which only a trained classifier has.

    Ports
    -----
    activations
        Those of every sample, beat by beat.
    score_room
        Room for the scores of a sample; its last beat reserves it.
    records
        Packets that are no samples. They come when the errors of all samples before are made.
    gradients
        Local errors of the sample; see `Gradients`.
    result, rule, lr
        See `LayerSignature`.
    weights_in, weights_out
        Weights of a trained classifier, in the order n, then c, when LOAD or READ has come by
        `records`; other layers do not have them.
    margin
        See `Prediction`; only of a layer that samples leave.
    scores, errors, g
        See `MonitorSignature`.
    """

    activations: ValidInterface
    score_room: Any
    records: stream.Interface
    gradients: Any
    result: stream.Interface
    weights_in: stream.Interface
    weights_out: stream.Interface
    margin: ValidInterface
    rule: Signal
    lr: Signal
    scores: ValidInterface
    errors: ValidInterface
    g: ValidInterface

    def __init__(self, *, plan: LayerPlan, lead: int, primitives: Primitives = PORTABLE):
        self.plan = plan
        self.lead = lead
        self.primitives = primitives
        taps = MonitorSignature(plan).members
        weights = stream.Signature(signed(TRAINED_BITS))
        moved = {"weights_in": In(weights), "weights_out": Out(weights)}
        super().__init__(
            {
                **(moved if plan.trained else {}),
                **({} if plan.layer.margin is None else {"margin": Out(margin(plan))}),
                "activations": In(Valid(activation_beat(plan))),
                "score_room": Out(Credit()),
                "records": In(packets(plan)),
                "gradients": Out(Gradients(plan)),
                "result": Out(stream.Signature(result(plan))),
                "rule": In(Rule),
                "lr": In(LR_WIDTH),
                "scores": taps["scores"],
                "errors": taps["errors"],
                "g": taps["gradients"],
            }
        )

    def elaborate(self, platform):
        m = Module()
        if self.plan.trained:
            classifier = feedback = self._trained(m)
        else:
            classifier, feedback = self._random(m)
        error_unit = (CrossEntropy if self.plan.layer.loss == "ce" else ErrorUnit)(plan=self.plan)
        m.submodules.error_unit = error_unit
        m.submodules.prediction = prediction = Prediction(plan=self.plan)
        wiring.connect(m, classifier.scores, error_unit.scores, wiring.flipped(self.scores))
        # No record comes before the errors. The scores stay as they are until there is room.
        early = max(error_latency(self.plan) + 1 - prediction_latency(self.plan), 0)
        m.d.comb += [
            prediction.scores.valid.eq(delayed(m, classifier.scores.valid, early)),
            prediction.scores.p.eq(classifier.scores.p),
        ]
        wiring.connect(m, error_unit.errors, feedback.errors, wiring.flipped(self.errors))
        wiring.connect(m, feedback.gradients, wiring.flipped(self.gradients))
        wiring.connect(m, feedback.g, wiring.flipped(self.g))
        self._connect_prediction(m, classifier, prediction)
        wiring.connect(m, prediction.result, wiring.flipped(self.result))
        if self.plan.layer.margin is not None:
            wiring.connect(m, prediction.margin, wiring.flipped(self.margin))
        m.d.comb += [feedback.rule.eq(self.rule), feedback.lr.eq(self.lr)]
        return m

    def _random(self, m: Module) -> tuple[Classifier, Feedback]:
        """Make a classifier whose weights are made again for every sample."""
        m.submodules.classifier = classifier = Classifier(plan=self.plan)
        m.submodules.feedback = feedback = Feedback(plan=self.plan, lead=self.lead)
        wiring.connect(
            m, wiring.flipped(self.activations), classifier.activations, feedback.activations
        )
        return classifier, feedback

    def _trained(self, m: Module) -> TrainedClassifier:
        """Make a classifier that learns."""
        m.submodules.classifier = classifier = TrainedClassifier(
            plan=self.plan, lead=self.lead, primitives=self.primitives
        )
        wiring.connect(m, wiring.flipped(self.activations), classifier.activations)
        wiring.connect(m, wiring.flipped(self.weights_in), classifier.weights_in)
        wiring.connect(m, classifier.weights_out, wiring.flipped(self.weights_out))
        return classifier

    def _connect_prediction(
        self, m: Module, classifier: Classifier | TrainedClassifier, prediction: Prediction
    ):
        """Lead packets and the room for scores past a classifier that is concerned with them."""
        room, records = wiring.flipped(self.score_room), wiring.flipped(self.records)
        if isinstance(classifier, TrainedClassifier):
            wiring.connect(m, records, classifier.packet)
            wiring.connect(m, classifier.moved, prediction.packet)
            m.d.comb += [
                room.space.eq(prediction.room.space & classifier.room.space),
                prediction.room.reserve.eq(room.reserve),
                classifier.room.reserve.eq(room.reserve),
            ]
        else:
            wiring.connect(m, prediction.room, room)
            wiring.connect(m, records, prediction.packet)
