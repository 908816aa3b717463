# SPDX-License-Identifier: BSD-2-Clause
"""MNIST: checked, and fetched where there is no folder of data sets."""

import gzip
import hashlib
import struct
import sys
import tempfile
import zlib
from pathlib import Path

import numpy as np

from golden.data.dataset import DataError, Raw, unreadable

__all__ = ["MNIST_MD5", "read_folder"]

#: MNIST's files and their MD5. Several packings are about, so it is that of the unpacked files.
MNIST_MD5 = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}
MNIST_TRAIN = 60000


def read_folder(folder: Path, *, fetch: bool) -> Raw:
    """Read MNIST's four idx files, packed (.gz) or not, from a folder; `fetch` them if need be.

    Raises
    ------
    DataError
        If a file is missing or is not what was distributed.
    """
    if fetch and _missing(folder):
        _fetch_mnist(folder)
    images, labels, test_images, test_labels = (
        np.frombuffer(_content(folder, name), np.uint8) for name in MNIST_MD5
    )
    return Raw(
        where="mnist",
        x=images[16:].reshape(-1, 784),
        y=labels[8:].astype(np.int64),
        test_x=test_images[16:].reshape(-1, 784),
        test_y=test_labels[8:].astype(np.int64),
        shape=(28, 28),
        names=tuple("0123456789"),
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
    mend = "take another copy of it"
    try:
        content = file.read_bytes()
        if file.suffix == ".gz":
            content = gzip.decompress(content)
    except (gzip.BadGzipFile, EOFError, zlib.error):
        raise DataError(f"{file}: is damaged (it does not unpack); {mend}") from None
    except OSError as error:
        mend = (
            "put MNIST's four files there, packed (.gz) or not, or set LEL_DATA to the folder "
            "that holds mnist/"
        )
        raise unreadable(file, error, mend) from None
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
        f"(.gz) or not, or set LEL_DATA to the folder that holds mnist/"
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
            Path(part.name).replace(folder / name)
    except OSError as error:
        raise DataError(f"{folder}: cannot be written: {error.strerror}; {mend}") from None
