# SPDX-License-Identifier: BSD-2-Clause
"""Data sets (contract, "Data order")."""

import gzip
import hashlib
import os
import struct
import sys
import tempfile
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
from platformdirs import user_cache_path

from golden.errors import InputError

__all__ = ["FOLDER", "Data", "DataError", "held_out", "load"]

#: Samples of the digits set that are trained on.
DIGITS_TRAIN = 1437
#: Environment variable that names the folder of data sets.
FOLDER = "LEL_DATA"
#: MNIST's files and their MD5. Several packings are about, so it is that of the unpacked files.
MNIST_MD5 = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}
MNIST_TRAIN = 60000


class DataError(InputError):
    """A data set is missing or damaged; the message names the file and the mend."""


class Data(NamedTuple):
    """Pixels uint8 (n, M) and labels int64 (n,) to train and to test on."""

    train_x: np.ndarray
    train_y: np.ndarray
    test_x: np.ndarray
    test_y: np.ndarray


def held_out(data: Data) -> Data:
    """Take the last sixth of the training samples to test on, and leave the test set alone.

    So 60,000 samples become 50,000 to train on and 10,000 to choose by, as in the paper.
    """
    kept = len(data.train_x) - len(data.train_x) // 6
    return Data(data.train_x[:kept], data.train_y[:kept], data.train_x[kept:], data.train_y[kept:])


def load(name: str) -> Data:
    """Load "digits", which scikit-learn holds, or "mnist".

    MNIST lies in mnist/ of the folder that the environment variable LEL_DATA names, as idx files,
    packed (.gz) or not. If there is no such variable, it lies in the user's cache folder, into
    which it is fetched.

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
    named = os.environ.get(FOLDER)
    folder = (Path(named) if named else user_cache_path("lel")) / "mnist"
    if not named and _missing(folder):
        _fetch_mnist(folder)
    images, labels, test_images, test_labels = (
        np.frombuffer(bytearray(_content(folder, name)), np.uint8) for name in MNIST_MD5
    )
    return Data(
        images[16:].reshape(-1, 784),
        labels[8:].astype(np.int64),
        test_images[16:].reshape(-1, 784),
        test_labels[8:].astype(np.int64),
    )


def _missing(folder: Path) -> list[str]:
    return [
        name
        for name in MNIST_MD5
        if not any((folder / f"{name}{end}").is_file() for end in ("", ".gz"))
    ]


def _content(folder: Path, name: str) -> bytes:
    """Read a file of MNIST, packed or not, and check it."""
    file = folder / f"{name}.gz"
    if not file.is_file():
        file = folder / name
    mend = "remove it and fetch it again"
    try:
        content = file.read_bytes()
        if file.suffix == ".gz":
            content = gzip.decompress(content)
    except (gzip.BadGzipFile, EOFError, zlib.error):
        raise DataError(f"{file}: is damaged (it does not unpack); {mend}") from None
    except OSError as error:
        raise DataError(
            f"{file}: cannot be read: {error.strerror}; put MNIST's four files there, packed "
            f"(.gz) or not, or set {FOLDER} to the folder that holds mnist/"
        ) from None
    if _md5(content) != MNIST_MD5[name]:
        raise DataError(f"{file}: is damaged (unpacked, its MD5 is not {MNIST_MD5[name]}); {mend}")
    return content


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def _fetch_mnist(folder: Path):
    """Fetch MNIST through scikit-learn and leave it in a folder, as its four idx files."""
    from sklearn.datasets import fetch_openml

    print(f"fetching MNIST into {folder}; this takes some minutes, once", file=sys.stderr)
    mend = (
        f"MNIST is not in {folder}. Connect to a network, or put its four files there, packed "
        f"(.gz) or not, or set {FOLDER} to the folder that holds mnist/"
    )
    try:
        # The parser that needs no other library.
        pixels, labels = fetch_openml(
            "mnist_784",
            version=1,
            as_frame=False,
            return_X_y=True,
            cache=False,
            parser="liac-arff",
        )
    except (OSError, ValueError) as error:
        raise DataError(f"MNIST cannot be fetched: {error}; {mend}") from None
    pixels, labels = np.asarray(pixels, np.uint8), np.asarray(labels, np.uint8)
    parts = slice(None, MNIST_TRAIN), slice(MNIST_TRAIN, None)
    contents = [
        content
        for part in parts
        for content in (
            struct.pack(">4I", 0x803, len(pixels[part]), 28, 28) + pixels[part].tobytes(),
            struct.pack(">2I", 0x801, len(labels[part])) + labels[part].tobytes(),
        )
    ]
    files = dict(zip(MNIST_MD5, contents, strict=True))
    wrong = [name for name, content in files.items() if _md5(content) != MNIST_MD5[name]]
    if wrong:
        raise DataError(f"MNIST was fetched, but {wrong[0]} is not what it should be; {mend}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            # Others see the whole file or none.
            with tempfile.NamedTemporaryFile(dir=folder, prefix=name, delete=False) as part:
                part.write(content)
            os.replace(part.name, folder / name)
    except OSError as error:
        raise DataError(f"{folder}: cannot be written: {error.strerror}; {mend}") from None
