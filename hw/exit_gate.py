# SPDX-License-Identifier: BSD-2-Clause
"""The exit gate: what a layer is sure of goes no further (contract, "Early exit")."""

from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .parts.block_fifo import BlockFIFO
from .plan import LayerPlan
from .ports import Command, ValidInterface, is_sample, margin, outputs

__all__ = ["ExitGate"]


class ExitGate(wiring.Component):
    """Keeps the packets of a layer from the next one until it is known which go on.

    An INFER waits for its margin. If that is at least `threshold` the sample has left: all that
    goes on of it is its last beat, with `left` set. Else it goes on as it is, and so does any other
    packet, at once.

    There is room for one sample. So there is never more than one margin that has come before its
    sample goes on: for the next sample to be complete, this one must have gone. And the layer can
    always complete a sample, without which there would be no margin.

    - `i`: packets of the layer; `o`: for the next.
    - `margin`: of each INFER that is a sample, after its last beat.
    - `threshold`: counts in the clock in which a margin comes.

    Parameters
    ----------
    plan
        Dimensions of the layer.
    """

    i: stream.Interface
    margin: ValidInterface
    threshold: Signal
    o: stream.Interface

    def __init__(self, *, plan: LayerPlan):
        self.plan = plan
        super().__init__(
            {
                "i": In(outputs(plan)),
                "margin": In(margin(plan)),
                "threshold": In(plan.s_width),
                "o": Out(outputs(plan)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.beats = beats = BlockFIFO(self.i.p.shape(), depth=self.plan.output_beats)
        wiring.connect(m, wiring.flipped(self.i), beats.i)
        beat, waits, dropped = beats.o.p, Signal(), Signal()
        # Of the sample that waits: its margin has come, and it leaves.
        decided, leaves = Signal(), Signal()
        m.d.comb += [
            waits.eq(is_sample(beat.header) & (beat.header.command == Command.INFER)),
            dropped.eq(waits & leaves & ~beat.last),
            self.o.p.eq(beat),
            self.o.p.header.left.eq(beat.header.left | (waits & leaves)),
            self.o.valid.eq(beats.o.valid & (~waits | decided) & ~dropped),
            beats.o.ready.eq((~waits | decided) & (dropped | self.o.ready)),
        ]
        with m.If(self.margin.valid):
            m.d.sync += [decided.eq(1), leaves.eq(self.margin.p >= self.threshold)]
        with m.Elif(beats.o.valid & beats.o.ready & waits & beat.last):
            m.d.sync += decided.eq(0)
        return m
