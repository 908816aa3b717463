# SPDX-License-Identifier: BSD-2-Clause
"""Data sets and the order in which they are seen (contract, "Data order")."""

import gzip
import hashlib
import os
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

__all__ = ["Data", "DataError", "load", "order"]

#: Samples of the digits set that are trained on.
DIGITS_TRAIN = 1437
#: Environment variable that names the folder of data sets.
FOLDER = "LEL_DATA"
#: MD5 of MNIST's files, unpacked: several packings are about.
MNIST_MD5 = {
    "train-images-idx3-ubyte.gz": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte.gz": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte.gz": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte.gz": "27ae3e4e09519cfbb04c329615203637",
}


class DataError(RuntimeError):
    """A data set is missing or damaged; the message names the file and the mend."""


class Data(NamedTuple):
    """Pixels uint8 (n, M) and labels int64 (n,) to train and to test on."""

    train_x: np.ndarray
    train_y: np.ndarray
    test_x: np.ndarray
    test_y: np.ndarray


def order(seed: int, epoch: int, n: int) -> np.ndarray:
    """Compute the order in which an epoch sees n samples: a permutation, int64 (n,)."""
    return np.random.Generator(np.random.PCG64(seed + epoch)).permutation(n)


def load(name: str) -> Data:
    """Load "digits" or "mnist".

    Raises
    ------
    DataError
        If a file is missing or is not what was distributed.
    """
    return {"digits": _digits, "mnist": _mnist}[name]()


def _digits() -> Data:
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    shuffled = np.random.Generator(np.random.PCG64(0)).permutation(len(pixels))
    x = (pixels[shuffled] * 15).astype(np.uint8)
    y = labels[shuffled].astype(np.int64)
    return Data(x[:DIGITS_TRAIN], y[:DIGITS_TRAIN], x[DIGITS_TRAIN:], y[DIGITS_TRAIN:])


def _mnist() -> Data:
    root = os.environ.get(FOLDER)
    if root is None:
        raise DataError(f"MNIST is not here: set {FOLDER} to a folder that holds mnist/*.gz")
    content = {}
    for name, md5 in MNIST_MD5.items():
        file = Path(root) / "mnist" / name
        try:
            content[name] = gzip.decompress(file.read_bytes())
        except (gzip.BadGzipFile, EOFError, zlib.error):
            raise DataError(f"{file}: is damaged (it does not unpack); fetch it again") from None
        except OSError as error:
            raise DataError(
                f"{file}: cannot be read: {error.strerror}; put MNIST's four files there, "
                f"or set {FOLDER} to the folder that holds mnist/"
            ) from None
        if hashlib.md5(content[name], usedforsecurity=False).hexdigest() != md5:
            raise DataError(f"{file}: is damaged (unpacked, its MD5 is not {md5}); fetch it again")
    images, labels, test_images, test_labels = (
        np.frombuffer(part, np.uint8) for part in content.values()
    )
    return Data(
        images[16:].reshape(-1, 784),
        labels[8:].astype(np.int64),
        test_images[16:].reshape(-1, 784),
        test_labels[8:].astype(np.int64),
    )
