# SPDX-License-Identifier: BSD-2-Clause
"""A layer: everything that it takes to train from the labels alone."""

from typing import Any

from amaranth.hdl import Module, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .engine.activation_buffer import ActivationBuffer
from .engine.mac_array import MacArray
from .engine.output_stage import OutputStage
from .engine.sequencer import Sequencer
from .local_error.classifier import Classifier
from .local_error.error_unit import ErrorUnit
from .local_error.feedback import Feedback
from .local_error.prediction import Prediction
from .parts.counters import Counters
from .parts.credit_fifo import CreditFIFO
from .parts.pipeline import delayed
from .parts.register_slice import RegisterSlice
from .plan import LayerPlan
from .ports import Command, LayerSignature, beat
from .primitives import Primitives

__all__ = ["Layer"]

#: Weights that may be on their way out.
READ_DEPTH = 32


class Layer(wiring.Component):
    """Computes activations of the samples that pass, and learns from their labels.

        i -> activation buffer -> MAC array -> output stage -> o
                  ^                   ^              |
              sequencer               |          classifier -> prediction -> port.result
                                      |              |
                                      +- feedback <- error unit

    Parameters
    ----------
    plan
        Dimensions.
    width
        Activations in a beat of `i`; `o` has `plan.drain_width` of them.
    primitives
        Where memories and multipliers come from.

    Ports
    -----
    i, o
        Packets: see `hw.network.Network`.
    port
        See `LayerSignature`.
    """

    i: stream.Interface
    o: stream.Interface
    port: Any

    def __init__(self, *, plan: LayerPlan, width: int, primitives: Primitives):
        self.plan = plan
        self.width = width
        self.primitives = primitives
        classes = plan.layer.classes
        super().__init__({
            "i": In(stream.Signature(beat(classes, width))),
            "o": Out(stream.Signature(beat(classes, plan.drain_width))),
            "port": Out(LayerSignature(plan)),
        })

    def elaborate(self, platform):
        m = Module()
        plan, port = self.plan, self.port
        arrival = RegisterSlice(self.i.p.shape())
        loading = RegisterSlice(signed(plan.layer.wb))
        buffer = ActivationBuffer(plan=plan, width=self.width, primitives=self.primitives)
        array = MacArray(plan=plan, primitives=self.primitives)
        output = OutputStage(plan=plan)
        classifier = Classifier(plan=plan)
        error_unit = ErrorUnit(plan=plan)
        prediction = Prediction(plan=plan)
        feedback = Feedback(plan=plan, lead=buffer.delay)
        sequencer = Sequencer(plan=plan, width=self.width, settle=array.settle)
        weights = CreditFIFO(shape=signed(plan.layer.wb), depth=READ_DEPTH)
        counters = Counters(plan=plan)
        m.submodules.arrival = arrival
        m.submodules.loading = loading
        m.submodules.buffer = buffer
        m.submodules.array = array
        m.submodules.output = output
        m.submodules.classifier = classifier
        m.submodules.error_unit = error_unit
        m.submodules.prediction = prediction
        m.submodules.feedback = feedback
        m.submodules.sequencer = sequencer
        m.submodules.weights = weights
        m.submodules.counters = counters

        # Samples in, waves through the array, activations out.
        wiring.connect(m, wiring.flipped(self.i), arrival.i)
        wiring.connect(m, arrival.o, buffer.i)
        wiring.connect(m, buffer.packet, sequencer.packet)
        m.d.comb += [
            buffer.turn.eq(sequencer.turn),
            buffer.position.eq(sequencer.position),
            array.wave.do.eq(delayed(m, sequencer.do, buffer.delay)),
            array.wave.x_old.eq(buffer.x_old),
            array.wave.x_new.eq(buffer.x_new),
            sequencer.taken.eq(array.taken),
            output.i.eq(array.y),
            output.header.eq(sequencer.header),
            output.reserve.eq(sequencer.reserve),
            sequencer.space.eq(output.space),
            sequencer.blocked.eq(output.blocked),
        ]
        wiring.connect(m, sequencer.forward, output.command)
        wiring.connect(m, output.o, wiring.flipped(self.o))

        # Scores, errors and predictions.
        m.d.comb += [
            classifier.i_valid.eq(output.y_valid),
            classifier.i_last.eq(output.y_last),
            classifier.i.eq(output.y),
            error_unit.i_valid.eq(classifier.valid),
            error_unit.s.eq(classifier.s),
            error_unit.header.eq(sequencer.header),
            prediction.i_valid.eq(classifier.valid),
            prediction.s.eq(classifier.s),
            prediction.header.eq(sequencer.header),
            output.sample_ready.eq(prediction.ready),
            sequencer.error_made.eq(error_unit.valid),
            sequencer.rule.eq(port.rule),
        ]
        wiring.connect(m, sequencer.record, prediction.command)
        wiring.connect(m, prediction.result, wiring.flipped(port.result))

        # Local errors back to the lanes.
        m.d.comb += [
            feedback.start.eq(
                error_unit.valid & (sequencer.header.command == Command.TRAIN)
            ),
            feedback.e.eq(error_unit.e),
            feedback.rule.eq(port.rule),
            feedback.lr.eq(port.lr),
            feedback.d_valid.eq(output.y_valid),
            feedback.d_last.eq(output.y_last),
            *(feedback.d[i].eq(output.y[i] != 0) for i in range(plan.drain_width)),
            feedback.advance.eq(array.taken),
            array.g.eq(feedback.o),
            sequencer.g_ready.eq(feedback.ready),
        ]

        # Weights in and out.
        wiring.connect(m, wiring.flipped(port.weights_in), loading.i)
        wiring.connect(m, loading.o, sequencer.weights_in)
        wiring.connect(m, weights.o, wiring.flipped(port.weights_out))
        m.d.comb += [
            weights.i.eq(array.weight.word),
            weights.i_valid.eq(array.weight.valid),
            weights.reserve.eq(sequencer.read_reserve),
            sequencer.read_space.eq(weights.space),
            sequencer.read_idle.eq(weights.idle),
        ]

        # What can be seen from outside.
        m.d.comb += [
            counters.activity.eq(sequencer.activity),
            counters.weights.eq(sequencer.weights),
            counters.used.eq(sequencer.used),
            counters.updated.eq(sequencer.updated),
            port.counters.eq(counters.values),
            port.monitor.y_valid.eq(output.y_valid),
            port.monitor.y.eq(output.y),
            port.monitor.score_valid.eq(error_unit.valid),
            port.monitor.s.eq(classifier.s),
            port.monitor.e.eq(error_unit.e),
            port.monitor.g_valid.eq(feedback.g_valid),
            port.monitor.g.eq(feedback.g),
        ]
        return m
