# SPDX-License-Identifier: BSD-2-Clause
"""The count of events, against one that looks at every weight."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from golden import spec
from golden.events import COUNTS, count, count_layer
from golden.model import IntegerNetwork


def network(*layers, inputs, classes=3):
    return spec.parse({"inputs": inputs, "classes": classes, "layer": list(layers)}, "x.toml")


def one_by_one(layer, x, e, g):
    """Count a sample weight by weight; `e` and `g` are None at inference."""
    counts = dict.fromkeys(COUNTS, 0)
    columns = [j for j, value in enumerate(x) if value] + [layer.inputs]
    counts["columns_skipped"] = sum(value == 0 for value in x)
    updates = e is not None and layer.rule != "frozen" and any(value != 0 for value in e)
    counts["updates_skipped"] = int(e is not None and not updates)
    for first in range(0, layer.neurons, layer.lanes):
        group = range(first, min(first + layer.lanes, layer.neurons))
        learns = updates and any(g[n] != 0 for n in group)
        counts["groups_skipped"] += int(updates and not learns)
        for _ in columns:
            counts["forward"] += 1
            counts["update"] += int(learns)
            for _ in group:
                counts["weight_reads"] += 1 + int(learns)
                counts["weight_writes"] += int(learns)
    return counts


SMALL = st.integers(-1, 1)


@st.composite
def samples(draw):
    """A layer, and numbers of some samples, many of them 0."""
    inputs, neurons, classes = draw(st.tuples(*[st.integers(1, 9)] * 2, st.integers(2, 4)))
    rule = draw(st.sampled_from(["sym", "frozen"]))
    table = {"neurons": neurons, "lanes": draw(st.integers(1, 11)), "rule": rule}
    (layer,) = network(table, inputs=inputs, classes=classes).layers
    rows = draw(st.integers(1, 4))
    x = [draw(st.lists(st.integers(0, 2), min_size=inputs, max_size=inputs)) for _ in range(rows)]
    e = [draw(st.lists(SMALL, min_size=classes, max_size=classes)) for _ in range(rows)]
    g = [
        draw(st.lists(SMALL, min_size=neurons, max_size=neurons)) if any(errors) else [0] * neurons
        for errors in e
    ]
    return layer, x, e, g


@given(samples())
def test_against_every_weight(case):
    layer, x, e, g = case
    counted = count_layer(layer, np.array(x), np.array(e), np.array(g))
    assert tuple(counted) == COUNTS
    for k in range(len(x)):
        expected = one_by_one(layer, x[k], e[k], g[k])
        assert {name: int(values[k]) for name, values in counted.items()} == expected
    inferred = count_layer(layer, np.array(x))
    for k in range(len(x)):
        expected = one_by_one(layer, x[k], None, None)
        assert {name: int(values[k]) for name, values in inferred.items()} == expected


def test_by_hand():
    # Seven neurons on three lanes: groups of 3, 3 and 1. Two inputs of five, and the bias.
    (layer,) = network({"neurons": 7, "lanes": 3}, inputs=5).layers
    x, e, g = [[0, 9, 0, 0, 255]], [[0, -1, 0]], [[0, 0, 0, 0, 4, 0, -1]]
    counted = {name: int(values[0]) for name, values in count_layer(layer, x, e, g).items()}
    assert counted == {
        "forward": 9,
        "update": 6,
        "columns_skipped": 3,
        "updates_skipped": 0,
        "groups_skipped": 1,
        "weight_reads": 3 * 7 + 3 * 4,
        "weight_writes": 3 * 4,
    }


@pytest.mark.parametrize("train", [True, False])
def test_network(train):
    """A layer's inputs are what the layer below made."""
    spec_ = network({"neurons": 6, "lanes": 4}, {"neurons": 5, "lanes": 2}, inputs=8)
    golden = IntegerNetwork(spec_)
    x = np.random.default_rng(1).integers(0, 256, (1, 8), np.uint8)
    steps = golden.train(x, [2]) if train else golden.infer(x)
    for layer, values, step, counted in zip(
        spec_.layers, (x[0], steps[0].y[0].tolist()), steps, count(spec_, x, steps), strict=True
    ):
        e, g = (step.e[0].tolist(), step.g[0].tolist()) if train else (None, None)
        expected = one_by_one(layer, values, e, g)
        assert {name: int(value[0]) for name, value in counted.items()} == expected
