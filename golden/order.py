# SPDX-License-Identifier: BSD-2-Clause
"""The order in which the samples are seen (contract, "Data order")."""

from collections.abc import Iterator
from functools import lru_cache
from math import gcd

import numpy as np

from golden.layer_spec import splitmix64

__all__ = ["base", "order", "pieces", "stride"]


@lru_cache(maxsize=8)
def base(seed: int, n: int) -> np.ndarray:
    """Compute the permutation of n samples that all epochs walk through: int64 (n,), read-only."""
    permutation = np.random.Generator(np.random.PCG64(seed)).permutation(n)
    permutation.flags.writeable = False
    return permutation


def stride(seed: int, epoch: int, n: int) -> tuple[int, int]:
    """Compute where in `base` an epoch starts, and by how much it goes on from sample to sample.

    >>> stride(1, 0, 10), stride(1, 1, 10)
    ((6, 7), (0, 7))
    """
    if n < 1:
        raise ValueError(f"n must be at least 1, not {n}")
    drawn = splitmix64(((seed << 32) + epoch) % 2**64)
    step = drawn % n
    while gcd(step, n) != 1:
        step += 1
    return (drawn >> 32) % n, step


def order(seed: int, epoch: int, n: int) -> np.ndarray:
    """Compute the order in which an epoch sees n samples: a permutation, int64 (n,).

    >>> order(1, 0, 10).tolist()
    [5, 0, 8, 9, 1, 4, 6, 2, 7, 3]
    """
    start, step = stride(seed, epoch, n)
    return base(seed, n)[(start + np.arange(n, dtype=np.int64) * step) % n]


def pieces(seed: int, n: int, start: int, stop: int) -> Iterator[tuple[int, np.ndarray]]:
    """Yield what a training on n samples sees from its sample `start` on until `stop`.

    Each piece is the number of an epoch, and samples of it in their order.

    >>> [(epoch, seen.tolist()) for epoch, seen in pieces(1, 10, 8, 13)]
    [(0, [7, 3]), (1, [8, 9, 1])]
    """
    while start < stop:
        epoch, first = divmod(start, n)
        seen = order(seed, epoch, n)[first : first + stop - start]
        yield epoch, seen
        start += len(seen)
