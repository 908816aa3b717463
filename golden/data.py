# SPDX-License-Identifier: BSD-2-Clause
"""Data sets and the order in which they are seen (contract, "Data order")."""

import gzip
import hashlib
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

__all__ = ["Data", "DataError", "load", "order"]

#: Samples of the digits set that are trained on.
DIGITS_TRAIN = 1437
#: Environment variable that names the folder of data sets.
FOLDER = "LEL_DATA"
#: MD5 of the files of MNIST as distributed.
MNIST_MD5 = {
    "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
    "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
    "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
    "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
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
            packed = file.read_bytes()
        except OSError as error:
            raise DataError(
                f"{file}: cannot be read: {error.strerror}; put MNIST's four files there, "
                f"or set {FOLDER} to the folder that holds mnist/"
            ) from None
        if hashlib.md5(packed, usedforsecurity=False).hexdigest() != md5:
            raise DataError(f"{file}: is damaged (its MD5 is not {md5}); fetch it again")
        content[name] = np.frombuffer(gzip.decompress(packed), np.uint8)
    images, labels, test_images, test_labels = content.values()
    return Data(
        images[16:].reshape(-1, 784),
        labels[8:].astype(np.int64),
        test_images[16:].reshape(-1, 784),
        test_labels[8:].astype(np.int64),
    )
