# SPDX-License-Identifier: BSD-2-Clause
"""Folders of idx files, in which MNIST and its relatives are published."""

import gzip
import math
import re
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from golden.data.dataset import DataError, MissingError, Raw, unreadable
from golden.errors import shown

__all__ = ["read", "read_folder"]

#: Types of numbers by the third byte of a file.
TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
NAME = re.compile(r"(.*[-_])?(train|t10k|test)-(images|labels)[-.]idx\d-ubyte(\.gz)?")
MEND = "take another copy of it"
NAMES = (
    "train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and "
    "t10k-labels-idx1-ubyte, packed (.gz) or not"
)


def read(path: Path) -> np.ndarray:
    """Read an array from an idx file, packed (.gz) or not.

    Raises
    ------
    DataError
        If it cannot be read or is not an idx file.
    """
    try:
        # No more than its head promises is unpacked.
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            return _array(path, file)
    except (gzip.BadGzipFile, EOFError, zlib.error):
        raise DataError(f"{shown(path)}: is damaged (it does not unpack); {MEND}") from None
    except OSError as error:
        raise unreadable(path, error, "give an idx file") from None
    except MemoryError:
        raise DataError(f"{shown(path)}: does not fit the memory; give less") from None


def _array(path: Path, file: Any) -> np.ndarray:
    where, magic = shown(path), file.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in TYPES or not 1 <= magic[3] <= 8:
        raise DataError(
            f"{where}: is not an idx file (it begins with {magic.hex(' ') or 'nothing'}); {MEND}"
        )
    head = file.read(4 * magic[3])
    shape = tuple(np.frombuffer(head[: len(head) // 4 * 4], ">u4").tolist())
    dtype = np.dtype(TYPES[magic[2]])
    size = math.prod(shape) * dtype.itemsize
    if len(head) == 4 * magic[3] and size < 1 << 40:
        parts, left = [], size + 1
        while left and (part := file.read(min(left, 1 << 24))):
            parts.append(part)
            left -= len(part)
        content = b"".join(parts)
        if len(content) == size:
            return np.frombuffer(content, dtype).reshape(shape).astype(dtype.newbyteorder("="))
    raise DataError(f"{where}: is damaged: it has not the length that its head says; {MEND}")


def read_folder(folder: Path) -> Raw:
    """Read a data set from a folder that holds images and labels as idx files.

    Files for training are needed; those to test on (t10k or test) may be missing. Names may begin
    with more, as in emnist-letters-train-images-idx3-ubyte.gz; if several sets are there, the one
    that begins with the folder's name is read.

    Raises
    ------
    DataError
        If a file is missing or damaged, or they do not belong together.
    """
    files = _files(folder)
    sets = []
    for part in ("train", "test"):
        images, labels = (files.get((part, kind)) for kind in ("images", "labels"))
        if images is None and labels is None and part == "test":
            continue
        if images is None or labels is None:
            kind = "images" if images is None else "labels"
            raise MissingError(f"{shown(folder)}: there are no {part} {kind}; put {NAMES}, there")
        sets.append((images, *_pair(images, labels)))
    (_, x, y, shape), (other, test_x, test_y, test_shape) = sets[0], sets[-1]
    if shape != test_shape:
        raise DataError(
            f"{shown(other)}: its images are of shape {test_shape}, but those to train on of "
            f"{shape}; give the files of one set"
        )
    own = len(sets) == 2
    return Raw(
        where=shown(folder),
        x=x,
        y=y,
        test_x=test_x if own else None,
        test_y=test_y if own else None,
        shape=shape if len(shape) > 1 else None,
    )


def _files(folder: Path) -> dict[tuple[str, str], Path]:
    """Find the files: by train or test, and images or labels."""
    try:
        names = sorted(file.name for file in folder.iterdir())
    except OSError as error:
        raise unreadable(folder, error, f"put {NAMES}, into a folder there") from None
    found = [match for match in map(NAME.fullmatch, names) if match]
    prefixes = sorted({match[1] or "" for match in found})
    if not found:
        raise MissingError(f"{shown(folder)}: there is no idx file; put {NAMES}, there")
    if len(prefixes) > 1:
        fitting = [prefix for prefix in prefixes if prefix[:-1] == folder.name]
        if len(fitting) != 1:
            raise DataError(
                f"{shown(folder)}: there are files of several sets: "
                f"{', '.join(prefix or 'without a name' for prefix in prefixes[:5])}; give each "
                "a folder of its own"
            )
        prefixes = fitting
    files = {}
    # Packed ones last: they are read where both are there.
    for match in sorted(found, key=lambda match: bool(match[4])):
        if (match[1] or "") == prefixes[0]:
            part = "train" if match[2] == "train" else "test"
            files[part, match[3]] = folder / match[0]
    return files


def _pair(images: Path, labels: Path) -> tuple[np.ndarray, np.ndarray, tuple[int, ...]]:
    """Read images and their labels, and check that they belong together."""
    x, y = read(images), read(labels)
    if x.ndim < 2:
        raise DataError(f"{shown(images)}: must hold images, but has one dimension; {MEND}")
    if y.ndim != 1 or y.dtype.kind == "f":
        raise DataError(f"{shown(labels)}: must hold a list of integers; {MEND}")
    if len(x) != len(y):
        raise DataError(
            f"{shown(labels)}: has {len(y)} labels, but {images.name} {len(x)} images; give the "
            "files of one set"
        )
    shape, flat = x.shape[1:], x.reshape(len(x), math.prod(x.shape[1:]))
    if flat.dtype.kind == "f":
        for row, column in np.argwhere(~np.isfinite(flat))[:1]:
            raise DataError(
                f"{shown(images)}: image {row}, pixel {column}: must be a finite number, not "
                f"{flat[row, column]}; leave out the image"
            )
    return flat, y.astype(np.int64), shape
