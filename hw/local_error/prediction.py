# SPDX-License-Identifier: BSD-2-Clause
"""The prediction: the class with the largest score, and a record of every packet."""

from typing import Any

from amaranth.hdl import Array, Module, Signal, Value, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..plan import LayerPlan
from ..ports import Command, Credit, Valid, ValidInterface, margin, packets, result, scores

__all__ = ["Prediction", "latency"]


def latency(plan: LayerPlan) -> int:
    """Count the clocks from the scores to the record: to fetch one, and to compare each.

    A margin takes one more.
    """
    return 2 + plan.layer.classes + (plan.layer.margin is not None)


class Prediction(wiring.Component):
    """Searches the scores of a sample for the largest, one class a clock; the lowest class wins.

    - `room`: for the scores of a sample.
    - `scores`: for which room was reserved; their payload stays until there is room again.
    - `packet`: one that is no sample, for the record. It comes when no scores are on their way.
    - `result`: records, in order.
    - `margin`: of each sample that is inferred, as its record is shown first; only of a layer that
      samples leave.

    Parameters
    ----------
    plan
        Dimensions of the layer.
    """

    room: Any
    scores: ValidInterface
    packet: stream.Interface
    result: stream.Interface
    margin: ValidInterface

    def __init__(self, *, plan: LayerPlan):
        self.plan = plan
        leave = {} if plan.layer.margin is None else {"margin": Out(margin(plan))}
        super().__init__(
            {
                **leave,
                "room": Out(Credit()),
                "scores": In(Valid(scores(plan))),
                "packet": In(packets(plan)),
                "result": Out(stream.Signature(result(plan))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        classes = self.plan.layer.classes
        record = self.result.payload
        s = self.scores.p.s
        # The class that is fetched, then the one that is compared.
        fetched, compared = Signal(range(classes)), Signal(range(classes))
        score, best, second = (
            Signal(signed(self.plan.s_width), name=name) for name in ("score", "best", "second")
        )
        m.d.sync += [
            compared.eq(fetched),
            score.eq(Array(s[c] for c in range(classes))[fetched]),
        ]
        reserved = Signal()
        with m.If(self.room.reserve):
            m.d.sync += reserved.eq(1)
        with m.Elif(self.scores.valid):
            m.d.sync += reserved.eq(0)
        leave, inferred = self.plan.layer.margin is not None, Signal()
        if leave:
            m.d.comb += [
                inferred.eq(record.header.command == Command.INFER),
                self.margin.p.eq(record.margin),
            ]
            m.d.sync += self.margin.valid.eq(0)
        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += [
                    self.room.space.eq(~reserved & ~self.scores.valid),
                    self.packet.ready.eq(~self.scores.valid),
                ]
                m.d.sync += [record.prediction.eq(0), record.correct.eq(0)]
                if leave:
                    m.d.sync += record.margin.eq(0)
                with m.If(self.scores.valid):
                    m.d.sync += [record.header.eq(self.scores.p.header), fetched.eq(0)]
                    m.next = "FETCH"
                with m.Elif(self.packet.valid):
                    m.d.sync += record.header.eq(self.packet.p)
                    m.next = "RECORD"

            with m.State("FETCH"):
                m.d.sync += fetched.eq(1 % classes)
                m.next = "SEARCH"

            with m.State("SEARCH"):
                with m.If((compared == 0) | (score > best)):
                    m.d.sync += [
                        best.eq(score),
                        record.prediction.eq(compared),
                        record.correct.eq(compared == record.header.label),
                    ]
                if leave:
                    self._search_second(m, score, best, second, compared == 0)
                with m.If(compared == classes - 1):
                    m.next = "MARGIN" if leave else "RECORD"
                with m.Elif(fetched != classes - 1):
                    m.d.sync += fetched.eq(fetched + 1)

            if leave:
                with m.State("MARGIN"):
                    m.d.sync += [record.margin.eq(best - second), self.margin.valid.eq(inferred)]
                    m.next = "RECORD"

            with m.State("RECORD"):
                m.d.comb += self.result.valid.eq(1)
                with m.If(self.result.ready):
                    m.next = "IDLE"
        return m

    def _search_second(self, m: Module, score: Signal, best: Signal, second: Signal, first: Value):
        """Keep the larger of two scores that are not the best: one that was, or the new one."""
        with m.If(first):
            m.d.sync += second.eq(-1 << self.plan.s_width - 1)
        with m.Elif(score > best):
            m.d.sync += second.eq(best)
        with m.Elif(score > second):
            m.d.sync += second.eq(score)
