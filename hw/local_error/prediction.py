# SPDX-License-Identifier: BSD-2-Clause
"""The prediction: the class with the largest score, and a record of every packet."""

from amaranth.hdl import Array, Module, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..plan import LayerPlan
from ..ports import header, result

__all__ = ["Prediction"]


class Prediction(wiring.Component):
    """Searches the scores of a sample for the largest, one class a clock; the lowest class wins.

    - `ready`: a sample may come.
    - `i_valid`, `s`, `header`: its scores, which must stay until `ready` rises again, and header.
    - `command`: a packet that is no sample, for the record.
    - `result`: records, in order.

    Parameters
    ----------
    plan
        Dimensions of the layer.
    """

    ready: Signal
    i_valid: Signal
    s: data.View
    header: data.View
    command: stream.Interface
    result: stream.Interface

    def __init__(self, *, plan: LayerPlan):
        self.plan = plan
        classes = plan.layer.classes
        super().__init__({
            "ready": Out(1),
            "i_valid": In(1),
            "s": In(data.ArrayLayout(signed(plan.s_width), classes)),
            "header": In(header(classes)),
            "command": In(stream.Signature(header(classes))),
            "result": Out(stream.Signature(result(classes))),
        })

    def elaborate(self, platform):
        m = Module()
        classes = self.plan.layer.classes
        record = self.result.payload
        # The class that is fetched, then the one that is compared.
        fetched, compared = Signal(range(classes)), Signal(range(classes))
        score, best = (Signal(signed(self.plan.s_width), name=name) for name in ("score", "best"))
        m.d.sync += [
            compared.eq(fetched),
            score.eq(Array(self.s[c] for c in range(classes))[fetched]),
        ]
        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += [self.ready.eq(1), self.command.ready.eq(~self.i_valid)]
                m.d.sync += [record.prediction.eq(0), record.correct.eq(0)]
                with m.If(self.i_valid):
                    m.d.sync += [record.header.eq(self.header), fetched.eq(0)]
                    m.next = "FETCH"
                with m.Elif(self.command.valid):
                    m.d.sync += record.header.eq(self.command.payload)
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
                with m.If(compared == classes - 1):
                    m.next = "RECORD"
                with m.Elif(fetched != classes - 1):
                    m.d.sync += fetched.eq(fetched + 1)

            with m.State("RECORD"):
                m.d.comb += self.result.valid.eq(1)
                with m.If(self.result.ready):
                    m.next = "IDLE"
        return m
