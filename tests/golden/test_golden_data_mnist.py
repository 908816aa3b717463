# SPDX-License-Identifier: BSD-2-Clause
"""MNIST: its files, the messages of missing and damaged ones, and how it is fetched."""

import gzip
import hashlib
import os
from pathlib import Path

import numpy as np
import pytest
import sklearn.datasets

from golden.data import FOLDER, DataError, load, mnist, source
from golden.data.mnist import MNIST_MD5

IMAGES = "train-images-idx3-ubyte"


@pytest.fixture(autouse=True)
def _anew():
    """Let nothing stay in memory that was not what was distributed."""
    yield
    source._load.cache_clear()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """Make an empty cache folder the user's; nothing can be fetched, and LEL_DATA is not set."""

    def fetch(*_arguments, **_options):
        raise OSError("no network")

    monkeypatch.delenv(FOLDER, raising=False)
    monkeypatch.setattr(source, "user_cache_path", lambda _name: tmp_path / "cache")
    monkeypatch.setattr(sklearn.datasets, "fetch_openml", fetch)
    return tmp_path / "cache" / "mnist"


@pytest.fixture
def small(monkeypatch):
    """Make a tiny set pass for MNIST; give its files and what a fetch of it gives."""
    random = np.random.default_rng(1)
    pixels, labels = random.integers(0, 256, (7, 784)), random.integers(0, 10, 7)
    files = {}
    for name, part in (("train", slice(0, 5)), ("t10k", slice(5, 7))):
        count = (part.stop - part.start).to_bytes(4, "big")
        size = (28).to_bytes(4, "big")
        files[f"{name}-images-idx3-ubyte"] = (
            b"\0\0\x08\x03" + count + size + size + pixels[part].astype(np.uint8).tobytes()
        )
        files[f"{name}-labels-idx1-ubyte"] = (
            b"\0\0\x08\x01" + count + labels[part].astype(np.uint8).tobytes()
        )
    for name, content in files.items():
        monkeypatch.setitem(MNIST_MD5, name, hashlib.md5(content).hexdigest())
    monkeypatch.setattr(mnist, "MNIST_TRAIN", 5)
    return files, pixels.astype(float), labels.astype(str)


def check_small(loaded, pixels, labels):
    assert np.array_equal(np.concatenate([loaded.train_x, loaded.test_x]), pixels)
    assert np.array_equal(np.concatenate([loaded.train_y, loaded.test_y]), labels.astype(int))
    assert (loaded.train_x.shape, loaded.train_x.dtype) == ((5, 784), np.uint8)
    assert loaded.train_y.dtype == np.int64


@pytest.mark.skipif(
    not (Path(os.environ.get(FOLDER, "")) / "mnist").is_dir(),
    reason=f"{FOLDER} names no folder with MNIST",
)
def test_mnist():
    data = load("mnist")
    assert data.train_x.shape == (60000, 784)
    assert data.test_x.shape == (10000, 784)
    assert np.bincount(data.test_y).tolist() == [
        980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009,
    ]  # fmt: skip


def test_formats_of_files(small, tmp_path, monkeypatch):
    files, pixels, labels = small
    monkeypatch.setenv(FOLDER, str(tmp_path))
    (tmp_path / "mnist").mkdir()
    for k, (name, content) in enumerate(files.items()):
        if k % 2:
            (tmp_path / "mnist" / name).write_bytes(content)
        else:
            (tmp_path / "mnist" / f"{name}.gz").write_bytes(gzip.compress(content))
    check_small(load("mnist"), pixels, labels)


def test_missing_in_the_named_folder(cache, tmp_path, monkeypatch):
    monkeypatch.setenv(FOLDER, str(tmp_path))
    with pytest.raises(DataError) as error:
        load("mnist")
    assert str(error.value) == (
        f"{tmp_path}/mnist/{IMAGES}: cannot be read: No such file or directory; put MNIST's four "
        "files there, packed (.gz) or not, or set LEL_DATA to the folder that holds mnist/"
    )
    assert not cache.exists()


#: A file of the wrong content. Without a time, so that all workers of pytest see the same test.
PACKED = gzip.compress(b"cut", mtime=0)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (f"{IMAGES}.gz", b"cut", "is damaged (it does not unpack); take another copy of it"),
        (f"{IMAGES}.gz", PACKED[:-9], "is damaged (it does not unpack)"),
        (f"{IMAGES}.gz", PACKED, "is damaged (unpacked, its MD5 is not 6bbc9ace"),
        (IMAGES, b"cut", "is damaged (unpacked, its MD5 is not 6bbc9ace"),
    ],
)
def test_damaged(name, content, message, tmp_path, monkeypatch):
    monkeypatch.setenv(FOLDER, str(tmp_path))
    (tmp_path / "mnist").mkdir()
    (tmp_path / "mnist" / name).write_bytes(content)
    with pytest.raises(DataError) as error:
        load("mnist")
    assert str(error.value).startswith(f"{tmp_path}/mnist/{name}: {message}")


def test_fetched_once(cache, small, monkeypatch, capsys):
    files, pixels, labels = small
    calls = []

    def fetch(name, **options):
        calls.append((name, options["version"]))
        return pixels, labels

    monkeypatch.setattr(sklearn.datasets, "fetch_openml", fetch)
    check_small(load("mnist"), pixels, labels)
    assert f"fetching MNIST into {cache}" in capsys.readouterr().err
    check_small(load("mnist"), pixels, labels)
    assert calls == [("mnist_784", 1)]
    assert {file.name: file.read_bytes() for file in cache.iterdir()} == files


def test_cannot_be_fetched(cache):
    with pytest.raises(DataError) as error:
        load("mnist")
    assert str(error.value) == (
        f"MNIST cannot be fetched: no network; MNIST is not in {cache}. Connect to a network, or "
        "put its four files there, packed (.gz) or not, or set LEL_DATA to the folder that holds "
        "mnist/"
    )


def test_something_else_was_fetched(cache, small, monkeypatch):
    _, pixels, labels = small
    monkeypatch.setattr(sklearn.datasets, "fetch_openml", lambda *_, **__: (255 - pixels, labels))
    with pytest.raises(DataError, match=f"fetched, but {IMAGES} is not what it should be"):
        load("mnist")
    assert not cache.exists()


def test_cache_cannot_be_written(cache, small, monkeypatch):
    _, pixels, labels = small
    monkeypatch.setattr(sklearn.datasets, "fetch_openml", lambda *_, **__: (pixels, labels))
    cache.parent.write_text("in the way")
    with pytest.raises(DataError, match=f"{cache}: cannot be written: .*LEL_DATA"):
        load("mnist")
