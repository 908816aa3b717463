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
    counted,
    counters,
    outputs,
    packets,
    samples,
    update_counts,
)
from ..primitives import Primitives
from . import event_lists, lane
from .event_lists import EventLists
from .list_builder import ListBuilder
from .mac_array import MacArray, accept_delay
from .output_stage import OutputStage
from .sequencer import Sequencer

__all__ = ["Engine", "lead"]

#: Weights that may be on their way out.
READ_DEPTH = 32


def lead(primitives: Primitives) -> int:
    """Clocks by which the last local errors of a group may come after `gradients.ready`."""
    # The scheduler, and the lists.
    return 1 + event_lists.latency(primitives) + accept_delay(primitives)


class Engine(wiring.Component):
    """Computes activations of the samples that pass, and updates weights with local errors.

        i -> list builder -> event lists -> MAC array -> output stage -> o, activations
                  |               ^          ^  ^  |
                  +--------> sequencer ------+  |  +--> weights_out
                                  ^             |
                             weights_in     gradients

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
        Local errors of the sample; `ready` comes at most `lead` clocks before the last of a group,
        and the first of the next group more than `lead` clocks after `advance`.
    weights_in, weights_out, counters
        See `LayerSignature`.
    updates
        See `hw.ports.update_counts`; only if the layer counts its health.
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
    updates: data.View

    def __init__(self, *, plan: LayerPlan, width: int, primitives: Primitives):
        self.plan = plan
        self.width = width
        self.primitives = primitives
        weights = stream.Signature(signed(plan.layer.wb))
        super().__init__(
            {
                "i": In(samples(plan, width)),
                "o": Out(outputs(plan)),
                "activations": Out(Valid(activation_beat(plan))),
                "score_room": In(Credit()),
                "records": Out(packets(plan)),
                "gradients": In(Gradients(plan)),
                "weights_in": In(weights),
                "weights_out": Out(weights),
                "counters": Out(counters(counted(plan))),
                **({"updates": Out(update_counts(plan))} if plan.layer.health else {}),
            }
        )

    def elaborate(self, platform):
        m = Module()
        plan, primitives, word = self.plan, self.primitives, signed(self.plan.layer.wb)
        m.submodules.arrival = arrival = RegisterSlice(self.i.p.shape())
        m.submodules.builder = builder = ListBuilder(plan=plan, width=self.width, lists=plan.lists)
        m.submodules.lists = lists = EventLists(plan=plan, primitives=primitives)
        m.submodules.array = array = MacArray(plan=plan, primitives=primitives)
        m.submodules.leaving = leaving = RegisterSlice(builder.packet.p.shape())
        m.submodules.output = output = OutputStage(plan=plan)
        m.submodules.sequencer = sequencer = Sequencer(
            plan=plan,
            write_to_read=lane.write_to_read(primitives),
            reload=lane.reload(primitives),
        )
        move = sequencer.move
        m.submodules.loading = loading = RegisterSlice(word)
        m.submodules.reading = reading = CreditFIFO(shape=word, depth=READ_DEPTH)
        m.submodules.counters = counts = Counters(plan=plan)

        # Samples in, past the lanes, activations out.
        wiring.connect(m, wiring.flipped(self.i), arrival.i)
        wiring.connect(m, arrival.o, builder.i)
        wiring.connect(m, builder.entry, lists.entry)
        wiring.connect(m, builder.packet, sequencer.packet)
        m.d.comb += [
            lists.ended.eq(builder.ended),
            lists.step.eq(sequencer.step),
            lists.release.eq(sequencer.release),
            builder.release.eq(sequencer.release),
            sequencer.last.eq(lists.last),
            array.event.eq(lists.event),
            *(array.event[name].eq(move[name]) for name in ("load", "read", "lane", "word")),
        ]
        with m.If(move.load | move.read):
            m.d.comb += [array.event.addr.eq(move.addr), array.event.x.eq(0)]
        wiring.connect(m, array.y, output.i)
        wiring.connect(m, output.room, sequencer.room)
        wiring.connect(m, sequencer.passed_on, leaving.i)
        wiring.connect(m, leaving.o, output.packet)
        wiring.connect(m, output.o, wiring.flipped(self.o))
        wiring.connect(m, output.activations, wiring.flipped(self.activations))
        wiring.connect(m, wiring.flipped(self.score_room), output.score_room)
        wiring.connect(m, sequencer.record, wiring.flipped(self.records))

        # Local errors to the lanes.
        wiring.connect(m, wiring.flipped(self.gradients.update), sequencer.update)
        wiring.connect(m, wiring.flipped(self.gradients.beats), array.g)
        m.d.comb += [
            self.gradients.advance.eq(sequencer.advance),
            array.left.eq(self.gradients.left),
        ]
        for name in "some", "ready", "complete":
            m.d.comb += getattr(sequencer, name).eq(getattr(self.gradients, name))

        # Weights in and out.
        wiring.connect(m, wiring.flipped(self.weights_in), loading.i)
        wiring.connect(m, loading.o, sequencer.weights)
        wiring.connect(m, array.weight, reading.i)
        wiring.connect(m, reading.room, sequencer.read_room)
        wiring.connect(m, reading.o, wiring.flipped(self.weights_out))

        if plan.layer.exits_below:
            m.d.comb += counts.left.eq(sequencer.left)
        m.d.comb += [
            # The array, through which weights leave, lies apart, and so does the output: their ends
            # need not be near.
            sequencer.delivered.eq(delayed(m, reading.idle, 1)),
            sequencer.blocked.eq(delayed(m, output.blocked, 1)),
            counts.work.eq(sequencer.work),
            counts.columns_skipped.eq(lists.skipped),
            self.counters.eq(counts.values),
        ]
        if plan.layer.health:
            m.d.comb += self.updates.eq(array.updates)
        return m
