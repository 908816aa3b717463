# SPDX-License-Identifier: BSD-2-Clause
"""The comparison: which difference is first, and how it is said."""

import copy

import numpy as np
import pytest

from sim.check import Mismatch, first_difference


@pytest.fixture
def samples():
    """Three samples of two layers."""
    return [
        {"y": np.arange(12).reshape(3, 4), "s": np.arange(6).reshape(3, 2), "p": np.arange(3)},
        {"y": np.arange(9).reshape(3, 3), "s": np.arange(6).reshape(3, 2), "p": np.arange(3)},
    ]


def changed(samples, *places):
    samples = copy.deepcopy(samples)
    for layer, name, place in places:
        samples[layer][name][place] += 100
    return samples


def test_equal(samples):
    assert first_difference(samples, copy.deepcopy(samples)) is None


def test_what_only_the_hardware_has_is_ignored(samples):
    got = [{**layer, "counters.gap": np.zeros(3)} for layer in samples]
    assert first_difference(samples, got) is None


@pytest.mark.parametrize(
    ("places", "first"),
    [
        ([(1, "y", (2, 1))], (2, 1, "y", (1,), 7, 107, 1)),
        ([(0, "p", 1)], (1, 0, "p", (), 1, 101, 1)),
        # The earliest sample, although of a higher layer.
        ([(1, "s", (0, 1)), (0, "y", (1, 0))], (0, 1, "s", (1,), 1, 101, 1)),
        # In it the lowest layer, then the first quantity, then the lowest index.
        (
            [(1, "y", (1, 0)), (0, "s", (1, 0)), (0, "y", (1, 3)), (0, "y", (1, 2))],
            (1, 0, "y", (2,), 6, 106, 4),
        ),
    ],
)
def test_first_difference(samples, places, first):
    names = ("sample", "layer", "quantity", "index", "expected", "got", "count")
    difference = first_difference(samples, changed(samples, *places))
    assert difference == dict(zip(names, first, strict=True))


def test_wording():
    mismatch = Mismatch("training", 17, 1, "y", (3,), 12, 13, 2)
    assert str(mismatch) == (
        "first mismatch, training: layer 1, sample 17, y[3]: expected 12, got 13 "
        "(values that differ there: 2)"
    )
    mismatch = Mismatch("weights", 1000, 0, "W", (3, 5), -7, 7, 1)
    assert str(mismatch) == (
        "first mismatch, weights: layer 0, after sample 1000, W[3, 5]: expected -7, got 7 "
        "(values that differ there: 1)"
    )
    mismatch = Mismatch("counters", 10, 1, "weight_reads", (), 700, 707, 2)
    assert str(mismatch) == (
        "first mismatch, counters: layer 1, after sample 10, weight_reads: expected 700, got 707 "
        "(values that differ there: 2)"
    )
    mismatch = Mismatch("inference", 0, 2, "prediction", (), 1, 9, 1)
    assert "layer 2, sample 0, prediction: expected 1, got 9" in str(mismatch)
