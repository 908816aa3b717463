# SPDX-License-Identifier: BSD-2-Clause
"""The order of the samples: check values, and that every epoch is a permutation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from golden.order import base, order, pieces, stride


@pytest.mark.parametrize(
    ("seed", "epoch", "begin", "expected"),
    [
        (1, 0, (6, 7), [5, 0, 8, 9, 1, 4, 6, 2, 7, 3]),
        (1, 1, (0, 7), [8, 9, 1, 4, 6, 2, 7, 3, 5, 0]),
        (2, 0, (4, 3), [9, 4, 2, 6, 3, 1, 7, 5, 8, 0]),
    ],
)
def test_ten(seed, epoch, begin, expected):
    assert stride(seed, epoch, 10) == begin
    assert order(seed, epoch, 10).tolist() == expected


def test_as_many_as_mnist():
    assert stride(1, 0, 60000) == (986, 20057)
    seen = order(1, 0, 60000)
    assert seen[:4].tolist() == [54217, 31613, 49749, 6367]
    assert seen.dtype == np.int64


@given(st.integers(0, 2**53), st.integers(0, 99999), st.integers(1, 3000))
def test_every_epoch_is_a_permutation(seed, epoch, n):
    assert sorted(order(seed, epoch, n).tolist()) == list(range(n))


@given(st.integers(0, 2**53), st.integers(0, 99999), st.integers(2, 500))
def test_a_board_walks_it_with_one_addition_a_sample(seed, epoch, n):
    held, (place, step) = base(seed, n).tolist(), stride(seed, epoch, n)
    for sample in order(seed, epoch, n).tolist():
        assert held[place] == sample
        place = place + step if place + step < n else place + step - n


def test_seeds_and_epochs_share_nothing():
    seen = {tuple(order(seed, epoch, 100)) for seed in range(5) for epoch in range(5)}
    assert len(seen) == 25


def test_the_permutation_that_is_kept_cannot_be_changed():
    with pytest.raises(ValueError, match="read-only"):
        base(1, 10)[0] = 3
    order(1, 0, 10)[0] = 77
    assert order(1, 0, 10)[0] == 5


def test_no_samples():
    with pytest.raises(ValueError, match="n must be at least 1, not 0"):
        order(1, 0, 0)


@given(st.integers(1, 20), st.integers(0, 50), st.integers(0, 50))
def test_pieces_follow_each_other(n, start, count):
    whole = [(epoch, k) for epoch in range(100) for k in order(3, epoch, n).tolist()]
    parts = pieces(3, n, start, start + count)
    assert [(epoch, k) for epoch, seen in parts for k in seen] == whole[start : start + count]
