# SPDX-License-Identifier: BSD-2-Clause
"""The weight mover: initial weights, weights that are loaded, weights that are read."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..parts.lfsr import LFSR, odd
from ..plan import LayerPlan
from ..ports import Credit
from .events import move

__all__ = ["WeightMover"]


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
        super().__init__(
            {
                "step": In(1),
                "lane": Out(range(plan.lanes)),
                "addr": Out(range(plan.depth)),
                "bias": Out(1),
                "last": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        layer = self.plan.layer
        j, n = Signal(range(layer.columns)), Signal(range(layer.neurons))
        base = Signal.like(self.addr)
        # `bias` is a register, so that no comparison of `j` stands before what it decides.
        last_neuron, last_lane = Signal(), Signal()
        m.d.comb += [
            last_neuron.eq(n == layer.neurons - 1),
            last_lane.eq(self.lane == self.plan.lanes - 1),
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


class WeightMover(wiring.Component):
    """Accesses the weights one by one, n-major (contract, "Random numbers", stream 0).

    After reset it gives all weights their initial values, one a clock.

    - `load`, `read`: high for a clock to begin; then all weights come in, or go out.
    - `done`: high for a clock when the initial weights, those that were loaded, or those that were
      read are where they belong. Only then may the next move begin.
    - `weights`: weights to load.
    - `room`: for a weight that is read. `delivered`: all that were read have gone.
    - `move`: a move for the MAC array.

    Parameters
    ----------
    plan
        Dimensions of the layer.
    reload
        Clocks between loads of the same address, which is that of other lanes.
    """

    load: Signal
    read: Signal
    done: Signal
    weights: stream.Interface
    room: Any
    delivered: Signal
    move: data.View

    def __init__(self, *, plan: LayerPlan, reload: int):
        self.plan = plan
        self.reload = reload
        super().__init__(
            {
                "load": In(1),
                "read": In(1),
                "done": Out(1),
                "weights": In(stream.Signature(signed(plan.layer.wb))),
                "room": In(Credit()),
                "delivered": In(1),
                "move": Out(move(plan)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.scan = scan = WeightScan(plan=self.plan)
        m.submodules.initial = initial = LFSR(
            seed=self.plan.layer.seeds[0], width=self.plan.layer.init_bits
        )
        move, clear = self.move, self._clear(m, scan)
        # Whoever waits for `done` lies apart from what ends a move.
        ended, done = Signal(), Signal()
        m.d.sync += self.done.eq(done)
        m.d.comb += [
            move.lane.eq(scan.lane),
            move.addr.eq(scan.addr),
            move.word.eq(self.weights.p),
            scan.step.eq(move.load | move.read),
            ended.eq(scan.step & scan.last),
        ]
        with m.FSM():
            with m.State("INITIALISE"):
                m.d.comb += [
                    move.load.eq(clear),
                    move.word.eq(Mux(scan.bias, 0, odd(initial.o))),
                    initial.step.eq(clear & ~scan.bias),
                    done.eq(ended),
                ]
                with m.If(ended):
                    m.next = "IDLE"

            with m.State("IDLE"):
                with m.If(self.load):
                    m.next = "LOAD"
                with m.Elif(self.read):
                    m.next = "READ"

            with m.State("LOAD"):
                m.d.comb += [
                    self.weights.ready.eq(clear),
                    move.load.eq(clear & self.weights.valid),
                    done.eq(ended),
                ]
                with m.If(ended):
                    m.next = "IDLE"

            with m.State("READ"):
                m.d.comb += [move.read.eq(self.room.space), self.room.reserve.eq(self.room.space)]
                with m.If(ended):
                    m.next = "DELIVER"

            with m.State("DELIVER"):
                m.d.comb += done.eq(self.delivered)
                with m.If(self.delivered):
                    m.next = "IDLE"
        return m

    def _clear(self, m: Module, scan: WeightScan) -> Value:
        """Tell whether the present address has not been loaded for another lane just now."""
        pause = max(self.reload - self.plan.layer.columns, 0)
        wait = Signal(range(pause + 1))
        with m.If(self.move.load & scan.bias):
            m.d.sync += wait.eq(pause)
        with m.Elif(wait != 0):
            m.d.sync += wait.eq(wait - 1)
        return wait == 0
