# SPDX-License-Identifier: BSD-2-Clause
"""A set of four inputs is learnt with the default formats."""

import numpy as np
import pytest
from sklearn.datasets import load_iris

from golden.data import Data
from golden.model import IntegerNetwork
from golden.order import base
from golden.spec import parse
from golden.training import accuracy, epochs


def iris():
    """Give 100 flowers to train on and 50 to test on, each feature from 0 to 255."""
    x, y = load_iris(return_X_y=True)
    seen = base(0, len(x))
    x = np.rint(255 * (x - x.min(axis=0)) / np.ptp(x, axis=0)).astype(np.uint8)[seen]
    y = y[seen].astype(np.int64)
    return Data(x[:100], y[:100], x[100:], y[100:])


def learnt(seed, **formats):
    """Train two layers; give the test accuracy of the upper one."""
    layer = {"neurons": 16} | formats
    table = {"inputs": 4, "classes": 3, "seed": seed, "epochs": 60, "lr_step": 20}
    network = IntegerNetwork(parse(table | {"layer": [layer, layer]}, "iris"))
    data = iris()
    for _, steps in epochs(network, data):
        for _ in steps:
            pass
    return accuracy(network, data.test_x, data.test_y)[-1]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_defaults_learn(seed):
    assert learnt(seed) >= 0.9


def test_weights_that_must_stay_below_a_half_do_not():
    assert learnt(1, fw=12) < 0.7
