# SPDX-License-Identifier: BSD-2-Clause
"""The data sets and the messages of missing and damaged files."""

import gzip
import os

import numpy as np
import pytest

from golden.data import FOLDER, MNIST_MD5, DataError, load, order


def test_digits():
    data = load("digits")
    assert data.train_x.shape == (1437, 64)
    assert data.test_x.shape == (360, 64)
    assert data.train_x.dtype == np.uint8
    assert data.train_x.max() == 240


@pytest.mark.skipif(FOLDER not in os.environ, reason=f"{FOLDER} names no folder with MNIST")
def test_mnist():
    data = load("mnist")
    assert data.train_x.shape == (60000, 784)
    assert data.test_x.shape == (10000, 784)
    assert np.bincount(data.test_y).tolist() == [
        980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009,
    ]  # fmt: skip


def test_order():
    assert sorted(order(1, 0, 50)) == list(range(50))
    assert list(order(1, 1, 50)) == list(order(2, 0, 50))


def test_messages(tmp_path, monkeypatch):
    monkeypatch.delenv(FOLDER, raising=False)
    with pytest.raises(DataError, match="set LEL_DATA to a folder"):
        load("mnist")
    monkeypatch.setenv(FOLDER, str(tmp_path))
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte\.gz: cannot be read"):
        load("mnist")
    (tmp_path / "mnist").mkdir()
    for name in MNIST_MD5:
        (tmp_path / "mnist" / name).write_bytes(b"cut")
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte\.gz: is damaged \(it does not"):
        load("mnist")
    for name in MNIST_MD5:
        (tmp_path / "mnist" / name).write_bytes(gzip.compress(b"cut"))
    with pytest.raises(DataError, match=r"is damaged \(unpacked, its MD5"):
        load("mnist")
