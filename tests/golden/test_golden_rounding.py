# SPDX-License-Identifier: BSD-2-Clause
"""Stochastic rounding: what draws, and what is drawn."""

import numpy as np
import pytest
import torch

from golden import lfsr
from golden.model import IntegerNetwork
from golden.spec import parse
from tests.golden.reference import network


class Ones:
    """A stream of nothing but ones."""

    def fields(self, count, width):
        return np.full(count, 2**width - 1, np.int64)


def test_a_drawn_number_keeps_all_its_bits():
    # Of 35 bits: as float32 it would be a whole unit, and move weights whose inputs are 0.
    net = network(wb=10, fw=1, fe=16, lr=12, fy=1, sr=True)
    (layer,) = net.layers
    assert layer.spec.update_shift(12) == 35
    layer.rounding, before = Ones(), layer.W.clone()
    net.train(torch.zeros(1, 4, dtype=torch.uint8), [0])
    assert torch.equal(layer.W, before)


#: Two columns of four are 0 in both samples, one in the first only; with the bias, three draw.
SPARSE = [[0, 99, 0, 0], [0, 255, 0, 1]]


@pytest.mark.parametrize(
    ("weight", "labels", "rule", "columns"),
    [
        # Both classes right by far: no error. The other label: errors, and local errors.
        (500, [0, 0], "sym", 0),
        (500, [0, 1], "sym", 3),
        # Errors, but no neuron is active, so all local errors are 0.
        (-500, [0, 0], "sym", 3),
        (500, [0, 1], "frozen", 0),
    ],
)
def test_what_draws_for_rounding(weight, labels, rule, columns):
    layer = {"neurons": 2, "wb": 10, "fw": 9, "sr": True, "rule": rule}
    net = IntegerNetwork(parse({"inputs": 4, "classes": 2, "batch": 2, "layer": [layer]}, "x"))
    (model,) = net.layers
    model.W.fill_(weight)
    model.Mc.copy_(torch.tensor([[3.0, -3.0]]))
    k = model.spec.update_shift(6)
    expected = lfsr.Stream(model.rounding.state)
    expected.fields(columns, k)
    (step,) = net.train(torch.tensor(SPARSE, dtype=torch.uint8), labels)
    assert step.e is not None
    assert bool(step.e.any()) == (columns > 0 or rule == "frozen")
    assert model.rounding.state == expected.state


def test_a_field_goes_to_the_column_that_drew_it():
    net = network(wb=10, fw=9, sr=True)
    (layer,) = net.layers
    k, seed = layer.spec.update_shift(6), layer.spec.seeds[4]
    # The third column, then the bias.
    drawn, before = lfsr.fields(seed, 2, k).tolist(), layer.W.long().tolist()
    (step,) = net.train(torch.tensor([[0, 0, 255, 0]], dtype=torch.uint8), [0])
    assert step.g is not None
    assert step.g.any()
    for n, g in enumerate(step.g[0].tolist()):
        moved = [0, 0, (drawn[0] + g * 255) >> k, 0, (drawn[1] + g * 128) >> k]
        expected = [a - b for a, b in zip(before[n], moved, strict=True)]
        assert layer.W[n].tolist() == expected
