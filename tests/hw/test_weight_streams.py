# SPDX-License-Identifier: BSD-2-Clause
"""The weights of a layer that trains its classifier: each to its place, and back in order."""

import random

import pytest

from hw.weight_streams import WeightStreams
from tests.hw.bench import plan, simulate, sink, source


@pytest.mark.parametrize("wb", [12, 18])
@pytest.mark.parametrize(("neurons", "inputs", "classes"), [(1, 1, 2), (3, 2, 7), (5, 6, 2)])
def test_both_ways(neurons, inputs, classes, wb):
    rng = random.Random(wb)
    p = plan(neurons=neurons, inputs=inputs, classes=classes, wb=wb, rule="tlc")
    dut = WeightStreams(plan=p)
    assert len(dut.weights_in.p) == max(wb, 16)
    W, V = (
        [[rng.randrange(-1 << bits - 1, 1 << bits - 1) for _ in range(count)] for _ in range(2)]
        for bits, count in ((wb, p.layer.weights), (16, neurons * classes))
    )
    order = [*W[0], *V[0], *W[1], *V[1]]
    weights, classifier, out = [], [], []
    simulate(
        dut,
        source(dut.weights_in, order, pauses=0.3),
        sink(dut.engine_in, weights, 2 * len(W[0]), pauses=0.3, seed=1),
        sink(dut.classifier_in, classifier, 2 * len(V[0]), pauses=0.3, seed=2),
    )
    assert (weights, classifier) == (W[0] + W[1], V[0] + V[1])

    dut = WeightStreams(plan=p)

    async def give(ctx):
        await source(dut.engine_out, W[0], pauses=0.3)(ctx)
        await source(dut.classifier_out, V[0], pauses=0.3)(ctx)

    simulate(dut, give, sink(dut.weights_out, out, p.weights, pauses=0.3, seed=3))
    assert out == W[0] + V[0]
