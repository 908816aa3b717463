# SPDX-License-Identifier: BSD-2-Clause
"""A layer among streams that stop and go at random."""

from collections.abc import Mapping
from typing import Any

from amaranth.hdl import Module
from amaranth.lib import stream, wiring

from golden.layer_spec import splitmix64
from hw.layer import Layer
from hw.plan import LayerPlan
from hw.primitives import Primitives

from .sparse_beats import SparseBeats
from .staller import Staller

__all__ = ["STREAMS", "StalledLayer"]

#: Streams of a layer that can be stalled. What leaves one layer enters the next.
STREAMS = ("i", "result", "weights_in", "weights_out")


class StalledLayer(wiring.Component):
    """A `hw.layer.Layer` with a staller in each of its streams.

    Parameters
    ----------
    plan, width, primitives
        As for `Layer`.
    rates
        The rate of the staller in each of `STREAMS`.
    seed
        Of all stallers.
    sparse
        Whether samples come to the first layer as lists: see `SparseBeats`.
    """

    i: stream.Interface
    o: stream.Interface
    port: Any

    def __init__(
        self,
        *,
        plan: LayerPlan,
        width: int,
        primitives: Primitives,
        rates: Mapping[str, int],
        seed: int,
        sparse: bool,
    ):
        self.layer = Layer(plan=plan, width=width, primitives=primitives)
        self.rates = dict(rates)
        self.seed = seed
        self.sparse = sparse
        super().__init__(self.layer.signature)

    def elaborate(self, platform):
        m = Module()
        m.submodules.layer = layer = self.layer
        outer, inner = wiring.flipped(self.port), layer.port
        source = wiring.flipped(self.i)
        if self.sparse and layer.plan.layer.index == 0:
            m.submodules.sparse = sparse = SparseBeats(layer.plan, layer.width)
            wiring.connect(m, source, sparse.i)
            source = sparse.o
        ends = {
            "i": (source, layer.i),
            "result": (inner.result, outer.result),
            "weights_in": (outer.weights_in, inner.weights_in),
            "weights_out": (inner.weights_out, outer.weights_out),
        }
        for k, name in enumerate(STREAMS):
            start, end = ends[name]
            seed = splitmix64(self.seed * 1024 + layer.plan.layer.index * 16 + k) or 1
            staller = Staller(start.payload.shape(), rate=self.rates[name], seed=seed)
            m.submodules[f"staller_{name}"] = staller
            wiring.connect(m, start, staller.i)
            wiring.connect(m, staller.o, end)
        wiring.connect(m, layer.o, wiring.flipped(self.o))
        wiring.connect(m, inner.monitor, outer.monitor)
        if layer.plan.layer.margin is not None:
            m.d.comb += inner.threshold.eq(outer.threshold)
        m.d.comb += [
            inner.lr.eq(outer.lr),
            inner.rule.eq(outer.rule),
            outer.counters.eq(inner.counters),
        ]
        return m
