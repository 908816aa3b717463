# SPDX-License-Identifier: BSD-2-Clause
"""The streams of random numbers (contract, "Random numbers"), made a block at a time."""

import numpy as np

__all__ = ["fields", "odd"]


def fields(seed: int, count: int, width: int) -> np.ndarray:
    """Compute the first `count` fields of `width` bits of the stream of a seed, as int64.

    The recurrence a[t] = a[t-64] ^ a[t-63] ^ a[t-61] ^ a[t-60] holds just so between blocks 2^k
    times as far apart, for squaring a polynomial over GF(2) doubles its exponents; so the
    farther the stream has come, the longer the blocks that one XOR of arrays makes.
    """
    a = np.empty(64 + count * width, np.uint8)
    a[:64] = [seed >> t & 1 for t in range(64)]
    known = 64
    while known < len(a):
        scale = 1 << ((known // 64).bit_length() - 1)
        end = min(known + 60 * scale, len(a))
        a[known:end] = 0
        for tap in (64, 63, 61, 60):
            a[known:end] ^= a[known - tap * scale : end - tap * scale]
        known = end
    bits = a[64:].reshape(count, width).astype(np.int64)
    return bits @ (1 << np.arange(width))


def odd(u: np.ndarray, width: int) -> np.ndarray:
    """Map fields to the odd integers of `width` bits.

    >>> odd(np.arange(4), 2)
    array([-3, -1,  1,  3])
    """
    return 2 * u - (1 << width) + 1
