# SPDX-License-Identifier: BSD-2-Clause
"""The engine of a layer: inputs, weights, activations. It knows no classes, labels or rules."""

from typing import Any

from amaranth.hdl import Module, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..parts.counters import Counters
from ..parts.credit_fifo import CreditFIFO
from ..parts.pipeline import delayed
from ..parts.register_slice import RegisterSlice
from ..plan import LayerPlan
from ..ports import (
    Credit,
    Gradients,
    Valid,
    ValidInterface,
    activation_beat,
    counters,
    packets,
    samples,
)
from ..primitives import Primitives
from .activation_buffer import ActivationBuffer
from .mac_array import MacArray
from .output_stage import OutputStage
from .sequencer import Sequencer

__all__ = ["Engine"]

#: Weights that may be on their way out.
READ_DEPTH = 32


class Engine(wiring.Component):
    """Computes activations of the samples that pass, and updates weights with local errors.

        i -> activation buffer -> MAC array -> output stage -> o, activations
                  ^                ^  ^  |
              sequencer -----------+  |  +--> weights_out
                  ^                   |
             weights_in           gradients

    Headers pass through as they are; of them only the command counts here.

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
    activations
        Those of every sample, beat by beat.
    score_room
        Room for the scores of a sample; its last beat waits for it.
    records
        Packets that are no samples, when they are done. The errors of all samples before have
        been made.
    gradients
        Local errors of the sample before; `ready` comes at most `lead` clocks before the last of
        a group.
    weights_in, weights_out, counters
        See `LayerSignature`.
    """

    i: stream.Interface
    o: stream.Interface
    activations: ValidInterface
    score_room: Any
    records: stream.Interface
    gradients: Any
    weights_in: stream.Interface
    weights_out: stream.Interface
    counters: data.View

    def __init__(self, *, plan: LayerPlan, width: int, primitives: Primitives):
        self.plan = plan
        self.width = width
        self.primitives = primitives
        self._buffer = ActivationBuffer(plan=plan, width=width, primitives=primitives)
        #: Clocks from the decision to begin a group to its first input at the lanes.
        self.lead = self._buffer.delay
        weights = stream.Signature(signed(plan.layer.wb))
        super().__init__({
            "i": In(samples(plan, width)),
            "o": Out(samples(plan, plan.drain_width)),
            "activations": Out(Valid(activation_beat(plan))),
            "score_room": In(Credit()),
            "records": Out(packets(plan)),
            "gradients": In(Gradients(plan)),
            "weights_in": In(weights),
            "weights_out": Out(weights),
            "counters": Out(counters()),
        })

    def elaborate(self, platform):
        m = Module()
        plan, word = self.plan, signed(self.plan.layer.wb)
        m.submodules.arrival = arrival = RegisterSlice(self.i.p.shape())
        m.submodules.buffer = buffer = self._buffer
        m.submodules.array = array = MacArray(plan=plan, primitives=self.primitives)
        m.submodules.output = output = OutputStage(plan=plan)
        m.submodules.sequencer = sequencer = Sequencer(
            plan=plan, width=self.width, write_to_read=array.write_to_read
        )
        m.submodules.loading = loading = RegisterSlice(word)
        m.submodules.reading = reading = CreditFIFO(shape=word, depth=READ_DEPTH)
        m.submodules.counters = counts = Counters(plan=plan)

        # Samples in, past the lanes, activations out.
        wiring.connect(m, wiring.flipped(self.i), arrival.i)
        wiring.connect(m, arrival.o, buffer.i)
        wiring.connect(m, buffer.packet, sequencer.packet)
        m.d.comb += [
            buffer.rotate.eq(sequencer.rotate),
            buffer.position.eq(sequencer.position),
            array.operands.do.eq(delayed(m, sequencer.do, buffer.delay)),
            array.operands.x_old.eq(buffer.x_old),
            array.operands.x_new.eq(buffer.x_new),
        ]
        wiring.connect(m, array.y, output.i)
        wiring.connect(m, output.room, sequencer.room)
        wiring.connect(m, sequencer.passed_on, output.packet)
        wiring.connect(m, output.o, wiring.flipped(self.o))
        wiring.connect(m, output.activations, wiring.flipped(self.activations))
        wiring.connect(m, wiring.flipped(self.score_room), output.score_room)
        wiring.connect(m, sequencer.record, wiring.flipped(self.records))

        # Local errors to the lanes.
        wiring.connect(m, wiring.flipped(self.gradients.update), sequencer.update)
        wiring.connect(m, wiring.flipped(self.gradients.beats), array.g)
        m.d.comb += [
            sequencer.g_ready.eq(self.gradients.ready),
            sequencer.accepted.eq(array.accepted),
            self.gradients.advance.eq(array.accepted),
        ]

        # Weights in and out.
        wiring.connect(m, wiring.flipped(self.weights_in), loading.i)
        wiring.connect(m, loading.o, sequencer.weights)
        wiring.connect(m, array.weight, reading.i)
        wiring.connect(m, reading.room, sequencer.read_room)
        wiring.connect(m, reading.o, wiring.flipped(self.weights_out))

        m.d.comb += [
            sequencer.delivered.eq(reading.idle),
            sequencer.blocked.eq(output.blocked),
            counts.work.eq(sequencer.work),
            self.counters.eq(counts.values),
        ]
        return m
