# SPDX-License-Identifier: BSD-2-Clause
"""The split, the scaling, and the sets that come with scikit-learn."""

from fractions import Fraction
from math import floor

import numpy as np
import pytest
import sklearn.datasets

from golden.data import DataError, Scaling, held_out, load
from golden.data.split import split
from golden.spec import DataSpec

LABELS = np.random.default_rng(4).choice(4, 200, p=[0.5, 0.3, 0.195, 0.005])


@pytest.mark.parametrize("share", [0.01, 0.2, 0.5, 0.9])
def test_split(share):
    # As the docstring has it, a sample at a time.
    tests, left = [], {}
    for label in range(4):
        count = int((label == LABELS).sum())
        left[label] = min(count - 1, max(1, floor(share * count + 0.5))) if count > 1 else 0
    trains = []
    for place in np.random.Generator(np.random.PCG64(0)).permutation(200).tolist():
        if left[LABELS[place]] > 0:
            left[LABELS[place]] -= 1
            tests.append(place)
        else:
            trains.append(place)
    train, test = split(LABELS, share)
    assert (train.tolist(), test.tolist()) == (trains, tests)


def test_scaling_to_the_bit():
    random = np.random.default_rng(5)
    x = random.normal(size=(400, 3)) * [1, 1e-9, 1e12] + [0, 7, 0]
    scaling = Scaling.of(x[:200])
    made = scaling.apply(x)
    for row, inputs in zip(x.tolist(), made.tolist(), strict=True):
        for value, low, high, got in zip(row, scaling.low, scaling.high, inputs, strict=True):
            low, high = float(low), float(high)
            expected = floor((value - low) * 255 / (high - low) + 0.5)
            assert got == min(255, max(0, expected))
            # Beside exact arithmetic, the roundings are off by one at most.
            exact = (Fraction(value) - Fraction(low)) * 255 / (Fraction(high) - Fraction(low))
            assert abs(got - min(255, max(0, floor(exact + Fraction(1, 2))))) <= 1
    assert (made[:200].min(axis=0) == 0).all()
    assert (made[:200].max(axis=0) == 255).all()


def test_scaling_of_ties_and_the_order_of_its_operations():
    # 255 / span would be rounded, and miss some of the ties, as would another half than 1/2.
    for span in (50, 510):
        x = np.arange(span + 1.0)[:, None]
        expected = [(2 * i * 255 + span) // (2 * span) for i in range(span + 1)]
        assert Scaling.of(x).apply(x)[:, 0].tolist() == expected


def test_scaling_at_the_edges():
    scaling = Scaling.of(np.array([[0.0, 2.0], [4.0, 2.0]]))
    assert scaling.apply(np.array([[-1, 0], [5, 9], [np.inf, -np.inf]])).tolist() == [
        [0, 0], [255, 0], [255, 0],
    ]  # fmt: skip
    with pytest.raises(ValueError, match="must be numbers, not nan"):
        scaling.apply(np.array([np.nan, 1]))
    together = Scaling.of(np.array([[0.0, 2.0], [4.0, 8.0]]), together=True)
    assert (together.low.tolist(), together.high.tolist()) == ([0, 0], [8, 8])


def test_digits():
    data = load("digits")
    assert (data.train_x.shape, data.test_x.shape) == ((1437, 64), (360, 64))
    assert (data.train_x.dtype, data.train_x.max()) == (np.uint8, 240)
    assert data.labels == tuple("0123456789")


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("wine", sklearn.datasets.load_wine),
        ("breast-cancer", sklearn.datasets.load_breast_cancer),
    ],
)
def test_tables_of_scikit_learn(name, source):
    bunch = source()
    data = load(DataSpec(name, test=0.3))
    train, test = split(bunch.target, 0.3)
    scaling = Scaling.of(bunch.data[train])
    assert np.array_equal(data.test_x, scaling.apply(bunch.data[test]))
    assert np.array_equal(data.train_y, bunch.target[train])
    assert data.labels == tuple(bunch.target_names)


def test_held_out_of_samples_sorted_by_label():
    data = load("wine")
    order = np.argsort(data.train_y, kind="stable")
    held = held_out(type(data)(data.train_x[order], data.train_y[order], data.test_x, data.test_y))
    assert set(held.train_y) == set(held.test_y) == {0, 1, 2}
    assert len(held.train_x) + len(held.test_x) == len(data.train_x)


def test_a_batch_larger_than_the_data():
    with pytest.raises(DataError, match=r"^t\.toml: batch: 500 is more than the 142 samples to tr"):
        load("wine").check_batch(500, "t.toml")
