# SPDX-License-Identifier: BSD-2-Clause
"""The event lists: the inputs of the samples that have arrived, and what is made of them."""

from amaranth.hdl import Array, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..parts.pipeline import delayed
from ..plan import LayerPlan
from ..ports import Valid, ValidInterface
from ..primitives import Primitives
from .events import entry, event, step

__all__ = ["EventLists", "latency"]


def latency(primitives: Primitives) -> int:
    """Count the clocks from a step to its event."""
    return primitives.memory.delay + 1


class EventLists(wiring.Component):
    """Keeps lists in the order of their arrival, and leads through the oldest again and again.

    - `entry`: of the list that arrives; `ended` comes with its last.
    - `step`: what is done with the present entry of the oldest list. With `forward`, `update` or
      `draw` the next becomes the present one, after the last the first again.
    - `last`: the present entry is the list's last.
    - `event`: the step with its entry, `latency` clocks later.
    - `release`: the next list becomes the oldest; the step in this clock is the last one's.
      `skipped` then counts the columns that are not in it.

    Parameters
    ----------
    plan
        Dimensions of the layer.
    primitives
        Where memories come from.
    """

    entry: ValidInterface
    ended: Signal
    step: data.View
    last: Signal
    release: Signal
    skipped: Signal
    event: data.View

    def __init__(self, *, plan: LayerPlan, primitives: Primitives):
        self.plan = plan
        self.primitives = primitives
        super().__init__(
            {
                "entry": In(Valid(entry(plan))),
                "ended": In(1),
                "step": In(step(plan)),
                "last": Out(1),
                "release": In(1),
                "skipped": Out(range(plan.layer.columns)),
                "event": Out(event(plan)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        columns, lists = self.plan.layer.columns, self.plan.lists
        word = self.entry.p.shape().size
        m.submodules.memory = memory = self.primitives.memory(width=word, depth=lists * columns)
        arriving, oldest = self._bank(m, self.ended), self._bank(m, self.release)
        written, read = Signal(range(columns)), Signal(range(columns))
        lasts = Array(Signal(range(columns), name=f"last{k}") for k in range(lists))
        # What ends a list is known when its reading gets there, but for one of a single entry,
        # which may just have come.
        single = Array(Signal(name=f"single{k}") for k in range(lists))
        begins, ends = Signal(init=1), Signal()
        bases = Array(range(0, lists * columns, columns))

        m.d.comb += [
            memory.write_addr.eq(bases[arriving] + written),
            memory.write_data.eq(self.entry.p),
            memory.write_enable.eq(self.entry.valid),
        ]
        with m.If(self.entry.valid):
            m.d.sync += written.eq(Mux(self.ended, 0, written + 1))
        with m.If(self.ended):
            m.d.sync += [lasts[arriving].eq(written), single[arriving].eq(written == 0)]

        m.d.comb += [
            self.last.eq(Mux(begins, single[oldest], ends)),
            memory.read_addr.eq(bases[oldest] + read),
        ]
        with m.If(self.release):
            m.d.comb += self.skipped.eq(columns - 1 - lasts[oldest])
        with m.If(self.step.forward | self.step.update | self.step.draw):
            m.d.sync += [
                read.eq(Mux(self.last, 0, read + 1)),
                begins.eq(self.last),
                ends.eq(read + 1 == lasts[oldest]),
            ]

        found = data.View(self.entry.p.shape(), memory.read_data)
        do = delayed(m, self.step, memory.delay)
        for name in self.step.shape().members:
            if name != "base":
                m.d.sync += self.event[name].eq(do[name])
        m.d.sync += [self.event.x.eq(found.x), self.event.addr.eq(do.base + found.column)]
        return m

    def _bank(self, m: Module, following: Signal) -> Signal:
        """Count through the banks, one further with `following`."""
        lists = self.plan.lists
        bank = Signal(range(lists))
        with m.If(following):
            m.d.sync += bank.eq(Mux(bank == lists - 1, 0, bank + 1))
        return bank
