# SPDX-License-Identifier: BSD-2-Clause
"""How features of any number type become 8-bit inputs."""

from dataclasses import dataclass

import numpy as np

__all__ = ["Scaling"]


@dataclass(frozen=True, kw_only=True)
class Scaling:
    """The range of each feature that became an 8-bit input: `low` and `high`, float64 (M,).

    The input of a feature x is, in IEEE double precision and in this order of operations,

        floor((x - low) * 255 / (high - low) + 0.5)

    limited to 0..255; that of a feature whose `low` and `high` are equal is 0. Each operation is
    rounded to double precision (no fused multiply-add), so that C computes the same bits. What lies
    outside the range, an infinite x included, becomes 0 or 255.
    """

    low: np.ndarray
    high: np.ndarray

    @classmethod
    def of(cls, x: np.ndarray, *, together: bool = False) -> "Scaling":
        """Take the range of each feature of samples (n, M); or, `together`, that of all."""
        low, high = x.min(axis=0), x.max(axis=0)
        if together:
            low, high = np.full_like(low, low.min()), np.full_like(high, high.max())
        # Not -0, which would be another scaling that does the same.
        return cls(low=low.astype(np.float64) + 0.0, high=high.astype(np.float64) + 0.0)

    def apply(self, x: np.ndarray) -> np.ndarray:
        """Compute the inputs, uint8, of features (M,) or (n, M).

        >>> scaling = Scaling(low=np.array([0.0, 3.0]), high=np.array([2.0, 3.0]))
        >>> scaling.apply(np.array([[0.0, 3.0], [1.0, 4.0], [9.0, 2.0]])).tolist()
        [[0, 0], [128, 0], [255, 0]]

        Raises
        ------
        ValueError
            If a feature is not a number (nan).
        """
        x = np.asarray(x, np.float64)
        if np.isnan(x).any():
            raise ValueError("x must be numbers, not nan")
        constant = self.high == self.low
        span = np.where(constant, 1.0, self.high - self.low)
        with np.errstate(over="ignore"):
            scaled = np.floor((x - self.low) * 255 / span + 0.5)
        return np.where(constant, 0, np.clip(scaled, 0, 255)).astype(np.uint8)
