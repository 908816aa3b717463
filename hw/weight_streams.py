# SPDX-License-Identifier: BSD-2-Clause
"""The streams of a layer's weights, shared by the engine and a classifier that is trained."""

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from golden.layer_spec import TRAINED_BITS

from .parts.register_slice import RegisterSlice
from .plan import LayerPlan

__all__ = ["WeightStreams"]


class WeightStreams(wiring.Component):
    """Leads weights that come to the engine, and those behind them to the classifier; and back.

    - `weights_in`, `weights_out`: see `hw.ports.LayerSignature`.
    - `engine_in`, `engine_out`: N (M + 1) weights.
    - `classifier_in`, `classifier_out`: the N C weights of the classifier. They go out only when
      all weights of the engine have.

    Parameters
    ----------
    plan
        Dimensions of the layer.
    """

    weights_in: stream.Interface
    weights_out: stream.Interface
    engine_in: stream.Interface
    engine_out: stream.Interface
    classifier_in: stream.Interface
    classifier_out: stream.Interface

    def __init__(self, *, plan: LayerPlan):
        self.plan = plan
        weights, engine, classifier = (
            stream.Signature(signed(width))
            for width in (plan.word_width, plan.layer.wb, TRAINED_BITS)
        )
        super().__init__(
            {
                "weights_in": In(weights),
                "weights_out": Out(weights),
                "engine_in": Out(engine),
                "engine_out": In(engine),
                "classifier_in": Out(classifier),
                "classifier_out": In(classifier),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.arrival = arrival = RegisterSlice(self.weights_in.p.shape())
        wiring.connect(m, wiring.flipped(self.weights_in), arrival.i)
        first, then, source = self.engine_in, self.classifier_in, arrival.o
        # Weights left of the present part, and which part that is.
        counts = self.plan.layer.weights, self.plan.classifier_weights
        left, part = Signal(range(max(counts)), init=counts[0] - 1), Signal()
        m.d.comb += [
            first.p.eq(source.p),
            then.p.eq(source.p),
            first.valid.eq(source.valid & ~part),
            then.valid.eq(source.valid & part),
            source.ready.eq(Mux(part, then.ready, first.ready)),
        ]
        with m.If(source.valid & source.ready):
            m.d.sync += left.eq(left - 1)
            with m.If(left == 0):
                m.d.sync += [part.eq(~part), left.eq(Mux(part, counts[0] - 1, counts[1] - 1))]

        # Never both at once.
        out, late = self.weights_out, self.classifier_out
        m.d.comb += [
            out.p.eq(Mux(late.valid, late.p, self.engine_out.p)),
            out.valid.eq(late.valid | self.engine_out.valid),
            late.ready.eq(out.ready),
            self.engine_out.ready.eq(out.ready),
        ]
        return m
