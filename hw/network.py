# SPDX-License-Identifier: BSD-2-Clause
"""The network: a chain of layers that all train at the same time, each on its own sample."""

from collections.abc import Callable
from typing import Any

from amaranth.hdl import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from golden import spec

from .layer import Layer
from .network_plan import NetworkPlan
from .ports import LayerSignature, samples
from .primitives import PORTABLE, Primitives

__all__ = ["Network"]


class Network(wiring.Component):
    """A trainer for the network of a description: samples go in, every layer learns from them.

    After reset each layer gives its weights their initial values, one a clock, and then takes
    packets. A packet of TRAIN or INFER is a sample, in beats of several pixels or as a list of
    those that are not 0 (`hw.ports.beat`), with the same header in every beat; READ and LOAD are
    one beat, whose pixels are of no matter. Packets pass through the layers in order, and each
    layer answers each of them with a record in `result`. A layer waits until its record is
    accepted.

    Where a layer's description has a `margin`, an INFER that it is sure of leaves there: the layers
    above do nothing for it but answer it with a record, `left` in its header.

    A layer carries out a packet to its end before it begins the next one with weights of its own:
    every packet sees the weights as the one before has left them. READ and LOAD go through the
    layers one after the other, the first layer first; the weights of a classifier that is trained
    may still move when the next layer has begun.

    Parameters
    ----------
    spec
        The description; batch 1.
    primitives
        Where memories and multipliers come from.
    layer
        What makes a layer: `Layer`, or what takes and looks like it.

    Raises
    ------
    PlanError
        If the hardware cannot hold the description.

    Ports
    -----
    i
        Packets.
    layer0, layer1, ...
        See `LayerSignature`.
    """

    i: stream.Interface

    def __init__(
        self,
        *,
        spec: spec.NetworkSpec,
        primitives: Primitives = PORTABLE,
        layer: Callable[..., Any] = Layer,
    ):
        self.spec = spec
        self.primitives = primitives
        self.layer = layer
        plan = NetworkPlan(spec)
        #: Dimensions of each layer.
        self.plans = plan.layers
        self._widths = plan.widths
        super().__init__(
            {
                "i": In(samples(self.plans[0], self._widths[0])),
                **{f"layer{i}": Out(LayerSignature(plan)) for i, plan in enumerate(self.plans)},
            }
        )

    def elaborate(self, platform):
        m = Module()
        source = wiring.flipped(self.i)
        for index, (plan, width) in enumerate(zip(self.plans, self._widths, strict=True)):
            layer = self.layer(plan=plan, width=width, primitives=self.primitives)
            m.submodules[f"layer{index}"] = layer
            wiring.connect(m, source, layer.i)
            wiring.connect(m, layer.port, wiring.flipped(getattr(self, f"layer{index}")))
            source = layer.o
        m.d.comb += source.ready.eq(1)
        return m
