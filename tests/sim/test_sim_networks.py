# SPDX-License-Identifier: BSD-2-Clause
"""Whole networks of odd sizes and all rules, bit for bit beside the golden model."""

import numpy as np
import pytest

from golden.model import IntegerNetwork
from hw.ports import Command
from sim.check import Pair
from sim.rtl import Rtl
from tests.sim.networks import any_weights, describe, noise


def layer(neurons, lanes, rule="sym", **formats):
    return {"neurons": neurons, "lanes": lanes, "rule": rule, **formats}


NETWORKS = {
    "one input, two classes": describe(layer(3, 2), inputs=1, classes=2),
    "one neuron": describe(layer(1, 1), inputs=3),
    "more lanes than neurons": describe(layer(3, 8), inputs=5, classes=10),
    "26 classes, no whole groups": describe(
        layer(11, 4, "scfb"), layer(7, 5), inputs=9, classes=26
    ),
    "one neuron between layers": describe(
        layer(8, 8, "random"), layer(1, 1, "sym"), layer(6, 4, "scfb"), inputs=4, classes=3
    ),
    "groups shorter than their drain": describe(layer(40, 20), layer(33, 16), inputs=2, classes=5),
    "deep, upper layers slower": describe(
        *(layer(4, 4, "sym"), layer(9, 3, "scfb"), layer(13, 2, "frozen"), layer(10, 1, "random")),
        inputs=10,
        classes=4,
    ),
    "deep, lower layers slower": describe(
        *(layer(16, 1, "frozen"), layer(8, 2, "random"), layer(5, 5, "scfb"), layer(2, 2, "sym")),
        inputs=16,
        classes=4,
    ),
    "narrow formats": describe(
        layer(6, 3, mb=1, wb=8, fw=8, fe=4, lr=4), layer(6, 2, fy=6, mb=1), inputs=7, classes=10
    ),
    "classifiers that are trained": describe(
        layer(20, 20, "tlc", v_lanes=4, lrv=7),
        layer(40, 40, "tlc", v_lanes=25, mb=4, ms=5, lrv=3),
        layer(9, 2, "tlc", v_lanes=1, fe=5, fy=0, lrv=0),
        inputs=6,
        classes=12,
    ),
    "wide formats": describe(layer(6, 3, mb=3, wb=16, fw=14, fe=9, lr=7), inputs=7, classes=4),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_network(name, tmp_path):
    spec = NETWORKS[name]
    random = np.random.default_rng(1)
    with Rtl(spec, folder=tmp_path, quick=True) as rtl:
        golden = IntegerNetwork(spec)
        pair = Pair(rtl, golden)
        pair.weights()

        # Training and inference in any order.
        choices = [Command.TRAIN, Command.TRAIN, Command.INFER]
        commands = list(random.permutation(choices * 12))
        x, labels = noise(spec, len(commands))
        for _ in pair.run(commands, labels, x):
            pass
        pair.weights()

        # The learning rate of a later epoch.
        for _ in pair.train(*noise(spec, 20, seed=2), epoch=1):
            pass
        pair.weights()

        # A checkpoint whose weights lie anywhere, the limits included.
        checkpoint = any_weights(spec, 5)
        pair.load(checkpoint)
        pair.weights()
        for _ in pair.train(*noise(spec, 20, seed=3), epoch=0):
            pass
        for _ in pair.infer(*noise(spec, 5, seed=4)):
            pass
        weights = pair.weights()

    for described, now, then in zip(spec.layers, weights.W, checkpoint.W, strict=True):
        assert np.array_equal(now, then) == (described.rule == "frozen")
    for now, then in zip(weights.V, checkpoint.V, strict=True):
        assert now is None or not np.array_equal(now, then)
    assert pair.trained == 24 + 40
    assert pair.inferred == 12 + 5
