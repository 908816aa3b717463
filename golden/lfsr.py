# SPDX-License-Identifier: BSD-2-Clause
"""The streams of random numbers (contract, "Random numbers"), made a block at a time."""

from math import isqrt

import numpy as np

__all__ = ["Stream", "array_fields", "fields", "odd"]

#: Largest distance, in units of the LFSR's own, over which blocks are made.
LONGEST = 1 << 14


class Stream:
    """The stream of a 64-bit seed, which goes on from one call to the next.

    The recurrence a[t] = a[t-64] ^ a[t-63] ^ a[t-61] ^ a[t-60] holds just so between blocks 2^k
    times as far apart, for squaring a polynomial over GF(2) doubles its exponents; so the
    farther the stream has come, the longer the blocks that one XOR of arrays makes.
    """

    def __init__(self, seed: int):
        # The last bits that are known, and how many of them have been put out.
        self._known = np.array([seed >> t & 1 for t in range(64)], np.uint8)
        self._spent = 64

    @property
    def state(self) -> int:
        """The LFSR's 64 bits: the seed of a stream that goes on where this one is."""
        bits = self._known[self._spent - 64 : self._spent]
        return sum(int(bit) << t for t, bit in enumerate(bits))

    def bits(self, count: int) -> np.ndarray:
        """Give the next `count` bits, as uint8."""
        out, made = np.empty(count, np.uint8), 0
        while made < count:
            if self._spent == len(self._known):
                self._extend()
            part = self._known[self._spent : self._spent + count - made]
            out[made : made + len(part)] = part
            made += len(part)
            self._spent += len(part)
        return out

    def fields(self, count: int, width: int) -> np.ndarray:
        """Give the next `count` fields of `width` bits, as int64."""
        bits = self.bits(count * width).reshape(count, width)
        fields = np.zeros(count, np.int64)
        for i in range(width):
            fields |= bits[:, i].astype(np.int64) << i
        return fields

    def _extend(self):
        a, length = self._known, len(self._known)
        scale = min(1 << ((length // 64).bit_length() - 1), LONGEST)
        block = a[length - 64 * scale : length - 4 * scale].copy()
        for tap in (63, 61, 60):
            block ^= a[length - tap * scale : length - (tap - 60) * scale]
        self._known = np.concatenate([a[-64 * LONGEST :], block])
        self._spent = len(self._known) - len(block)


def fields(seed: int, count: int, width: int) -> np.ndarray:
    """Compute the first `count` fields of `width` bits of the stream of a seed, as int64."""
    return Stream(seed).fields(count, width)


def array_fields(seed: int, neurons: int, count: int, width: int) -> np.ndarray:
    """Compute `count` fields of `width` bits for each neuron by arrays, as int64 (neurons, count).

    Contract, "Arrays": of the bits of a neuron each is that of its row ^ that of its column.
    """
    total = count * width
    rows = isqrt(total - 1) + 1
    columns = -(-total // rows)
    drawn = Stream(seed).bits(neurons * (rows + columns)).reshape(neurons, rows + columns)
    crossed = drawn[:, rows:, None] ^ drawn[:, None, :rows]
    bits = crossed.reshape(neurons, -1)[:, :total].reshape(neurons, count, width)
    return bits.astype(np.int64) @ (1 << np.arange(width))


def odd(u: np.ndarray, width: int) -> np.ndarray:
    """Map fields to the odd integers of `width` bits.

    >>> odd(np.arange(4), 2)
    array([-3, -1,  1,  3])
    """
    return 2 * u - (1 << width) + 1
