# SPDX-License-Identifier: BSD-2-Clause
"""The list builder: of the inputs of a sample, those that are not 0 become a list."""

from amaranth.hdl import Cat, Const, Module, Mux, Shape, Signal, Value
from amaranth.lib import fifo, stream, wiring
from amaranth.lib.wiring import In, Out

from ..parts.select import any_of
from ..plan import LayerPlan
from ..ports import Valid, ValidInterface, is_sample, packets, samples
from .events import entry

__all__ = ["ListBuilder"]

#: Packets that may have been received and not begun, beyond lists.
PACKETS = 2


class ListBuilder(wiring.Component):
    """Writes an entry a clock for each input that is not 0, in ascending order of columns.

    The bias is the last entry of every list: column M with the constant input (contract, "One
    training step of a layer"). A beat takes a clock for each of its entries, and at least one.

    - `i`: packets, `width` inputs a beat (`hw.ports.beat`); those that are no samples are one beat.
    - `entry`: the next entry of the present list. `ended` comes with the last.
    - `packet`: headers of the packets that have arrived completely, in order. The last entry of a
      list comes in the clock in which its packet is shown first.
    - `release`: the oldest of the lists has been used for the last time.

    Parameters
    ----------
    plan
        Dimensions of the layer.
    width
        Inputs per beat.
    lists
        Lists that may be kept at once.
    """

    i: stream.Interface
    entry: ValidInterface
    ended: Signal
    packet: stream.Interface
    release: Signal

    def __init__(self, *, plan: LayerPlan, width: int, lists: int):
        self.plan = plan
        self.width = width
        self.lists = lists
        super().__init__(
            {
                "i": In(samples(plan, width)),
                "entry": Out(Valid(entry(plan))),
                "ended": Out(1),
                "packet": Out(packets(plan)),
                "release": In(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.packets = packets = fifo.SyncFIFO(
            width=Shape.cast(self.packet.p.shape()).width, depth=self.lists + PACKETS
        )
        beat, occupied, first = Signal.like(self.i.p), Signal(), Signal(init=1)
        # Entries of the beat that have not been written; that of the bias comes last.
        pending, rest = Signal(self.width + 1), Signal(self.width + 1)
        # At most one of them is left. Kept beside them, as much depends on it.
        ending = Signal()
        column = Signal(range(self.plan.layer.inputs))
        held, done, complete, sample = Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            rest.eq(pending & (pending - 1)),
            held.eq(beat.last & ~packets.w_rdy),
            done.eq(occupied & ending & ~held),
            complete.eq(done & beat.last),
            sample.eq(is_sample(self.i.p.header)),
            self.i.ready.eq(
                (done | ~occupied) & (self._space(m, complete & pending[-1]) | ~sample)
            ),
            packets.w_data.eq(beat.header),
            packets.w_en.eq(complete),
            self.packet.valid.eq(packets.r_rdy),
            self.packet.p.eq(packets.r_data),
            packets.r_en.eq(self.packet.ready),
        ]
        with m.If(done | ~occupied):
            m.d.sync += occupied.eq(self.i.valid & self.i.ready)
        with m.If(self.i.valid & self.i.ready):
            entries = Cat((x.any() & sample for x in self.i.p.x), self.i.p.last & sample)
            m.d.sync += [
                beat.eq(self.i.p),
                first.eq(self.i.p.last),
                column.eq(Mux(first, 0, column) + self.i.p.gap),
                pending.eq(entries),
                ending.eq(~_several(entries)),
            ]
        with m.Elif(occupied & ~(ending & held)):
            m.d.sync += [pending.eq(rest), ending.eq(~_several(rest))]
        self._write(m, beat, pending & ~rest & ~(held & ending).replicate(len(rest)), column)
        return m

    def _space(self, m: Module, complete: Value) -> Value:
        """Count the lists that are `complete`; tell whether there is space for another."""
        level = Signal(range(self.lists + 1))
        m.d.sync += level.eq(level + complete - self.release)
        return (level < self.lists - 1) | (level < self.lists) & ~complete

    def _write(self, m: Module, beat, chosen: Value, column: Value):
        """Write the entry of the one place of a beat that is `chosen`, if one is."""
        layer, bias, shape = self.plan.layer, chosen[-1], self.plan.x_shape
        x, place, base = Signal(shape), Signal(range(self.width)), Signal.like(column)
        inputs = [value.as_signed() if shape.signed else value for value in beat.x]
        inputs = [*inputs, Const(layer.one, shape)]
        m.d.sync += [
            self.entry.valid.eq(chosen.any()),
            self.ended.eq(bias),
            x.eq(any_of(Mux(chosen[k], value, 0) for k, value in enumerate(inputs))),
            place.eq(any_of(Mux(chosen[k], k, 0) for k in range(self.width))),
            base.eq(column),
        ]
        m.d.comb += [
            self.entry.p.x.eq(x),
            self.entry.p.column.eq(Mux(self.ended, layer.inputs, base + place)),
        ]


def _several(bits: Value) -> Value:
    """Tell whether more than one of some bits is set."""
    return any_of(bit & bits[:k].any() for k, bit in enumerate(bits) if k)
