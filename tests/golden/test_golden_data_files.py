# SPDX-License-Identifier: BSD-2-Clause
"""Folders of idx files, and CIFAR-10: what is read, and every message."""

import gzip
import io
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest

from golden.data import FOLDER, DataError, cifar, load
from golden.spec import DataSpec

IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
RANDOM = np.random.default_rng(3)
PIXELS = RANDOM.integers(0, 256, (40, 3, 4), np.uint8)
#: As in emnist-letters: from 1 on.
CLASSES = (np.arange(40) % 4 + 1).astype(np.uint8)


def idx(array, kind=8):
    head = bytes([0, 0, kind, array.ndim])
    return head + b"".join(n.to_bytes(4, "big") for n in array.shape) + array.tobytes()


def fill(folder, prefix="", test="t10k", pack=()):
    folder.mkdir(exist_ok=True)
    for part, chosen in (("train", slice(0, 30)), (test, slice(30, 40))):
        for name, content in (
            (f"{prefix}{part}-images-idx3-ubyte", idx(PIXELS[chosen])),
            (f"{prefix}{part}-labels-idx1-ubyte", idx(CLASSES[chosen])),
        ):
            if part in pack:
                (folder / f"{name}.gz").write_bytes(gzip.compress(content))
            else:
                (folder / name).write_bytes(content)
    return folder


def of(folder):
    return load(DataSpec(str(folder), str(folder)))


def check(data):
    assert np.array_equal(data.train_x, PIXELS[:30].reshape(30, 12))
    assert np.array_equal(data.test_x, PIXELS[30:].reshape(10, 12))
    assert np.array_equal(np.concatenate([data.train_y, data.test_y]) + 1, CLASSES)
    assert (data.labels, data.shape, data.scaling) == (("1", "2", "3", "4"), (3, 4), None)


def test_folders_of_idx_files(tmp_path, monkeypatch):
    check(of(fill(tmp_path / "plain")))
    check(of(fill(tmp_path / "packed", pack=("train",))))
    monkeypatch.setenv(FOLDER, str(tmp_path))
    fill(tmp_path / "emnist-letters", prefix="emnist-digits-")
    check(load(DataSpec("emnist-letters")))
    fill(tmp_path / "emnist-letters", prefix="emnist-letters-", test="test", pack=("test",))
    check(load(DataSpec("emnist-letters")))


def test_a_folder_without_a_test_set_is_split(tmp_path):
    folder = fill(tmp_path / "some")
    for file in folder.glob("t10k*"):
        file.unlink()
    data = of(folder)
    assert (len(data.train_x), np.bincount(data.test_y).tolist()) == (24, [2, 2, 1, 1])


def test_other_types_are_scaled(tmp_path):
    folder = fill(tmp_path / "floats")
    numbers = RANDOM.normal(size=(30, 3, 4))
    (folder / IMAGES).write_bytes(idx(numbers.astype(">f8"), 0x0E))
    data = of(folder)
    assert np.array_equal(data.scaling.low, numbers.reshape(30, 12).min(axis=0))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (IMAGES, b"", "is not an idx file (it begins with nothing)"),
        (IMAGES, b"PK\3\4", "is not an idx file (it begins with 50 4b 03 04)"),
        (IMAGES, idx(PIXELS[:30])[:-1], "is damaged: it has not the length that its head says"),
        (IMAGES, idx(PIXELS[:30]) + b"x", "is damaged: it has not the length that its head says"),
        (IMAGES, b"\0\0\x08\x03" + b"\xff" * 12, "is damaged: it has not the length"),
        (IMAGES, idx(CLASSES), "must hold images, but has one dimension"),
        (LABELS, idx(CLASSES), f"has 40 labels, but {IMAGES} 30 images; give the files of one"),
        (LABELS, idx(PIXELS), "must hold a list of integers"),
        (f"{IMAGES}.gz", b"\x1f\x8b", "is damaged (it does not unpack)"),
        (f"{IMAGES}.gz", b"cut", "is damaged (it does not unpack)"),
    ],
)
def test_messages_of_idx_files(name, content, message, tmp_path):
    folder = fill(tmp_path / "some")
    (folder / name).write_bytes(content)
    with pytest.raises(DataError) as error:
        of(folder)
    assert str(error.value).startswith(f"{folder / name}: {message}")


def test_messages_of_folders(tmp_path, monkeypatch):
    folder = fill(tmp_path / "some")
    (folder / LABELS).unlink()
    with pytest.raises(DataError, match="there are no train labels; put train-images"):
        of(folder)
    (tmp_path / "bare").mkdir()
    with pytest.raises(DataError, match="bare: there is no idx file; put train-images"):
        of(tmp_path / "bare")
    fill(tmp_path / "two", prefix="a-")
    with pytest.raises(DataError, match="two: there are files of several sets: a-, b-"):
        of(fill(tmp_path / "two", prefix="b-"))
    monkeypatch.setenv(FOLDER, str(tmp_path))
    with pytest.raises(DataError, match=r"'kmnist': there is no such data set: .*/kmnist of idx"):
        load(DataSpec("kmnist"))


def test_truncated_idx_files_are_said(tmp_path):
    folder = fill(tmp_path / "some")
    for name, content in (
        (IMAGES, idx(PIXELS[:30])),
        (f"{IMAGES}.gz", gzip.compress(idx(PIXELS[:30]))),
    ):
        for size in range(0, len(content), 5):
            (folder / name).write_bytes(content[:size])
            with pytest.raises(DataError, match=f"/{name}: is "):
                of(folder)


@pytest.fixture
def small(monkeypatch):
    """Make CIFAR-10 files of four records each."""
    monkeypatch.setattr(cifar, "SIZE", 4 * cifar.RECORD)
    records = RANDOM.integers(0, 10, (24, cifar.RECORD), np.uint8)
    names = [*cifar.TRAIN, *cifar.TEST]
    return {name: records[4 * i : 4 * i + 4] for i, name in enumerate(names)}


def test_cifar10_is_the_same_from_any_copy(small, tmp_path, monkeypatch):
    copies = [tmp_path / name for name in ("plain", "packed", "tar")]
    for folder in copies:
        (folder / "cifar10").mkdir(parents=True)
    with tarfile.open(copies[2] / "cifar10" / cifar.ARCHIVE, "w:gz") as archive:
        for name, records in small.items():
            (copies[0] / "cifar10" / name).write_bytes(records.tobytes())
            # In another order.
            packed = gzip.compress(records[::-1].tobytes())
            (copies[1] / "cifar10" / f"{name}.gz").write_bytes(packed)
            member = tarfile.TarInfo(f"{cifar.INSIDE}/{name}")
            member.size = records.nbytes
            archive.addfile(member, io.BytesIO(records.tobytes()))
    digests = set()
    for folder in copies:
        monkeypatch.setenv(FOLDER, str(folder))
        data = load("cifar10")
        digests.add(data.digest)
        train = np.concatenate([small[name] for name in cifar.TRAIN])
        expected = sorted(map(bytes, train))
        assert [bytes([y, *x]) for x, y in zip(data.train_x, data.train_y, strict=True)] == expected
        assert (data.test_x.shape, data.shape) == ((4, 3072), (3, 32, 32))
    assert len(digests) == 1

    file = copies[2] / "cifar10" / cifar.ARCHIVE
    content = file.read_bytes()
    for size in range(0, len(content), len(content) // 20):
        file.write_bytes(content[:size])
        with pytest.raises(DataError, match=f"{cifar.ARCHIVE}: (is damaged|does not hold)"):
            load("cifar10")


def test_messages_of_cifar10(small, tmp_path, monkeypatch):
    monkeypatch.setenv(FOLDER, str(tmp_path))
    folder = tmp_path / "cifar10"
    with pytest.raises(DataError, match="cifar10: CIFAR-10 is not there; put cifar-10-binary"):
        load("cifar10")
    folder.mkdir()
    for name, records in small.items():
        (folder / name).write_bytes(records.tobytes())
    (folder / "data_batch_2.bin").write_bytes(b"short")
    with pytest.raises(DataError, match=r"batch_2\.bin: must hold 10,000 records of 3073 bytes"):
        load("cifar10")
    (folder / "data_batch_2.bin").write_bytes(b"\x0a" * cifar.SIZE)
    with pytest.raises(DataError, match=r"batch_2\.bin: a label is over 9"):
        load("cifar10")
    (folder / "data_batch_2.bin.gz").write_bytes(b"\x1f\x8b")
    with pytest.raises(DataError, match=r"batch_2\.bin\.gz: is damaged"):
        load("cifar10")
    (folder / "data_batch_2.bin.gz").unlink()
    (folder / "data_batch_2.bin").unlink()
    with pytest.raises(DataError, match=r"data_batch_2\.bin: is missing; put all six"):
        load("cifar10")


@pytest.mark.skipif(
    not (Path(os.environ.get(FOLDER, "")) / "cifar10").is_dir(),
    reason=f"{FOLDER} names no folder with CIFAR-10",
)
def test_cifar10():
    data = load("cifar10")
    assert np.bincount(data.train_y).tolist() == [5000] * 10
    assert np.bincount(data.test_y).tolist() == [1000] * 10
    means = data.train_x.reshape(-1, 3, 1024).mean(axis=(0, 2)) / 255
    assert [round(float(mean), 4) for mean in means] == [0.4914, 0.4822, 0.4465]
