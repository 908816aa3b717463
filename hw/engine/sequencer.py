# SPDX-License-Identifier: BSD-2-Clause
"""The sequencer: takes packets one after the other and has them carried out."""

from typing import Any

from amaranth.hdl import Module, Signal, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..parts.counters import work
from ..plan import LayerPlan
from ..ports import (
    LEFT,
    Activity,
    Command,
    Credit,
    Valid,
    ValidInterface,
    is_sample,
    packets,
    trains,
)
from .event_scheduler import EventScheduler
from .events import move, step
from .weight_mover import WeightMover

__all__ = ["Sequencer"]


class Sequencer(wiring.Component):
    """Carries out packets, in order, once the weights have their initial values.

    A TRAIN and an INFER are events, made by the `EventScheduler`. READ and LOAD move weights, when
    all samples before are done. A sample that has left below is passed on then, and no more.

    - `packet`: what to do.
    - `passed_on`: every packet, for the next layer: a sample when it begins, any other when it is
      done. `record`: those that are no samples, when they are done.
    - `step`, `last`, `release`: see `EventLists`.
    - `update`, `some`, `ready`, `complete`, `advance`, `room`, `blocked`: see `EventScheduler`.
    - `move`, `weights`, `read_room`, `delivered`: see `WeightMover`.
    - `work`, `left`: see `Counters`.

    Parameters
    ----------
    plan
        Dimensions of the layer.
    write_to_read
        Clocks from a step that writes a weight until one may read it.
    reload
        Clocks between loads of the same address.
    """

    packet: stream.Interface
    passed_on: stream.Interface
    record: stream.Interface
    step: data.View
    last: Signal
    release: Signal
    update: ValidInterface
    some: Signal
    ready: Signal
    complete: Signal
    advance: Signal
    room: Any
    blocked: Signal
    move: data.View
    weights: stream.Interface
    read_room: Any
    delivered: Signal
    work: data.View
    left: Signal

    def __init__(self, *, plan: LayerPlan, write_to_read: int, reload: int):
        self.plan = plan
        self.write_to_read = write_to_read
        self.reload = reload
        super().__init__(
            {
                **({LEFT: Out(1)} if plan.layer.exits_below else {}),
                "packet": In(packets(plan)),
                "passed_on": Out(packets(plan)),
                "record": Out(packets(plan)),
                "step": Out(step(plan)),
                "last": In(1),
                "release": Out(1),
                "update": In(Valid(unsigned(1))),
                "some": In(1),
                "ready": In(1),
                "complete": In(1),
                "advance": Out(1),
                "room": In(Credit()),
                "blocked": In(1),
                "move": Out(move(plan)),
                "weights": In(stream.Signature(signed(plan.layer.wb))),
                "read_room": In(Credit()),
                "delivered": In(1),
                "work": Out(work(plan)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.events = events = EventScheduler(plan=self.plan)
        m.submodules.mover = mover = WeightMover(plan=self.plan, reload=self.reload)
        wiring.connect(m, wiring.flipped(self.update), events.update)
        wiring.connect(m, wiring.flipped(self.room), events.room)
        wiring.connect(m, wiring.flipped(self.weights), mover.weights)
        wiring.connect(m, wiring.flipped(self.read_room), mover.room)
        m.d.comb += [
            events.settled.eq(self._settled(m)),
            *(
                getattr(events, name).eq(getattr(self, name))
                for name in ("some", "ready", "complete", "blocked", "last")
            ),
            *(
                getattr(self, name).eq(getattr(events, name))
                for name in ("advance", "step", "release", "work")
            ),
            mover.delivered.eq(self.delivered),
            self.move.eq(mover.move),
        ]
        self._dispatch(m, events, mover)
        return m

    def _settled(self, m: Module) -> Signal:
        """Tell whether weights that were written may be read."""
        # The step that clears the sums comes before the first that reads.
        wait, settled = Signal(range(self.write_to_read)), Signal()
        m.d.comb += settled.eq(wait == 0)
        with m.If(self.step.update | self.move.load):
            m.d.sync += wait.eq(self.write_to_read - 2)
        with m.Elif(~settled):
            m.d.sync += wait.eq(wait - 1)
        return settled

    def _dispatch(self, m: Module, events: EventScheduler, mover: WeightMover):
        """Begin what a packet asks for; of one that is no sample, tell when it has ended."""
        packet, sample = self.packet, Signal()
        # The packet that is carried out, if it is no sample.
        current = Signal.like(packet.p)
        m.d.comb += [
            sample.eq(is_sample(packet.p)),
            events.begin.p.eq(trains(packet.p)),
            self.passed_on.p.eq(current),
            self.record.p.eq(current),
        ]
        with m.FSM():
            with m.State("INITIALISE"):
                with m.If(mover.done):
                    m.next = "IDLE"

            with m.State("IDLE"):
                m.d.sync += current.eq(packet.p)
                self._samples(m, events, sample)
                with m.If(packet.valid & ~sample & events.free & events.made & events.settled):
                    m.d.comb += packet.ready.eq(1)
                    m.next = "MOVE"
                    if self.plan.layer.exits_below:
                        with m.If(packet.p.left):
                            m.d.comb += self.left.eq(1)
                            m.next = "PASS ON"

            with m.State("MOVE"):
                m.d.comb += [
                    mover.load.eq(current.command == Command.LOAD),
                    mover.read.eq(current.command == Command.READ),
                ]
                m.next = "MOVING"

            with m.State("MOVING"):
                with m.If(mover.done):
                    m.next = "PASS ON"

            with m.State("PASS ON"):
                m.d.comb += self.passed_on.valid.eq(1)
                with m.If(self.passed_on.ready):
                    m.next = "RECORD"

            with m.State("RECORD"):
                m.d.comb += self.record.valid.eq(1)
                with m.If(self.record.ready):
                    m.next = "IDLE"

    def _samples(self, m: Module, events: EventScheduler, sample: Signal):
        """Begin samples and pass them on, while nothing else is carried out."""
        packet, activity = self.packet, self.work.activity
        with m.If(sample):
            m.d.comb += [
                events.begin.valid.eq(packet.valid & self.passed_on.ready),
                self.passed_on.valid.eq(packet.valid & events.begin.ready),
                self.passed_on.p.eq(packet.p),
                packet.ready.eq(events.begin.ready & self.passed_on.ready),
            ]
        with m.If(events.free & ~packet.valid):
            m.d.comb += activity.eq(Activity.STALL_INPUT)
        with m.Elif(events.free & sample & ~self.passed_on.ready):
            m.d.comb += activity.eq(Activity.STALL_OUTPUT)
        with m.Elif(events.free & ~sample & ~events.made):
            m.d.comb += activity.eq(Activity.STALL_ERROR)
