# SPDX-License-Identifier: BSD-2-Clause
"""A test set for data that has none."""

import numpy as np

__all__ = ["split"]


def split(labels: np.ndarray, share: float) -> tuple[np.ndarray, np.ndarray]:
    """Choose the samples to train on and those to test on: two arrays of their places, int64.

    The samples are taken in the order of `numpy.random.Generator(numpy.random.PCG64(0))
    .permutation(n)`. Of each class with `count` samples, the first floor(share * count + 0.5) go to
    the test set: at least one and at most count - 1, so that both sets have the class. The only
    sample of a class goes to the training set. Both sets keep that order.

    >>> train, test = split(np.array([0, 0, 0, 0, 1, 1, 2]), 0.25)
    >>> train.tolist(), test.tolist()
    ([3, 6, 5, 0, 1], [2, 4])
    """
    permutation = np.random.Generator(np.random.PCG64(0)).permutation(len(labels))
    seen = labels[permutation]
    tested = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        places = np.flatnonzero(seen == label)
        count = int(np.floor(share * len(places) + 0.5))
        tested[places[: max(min(1, len(places) - 1), min(count, len(places) - 1))]] = True
    return permutation[~tested], permutation[tested]
