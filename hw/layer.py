# SPDX-License-Identifier: BSD-2-Clause
"""A layer: everything that it takes to train from the labels alone."""

from typing import Any

from amaranth.hdl import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .engine.engine import Engine, lead
from .local_error.local_error import LocalError
from .plan import LayerPlan
from .ports import LayerSignature, outputs, samples
from .primitives import Primitives

__all__ = ["Layer"]


class Layer(wiring.Component):
    """Computes activations of the samples that pass, and learns from their labels.

        i -----------> engine -----------> o
                       ^    |
             gradients |    | activations
                       |    v
                     local error ---------> port.result

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
        local_error = LocalError(plan=plan, lead=lead(self.primitives))
        m.submodules.engine = engine
        m.submodules.local_error = local_error

        wiring.connect(m, wiring.flipped(self.i), engine.i)
        wiring.connect(m, engine.o, wiring.flipped(self.o))
        wiring.connect(m, engine.activations, local_error.activations, port.monitor.activations)
        wiring.connect(m, local_error.gradients, engine.gradients)
        wiring.connect(m, local_error.score_room, engine.score_room)
        wiring.connect(m, engine.records, local_error.records)
        wiring.connect(m, local_error.result, port.result)

        wiring.connect(m, port.weights_in, engine.weights_in)
        wiring.connect(m, engine.weights_out, port.weights_out)
        wiring.connect(m, local_error.scores, port.monitor.scores)
        wiring.connect(m, local_error.errors, port.monitor.errors)
        wiring.connect(m, local_error.g, port.monitor.gradients)
        m.d.comb += [
            local_error.rule.eq(port.rule),
            local_error.lr.eq(port.lr),
            port.counters.eq(engine.counters),
        ]
        return m
