# SPDX-License-Identifier: BSD-2-Clause
"""The local error of a layer: from activations and a label to a gradient for each neuron."""

from typing import Any

from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

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
    packets,
    result,
)
from .classifier import Classifier
from .error_unit import ErrorUnit
from .feedback import Feedback
from .prediction import Prediction

__all__ = ["LocalError"]


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
    scores, errors, g
        See `MonitorSignature`.
    """

    activations: ValidInterface
    score_room: Any
    records: stream.Interface
    gradients: Any
    result: stream.Interface
    rule: Signal
    lr: Signal
    scores: ValidInterface
    errors: ValidInterface
    g: ValidInterface

    def __init__(self, *, plan: LayerPlan, lead: int):
        self.plan = plan
        self.lead = lead
        taps = MonitorSignature(plan).members
        super().__init__(
            {
                "activations": In(Valid(activation_beat(plan))),
                "score_room": Out(Credit()),
                "records": In(packets(plan)),
                "gradients": Out(Gradients(plan)),
                "result": Out(stream.Signature(result(plan.layer.classes))),
                "rule": In(Rule),
                "lr": In(LR_WIDTH),
                "scores": taps["scores"],
                "errors": taps["errors"],
                "g": taps["gradients"],
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.classifier = classifier = Classifier(plan=self.plan)
        m.submodules.error_unit = error_unit = ErrorUnit(plan=self.plan)
        m.submodules.prediction = prediction = Prediction(plan=self.plan)
        m.submodules.feedback = feedback = Feedback(plan=self.plan, lead=self.lead)
        wiring.connect(
            m, wiring.flipped(self.activations), classifier.activations, feedback.activations
        )
        wiring.connect(
            m,
            classifier.scores,
            error_unit.scores,
            prediction.scores,
            wiring.flipped(self.scores),
        )
        wiring.connect(m, error_unit.errors, feedback.errors, wiring.flipped(self.errors))
        wiring.connect(m, feedback.gradients, wiring.flipped(self.gradients))
        wiring.connect(m, feedback.g, wiring.flipped(self.g))
        wiring.connect(m, prediction.room, wiring.flipped(self.score_room))
        wiring.connect(m, wiring.flipped(self.records), prediction.packet)
        wiring.connect(m, prediction.result, wiring.flipped(self.result))
        m.d.comb += [feedback.rule.eq(self.rule), feedback.lr.eq(self.lr)]
        return m
