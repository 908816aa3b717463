# SPDX-License-Identifier: BSD-2-Clause
"""The sets that come with scikit-learn."""

from typing import Any

import numpy as np

from golden.data.dataset import Raw

__all__ = ["digits", "table"]

#: Samples of the digits set that are trained on.
DIGITS_TRAIN = 1437


def digits() -> Raw:
    """Load 8x8 images of digits: pixels times 15, permuted once (contract, "Data order")."""
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    shuffled = np.random.Generator(np.random.PCG64(0)).permutation(len(pixels))
    x = (pixels[shuffled] * 15).astype(np.uint8)
    y = labels[shuffled].astype(np.int64)
    return Raw(
        where="digits",
        x=x[:DIGITS_TRAIN],
        y=y[:DIGITS_TRAIN],
        test_x=x[DIGITS_TRAIN:],
        test_y=y[DIGITS_TRAIN:],
        shape=(8, 8),
        names=tuple("0123456789"),
    )


def table(name: str) -> Raw:
    """Load the table "wine" or "breast-cancer"."""
    from sklearn.datasets import load_breast_cancer, load_wine

    bunch: Any = {"wine": load_wine, "breast-cancer": load_breast_cancer}[name]()
    return Raw(
        where=name,
        x=bunch.data,
        y=bunch.target.astype(np.int64),
        features=tuple(map(str, bunch.feature_names)),
        names=tuple(map(str, bunch.target_names)),
    )
