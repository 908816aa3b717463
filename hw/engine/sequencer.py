# SPDX-License-Identifier: BSD-2-Clause
"""The sequencer: takes packets one after the other and has them carried out."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..parts.counters import work
from ..plan import LayerPlan
from ..ports import Activity, Command, Credit, Valid, ValidInterface, packets
from .activation_buffer import is_sample, position
from .operands import instruction
from .pass_scheduler import PassScheduler
from .weight_mover import WeightMover

__all__ = ["Sequencer"]


class Sequencer(wiring.Component):
    """Carries out packets, in order, once the weights have their initial values.

    A TRAIN, an INFER and a FLUSH are each one pass over the weights. READ and LOAD move them. A
    LOAD also drops the update that is due.

    - `packet`: what to do.
    - `passed_on`: every packet, for the next layer: a sample when its pass begins, any other when
      it is done. `record`: those that are no samples, when they are done.
    - `do`, `position`: an instruction for the MAC array, and where its inputs are.
    - `update`, `g_ready`, `accepted`, `room`, `blocked`, `rotate`: see `PassScheduler`.
    - `weights`, `read_room`, `delivered`: see `WeightMover`.
    - `work`: see `Counters`.

    Parameters
    ----------
    plan
        Dimensions of the layer.
    width
        Inputs per word of the activation buffer.
    write_to_read
        Clocks from the write of a weight until it may be read.
    """

    packet: stream.Interface
    passed_on: stream.Interface
    record: stream.Interface
    do: data.View
    position: data.View
    update: ValidInterface
    g_ready: Signal
    accepted: Signal
    room: Any
    blocked: Signal
    rotate: Signal
    weights: stream.Interface
    read_room: Any
    delivered: Signal
    work: data.View

    def __init__(self, *, plan: LayerPlan, width: int, write_to_read: int):
        self.plan = plan
        self.width = width
        self.write_to_read = write_to_read
        super().__init__({
            "packet": In(packets(plan)),
            "passed_on": Out(packets(plan)),
            "record": Out(packets(plan)),
            "do": Out(instruction(plan)),
            "position": Out(position(plan, width)),
            "update": In(Valid(unsigned(1))),
            "g_ready": In(1),
            "accepted": In(1),
            "room": In(Credit()),
            "blocked": In(1),
            "rotate": Out(1),
            "weights": In(stream.Signature(signed(plan.layer.wb))),
            "read_room": In(Credit()),
            "delivered": In(1),
            "work": Out(work(plan)),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.passes = passes = PassScheduler(plan=self.plan, width=self.width)
        m.submodules.mover = mover = WeightMover(plan=self.plan)
        wiring.connect(m, wiring.flipped(self.update), passes.update)
        wiring.connect(m, wiring.flipped(self.room), passes.room)
        wiring.connect(m, wiring.flipped(self.weights), mover.weights)
        wiring.connect(m, wiring.flipped(self.read_room), mover.room)
        m.d.comb += [
            passes.g_ready.eq(self.g_ready),
            passes.accepted.eq(self.accepted),
            passes.blocked.eq(self.blocked),
            mover.delivered.eq(self.delivered),
            self.rotate.eq(passes.rotate),
            self.position.eq(passes.position),
            self.work.eq(passes.work),
            self.do.addr.eq(Mux(passes.step.issue, passes.step.addr, mover.move.addr)),
            *(self.do[name].eq(passes.step[name]) for name in ("issue", "first", "last", "update")),
            *(self.do[name].eq(mover.move[name]) for name in ("load", "read", "lane", "word")),
        ]
        self._dispatch(m, passes, mover)
        return m

    def _dispatch(self, m: Module, passes: PassScheduler, mover: WeightMover):
        """Begin what a packet asks for, wait for its end, and tell of it."""
        command = self.packet.p.command
        sample, moves = Signal(), Signal()
        # The packet that is carried out; there is none while the initial weights are made.
        current, initialised = Signal.like(self.packet.p), Signal()
        wait = Signal(range(self.write_to_read + 1), init=self.write_to_read)
        m.d.comb += [
            sample.eq(is_sample(command)),
            moves.eq((command == Command.READ) | (command == Command.LOAD)),
            passes.begin.p.eq(sample),
            self.passed_on.p.eq(current),
            self.record.p.eq(current),
        ]
        with m.FSM():
            with m.State("BUSY"):
                with m.If(passes.rotate):
                    m.next = "IDLE"
                # What comes next may read what was written last.
                with m.Elif(passes.done | mover.done):
                    m.next = "WRITE TO READ"

            with m.State("WRITE TO READ"):
                m.d.sync += wait.eq(wait - 1)
                with m.If(wait == 0):
                    m.d.sync += [wait.eq(self.write_to_read), initialised.eq(1)]
                    m.next = "IDLE"
                    with m.If(initialised):
                        m.next = "PASS ON"

            with m.State("IDLE"):
                with m.If(moves):
                    m.d.comb += self.packet.ready.eq(passes.idle)
                with m.Else():
                    m.d.comb += [
                        passes.begin.valid.eq(self.packet.valid & (self.passed_on.ready | ~sample)),
                        self.passed_on.valid.eq(self.packet.valid & passes.begin.ready & sample),
                        self.passed_on.p.eq(self.packet.p),
                        self.packet.ready.eq(
                            passes.begin.ready & (self.passed_on.ready | ~sample)
                        ),
                    ]
                with m.If(passes.idle & ~self.packet.valid):
                    m.d.comb += self.work.activity.eq(Activity.STALL_INPUT)
                with m.If(self.packet.valid & self.packet.ready):
                    m.d.comb += [
                        mover.load.eq(command == Command.LOAD),
                        mover.read.eq(command == Command.READ),
                        passes.drop.eq(command == Command.LOAD),
                    ]
                    m.d.sync += current.eq(self.packet.p)
                    m.next = "BUSY"

            with m.State("PASS ON"):
                m.d.comb += self.passed_on.valid.eq(1)
                with m.If(self.passed_on.ready):
                    m.next = "RECORD"

            with m.State("RECORD"):
                m.d.comb += self.record.valid.eq(1)
                with m.If(self.record.ready):
                    m.next = "IDLE"
