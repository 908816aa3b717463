# SPDX-License-Identifier: BSD-2-Clause
"""Small networks and data for the tests of whole runs."""

import numpy as np

from golden import spec
from golden.data import Data
from golden.layer_spec import TRAINED_BITS
from golden.weights import Weights


def describe(*layers, inputs, classes=10, **settings):
    """Describe a network of `layers`, each a dictionary of what its table holds."""
    table = {
        "name": "tiny",
        "inputs": inputs,
        "classes": classes,
        "seed": 1,
        "batch": 1,
        "epochs": 2,
        "lr_step": 1,
        **settings,
        "layer": [{"rule": "sym", "lanes": 8, **layer} for layer in layers],
    }
    return spec.parse(table, "tiny.toml")


def tiny(**settings):
    """Describe two layers, neither with as many neurons as its groups have lanes."""
    return describe(
        {"neurons": 7, "lanes": 3}, {"neurons": 5, "lanes": 2}, inputs=6, classes=3, **settings
    )


def noise(network, count, seed=0):
    """Make random samples (count, M), some pixels 0 and some 255, with labels."""
    random = np.random.default_rng(seed)
    x = random.integers(0, 256, (count, network.inputs), np.uint8)
    kind = random.random(x.shape)
    x[kind < 0.3] = 0
    x[kind > 0.9] = 255
    return x, random.integers(0, network.classes, count)


def any_weights(network, seed):
    """Make weights of a network, of any value, the lowest and the highest among them."""
    random = np.random.default_rng(seed)

    def matrix(bits, *shape):
        limit = 1 << bits - 1
        values = random.integers(-limit, limit, shape)
        values.flat[:2] = -limit, limit - 1
        return values

    return Weights(
        W=tuple(matrix(p.wb, p.neurons, p.columns) for p in network.layers),
        V=tuple(
            matrix(TRAINED_BITS, p.neurons, p.classes) if p.rule == "tlc" else None
            for p in network.layers
        ),
    )


def same(a, b):
    """Tell whether weights are equal."""
    return all(np.array_equal(x, y) for x, y in zip([*a.W, *a.V], [*b.W, *b.V], strict=True))


def data(network, train=10, test=5):
    """Make a data set of noise."""
    x, labels = noise(network, train + test)
    return Data(x[:train], labels[:train], x[train:], labels[train:])
