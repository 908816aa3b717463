# SPDX-License-Identifier: BSD-2-Clause
"""A layer: everything that it takes to train from the labels alone."""

from typing import Any

from amaranth.hdl import Cat, Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .engine.engine import Engine, lead
from .exit_gate import ExitGate
from .health import Health
from .local_error.local_error import LocalError
from .plan import LayerPlan
from .ports import Command, LayerSignature, outputs, samples, trains
from .primitives import Primitives
from .weight_streams import WeightStreams

__all__ = ["Layer"]


class Layer(wiring.Component):
    """Computes activations of the samples that pass, and learns from their labels.

        i -----------> engine -----------> exit gate ---> o
                       ^    |                  ^
             gradients |    | activations      | margin
                       |    v                  |
                     local error --------------+---> port.result

    There is a gate only if the layer has a `margin`.

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
        super().__init__(
            {
                "i": In(samples(plan, width)),
                "o": Out(outputs(plan)),
                "port": Out(LayerSignature(plan)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        plan, port = self.plan, wiring.flipped(self.port)
        engine = Engine(plan=plan, width=self.width, primitives=self.primitives)
        local_error = LocalError(plan=plan, lead=lead(self.primitives), primitives=self.primitives)
        m.submodules.engine = engine
        m.submodules.local_error = local_error

        wiring.connect(m, wiring.flipped(self.i), engine.i)
        self._connect_output(m, engine, local_error)
        wiring.connect(m, engine.activations, local_error.activations, port.monitor.activations)
        wiring.connect(m, local_error.gradients, engine.gradients)
        wiring.connect(m, local_error.score_room, engine.score_room)
        wiring.connect(m, engine.records, local_error.records)
        wiring.connect(m, local_error.result, port.result)

        self._connect_weights(m, engine, local_error)
        wiring.connect(m, local_error.scores, port.monitor.scores)
        wiring.connect(m, local_error.errors, port.monitor.errors)
        wiring.connect(m, local_error.g, port.monitor.gradients)
        m.d.comb += [
            local_error.rule.eq(port.rule),
            local_error.lr.eq(port.lr),
        ]
        self._connect_counters(m, engine, local_error)
        return m

    def _connect_output(self, m: Module, engine: Engine, local_error: LocalError):
        """Lead packets out, past the gate where samples may leave."""
        if self.plan.layer.margin is None:
            wiring.connect(m, engine.o, wiring.flipped(self.o))
            return
        m.submodules.gate = gate = ExitGate(plan=self.plan)
        wiring.connect(m, engine.o, gate.i)
        wiring.connect(m, local_error.margin, gate.margin)
        wiring.connect(m, gate.o, wiring.flipped(self.o))
        m.d.comb += gate.threshold.eq(self.port.threshold)

    def _connect_counters(self, m: Module, engine: Engine, local_error: LocalError):
        """Show the counters of performance and, if there are any, those of health."""
        port = wiring.flipped(self.port)
        if not self.plan.layer.health:
            m.d.comb += port.counters.eq(engine.counters)
            return
        m.submodules.health = health = Health(plan=self.plan)
        wiring.connect(m, engine.activations, health.activations)
        wiring.connect(m, local_error.errors, health.errors)
        weights, record = engine.weights_out, engine.records
        m.d.comb += [
            # The scores stay until their errors have come.
            health.trains.eq(trains(local_error.scores.p.header)),
            health.updates.eq(engine.updates),
            health.weights.valid.eq(weights.valid & weights.ready),
            health.weights.p.eq(weights.p),
            health.read.eq(record.valid & record.ready & (record.p.command == Command.READ)),
            Cat(port.counters).eq(Cat(engine.counters, health.values)),
        ]

    def _connect_weights(self, m: Module, engine: Engine, local_error: LocalError):
        """Lead weights in and out, those of the engine before those of the local error."""
        port = wiring.flipped(self.port)
        if self.plan.trained is None:
            wiring.connect(m, port.weights_in, engine.weights_in)
            wiring.connect(m, engine.weights_out, port.weights_out)
            return
        m.submodules.weights = weights = WeightStreams(plan=self.plan)
        wiring.connect(m, port.weights_in, weights.weights_in)
        wiring.connect(m, weights.engine_in, engine.weights_in)
        wiring.connect(m, engine.weights_out, weights.engine_out)
        wiring.connect(m, weights.classifier_in, local_error.weights_in)
        wiring.connect(m, local_error.weights_out, weights.classifier_out)
        wiring.connect(m, weights.weights_out, port.weights_out)
