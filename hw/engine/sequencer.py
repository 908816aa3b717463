# SPDX-License-Identifier: BSD-2-Clause
"""The sequencer: makes packets into instructions for the MAC array, group by group."""

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..parts.counters import Activity
from ..parts.lfsr import LFSR, odd
from ..plan import LayerPlan
from ..ports import Command, Rule, header, instruction
from .activation_buffer import is_sample, position

__all__ = ["Sequencer"]


class WeightScan(wiring.Component):
    """Goes through all weights of a layer, n-major: where the present one lies in which lane.

    `step` moves on; `bias` marks the last weight of a neuron, `last` the last of all, after which
    comes the first again.
    """

    step: Signal
    lane: Signal
    addr: Signal
    bias: Signal
    last: Signal

    def __init__(self, *, plan: LayerPlan):
        self.plan = plan
        super().__init__({
            "step": In(1),
            "lane": Out(range(plan.layer.lanes)),
            "addr": Out(range(plan.depth)),
            "bias": Out(1),
            "last": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        layer = self.plan.layer
        j, n = Signal(range(layer.columns)), Signal(range(layer.neurons))
        base = Signal.like(self.addr)
        # `bias` is a register, so that no comparison of `j` stands before what it decides.
        last_neuron, last_lane = Signal(), Signal()
        m.d.comb += [
            last_neuron.eq(n == layer.neurons - 1),
            last_lane.eq(self.lane == layer.lanes - 1),
            self.last.eq(self.bias & last_neuron),
        ]
        with m.If(self.step):
            m.d.sync += [
                self.bias.eq(j == layer.inputs - 1),
                j.eq(Mux(self.bias, 0, j + 1)),
                self.addr.eq(self.addr + 1),
            ]
            with m.If(self.bias):
                m.d.sync += [
                    n.eq(Mux(last_neuron, 0, n + 1)),
                    self.lane.eq(Mux(last_lane | last_neuron, 0, self.lane + 1)),
                ]
                with m.If(last_neuron):
                    m.d.sync += Cat(base, self.addr).eq(0)
                with m.Elif(last_lane):
                    m.d.sync += base.eq(self.addr + 1)
                with m.Else():
                    m.d.sync += self.addr.eq(base)
        return m


class Sequencer(wiring.Component):
    """Carries out packets, one after the other, once the weights have their initial values.

    A TRAIN, an INFER and a FLUSH each are one pass over the weights, which applies the update of
    the sample before; a pass begins when the errors of that sample have been made. READ and LOAD
    access the weights one by one, n-major (contract, "Random numbers", stream 0).

    - `packet`: what to do. `header`: what is being done.
    - `position`, `do`: an instruction for the array, and where its inputs are. `taken`: the array
      has taken over the local errors of the group that was begun last.
    - `turn`: the sample has been read for the last time as the new one.
    - `error_made`, `rule`: high for a clock when the sample's errors are made, and its rule.
    - `g_ready`: the local errors of the next group will be there in time, if it needs any.
    - `space`, `reserve`: room for the activations of a group, see `OutputStage`. `blocked`: they
      are kept waiting.
    - `read_space`, `read_reserve`, `read_idle`: room for weights that are read, see `CreditFIFO`.
    - `forward`, `record`: the packet, if it is no sample, for the next layer and for the results.
    - `activity`, `weights`, `updated`, `used`: see `Counters`.

    Parameters
    ----------
    plan
        Dimensions of the layer.
    width
        Inputs per word of the activation buffer.
    settle
        Clocks after which a weight that was written may be read.
    """

    packet: stream.Interface
    header: data.View
    position: data.View
    do: data.View
    taken: Signal
    turn: Signal
    error_made: Signal
    rule: Signal
    g_ready: Signal
    space: Signal
    reserve: Signal
    blocked: Signal
    read_space: Signal
    read_reserve: Signal
    read_idle: Signal
    weights_in: stream.Interface
    forward: stream.Interface
    record: stream.Interface
    activity: Signal
    weights: Signal
    used: Signal
    updated: Signal

    def __init__(self, *, plan: LayerPlan, width: int, settle: int):
        self.plan = plan
        self.width = width
        self.settle = settle
        layer = plan.layer
        packet = stream.Signature(header(layer.classes))
        super().__init__({
            "packet": In(packet),
            "header": Out(header(layer.classes)),
            "position": Out(position(plan, width)),
            "do": Out(instruction(plan)),
            "taken": In(1),
            "turn": Out(1),
            "error_made": In(1),
            "rule": In(Rule),
            "g_ready": In(1),
            "space": In(1),
            "reserve": Out(1),
            "blocked": In(1),
            "read_space": In(1),
            "read_reserve": Out(1),
            "read_idle": In(1),
            "weights_in": In(stream.Signature(signed(layer.wb))),
            "forward": Out(packet),
            "record": Out(packet),
            "activity": Out(Activity),
            "weights": Out(range(layer.lanes + 1)),
            "used": Out(1),
            "updated": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        plan, do = self.plan, self.do
        m.submodules.scan = scan = WeightScan(plan=plan)
        m.submodules.initial = initial = LFSR(
            seed=plan.layer.seeds[0], width=plan.layer.init_bits
        )
        j, group = Signal(range(plan.layer.columns)), Signal(range(plan.groups))
        addr = Signal(range(plan.depth))
        place = Signal.like(self.position)
        first, last, last_group, flush = Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            first.eq(j == 0),
            last.eq(j == plan.layer.inputs),
            last_group.eq(group == plan.groups - 1),
            flush.eq(self.header.command == Command.FLUSH),
            self.position.eq(place),
            self.position.bias.eq(last),
        ]

        # The sample before is still being classified; whether it trains.
        awaiting, update = Signal(), Signal()
        with m.If(self.error_made):
            m.d.sync += [
                awaiting.eq(0),
                update.eq((self.header.command == Command.TRAIN) & (self.rule != Rule.FROZEN)),
            ]

        # A group may start: its local errors come, and its activations find room.
        start, drains, g_ready, ready = Signal(), Signal(), Signal(), Signal()
        starting = Signal()
        period = Signal(range(plan.group_clocks))
        m.d.comb += [
            g_ready.eq(self.g_ready & ~starting),
            ready.eq(g_ready & (period == 0) & (self.space | ~drains)),
            drains.eq(~flush),
            self.reserve.eq(start & drains),
        ]
        m.d.sync += period.eq(Mux(period == 0, 0, period - 1))
        with m.If(self.taken):
            m.d.sync += starting.eq(0)
        with m.If(start):
            m.d.sync += [starting.eq(1), period.eq(plan.group_clocks - 1)]

        settling = Signal(range(self.settle + 1), init=self.settle)
        m.d.comb += [
            do.lane.eq(scan.lane),
            do.addr.eq(scan.addr),
            do.word.eq(self.weights_in.payload),
            self.weights.eq(
                Mux(
                    last_group,
                    plan.layer.neurons - (plan.groups - 1) * plan.layer.lanes,
                    plan.layer.lanes,
                )
            ),
            self.used.eq(~flush),
            self.updated.eq(update),
            self.forward.p.eq(self.header),
            self.record.p.eq(self.header),
        ]
        with m.FSM():
            with m.State("INITIALISE"):
                m.d.comb += [
                    do.load.eq(1),
                    do.word.eq(Mux(scan.bias, 0, odd(initial.o))),
                    initial.step.eq(~scan.bias),
                    scan.step.eq(1),
                ]
                with m.If(scan.last):
                    m.next = "SETTLE"

            with m.State("SETTLE"):
                m.d.sync += settling.eq(settling - 1)
                with m.If(settling == 0):
                    m.d.sync += settling.eq(self.settle)
                    with m.If(is_sample(self.header.command)):
                        m.next = "IDLE"
                    with m.Else():
                        m.next = "FORWARD"

            with m.State("IDLE"):
                command = self.packet.p.command
                m.d.comb += drains.eq(command != Command.FLUSH)
                with m.If(awaiting):
                    m.d.comb += self.activity.eq(
                        Mux(self.blocked, Activity.STALL_OUTPUT, Activity.STALL_ERROR)
                    )
                with m.Elif(~self.packet.valid):
                    m.d.comb += self.activity.eq(Activity.STALL_INPUT)
                with m.Elif((command == Command.READ) | (command == Command.LOAD)):
                    m.d.comb += self.packet.ready.eq(1)
                    with m.If(command == Command.READ):
                        m.next = "READ"
                    with m.Else():
                        m.next = "LOAD"
                with m.Elif(ready):
                    m.d.comb += [self.packet.ready.eq(1), start.eq(1)]
                    m.next = "PASS"
                with m.Else():
                    m.d.comb += self.activity.eq(
                        Mux(g_ready, Activity.STALL_OUTPUT, Activity.STALL_ERROR)
                    )
                with m.If(self.packet.ready):
                    m.d.sync += self.header.eq(self.packet.p)

            with m.State("PASS"):
                m.d.comb += [
                    do.issue.eq(1),
                    do.first.eq(first),
                    do.last.eq(last & ~flush),
                    do.update.eq(update),
                    do.addr.eq(addr),
                    self.activity.eq(Activity.BUSY),
                ]
                m.d.sync += [j.eq(j + 1), addr.eq(addr + 1), place.part.eq(place.part + 1)]
                with m.If(place.part == self.width - 1):
                    m.d.sync += [place.part.eq(0), place.word.eq(place.word + 1)]
                # The bias has no place of its own.
                with m.If(last | (j == plan.layer.inputs - 1)):
                    m.d.sync += place.eq(0)
                with m.If(last):
                    m.d.sync += [j.eq(0), group.eq(group + 1)]
                    with m.If(last_group):
                        m.d.sync += [group.eq(0), addr.eq(0)]
                        with m.If(flush):
                            m.d.sync += update.eq(0)
                            m.next = "SETTLE"
                        with m.Else():
                            m.d.comb += self.turn.eq(1)
                            m.d.sync += awaiting.eq(1)
                            m.next = "IDLE"
                    with m.Elif(ready):
                        m.d.comb += start.eq(1)
                    with m.Else():
                        m.next = "WAIT"

            with m.State("WAIT"):
                m.d.comb += self.activity.eq(
                    Mux(g_ready, Activity.STALL_OUTPUT, Activity.STALL_ERROR)
                )
                with m.If(ready):
                    m.d.comb += start.eq(1)
                    m.next = "PASS"

            with m.State("LOAD"):
                m.d.comb += [
                    self.weights_in.ready.eq(1),
                    do.load.eq(self.weights_in.valid),
                    scan.step.eq(self.weights_in.valid),
                ]
                with m.If(scan.step & scan.last):
                    m.next = "SETTLE"

            with m.State("READ"):
                m.d.comb += [
                    self.read_reserve.eq(self.read_space),
                    do.read.eq(self.read_space),
                    scan.step.eq(self.read_space),
                ]
                with m.If(scan.step & scan.last):
                    m.next = "DELIVER"

            with m.State("DELIVER"):
                with m.If(self.read_idle):
                    m.next = "FORWARD"

            with m.State("FORWARD"):
                m.d.comb += self.forward.valid.eq(1)
                with m.If(self.forward.ready):
                    m.next = "RECORD"

            with m.State("RECORD"):
                m.d.comb += self.record.valid.eq(1)
                with m.If(self.record.ready):
                    m.next = "IDLE"
        return m
