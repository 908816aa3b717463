# SPDX-License-Identifier: BSD-2-Clause
"""CIFAR-10 in its binary layout: a byte of label, then red, green and blue, row by row."""

import gzip
import tarfile
import zlib
from pathlib import Path

import numpy as np

from golden.data.dataset import DataError, MissingError, Raw, unreadable
from golden.errors import shown

__all__ = ["read_folder"]

SHAPE = (3, 32, 32)
RECORD = 1 + 3 * 32 * 32
TRAIN = tuple(f"data_batch_{i}.bin" for i in range(1, 6))
TEST = ("test_batch.bin",)
#: Bytes of a file.
SIZE = 10000 * RECORD
ARCHIVE = "cifar-10-binary.tar.gz"
#: The folder in the archive.
INSIDE = "cifar-10-batches-bin"
NAMES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip
MEND = "take another copy of it"


def read_folder(folder: Path) -> Raw:
    """Read CIFAR-10 from a folder.

    It holds the six binary files, packed (.gz) or not, or the archive with them as published.
    Training set and test set are sorted by the bytes of their records, so that every copy without
    loss gives the same samples in the same order.

    Raises
    ------
    DataError
        If a file is missing or damaged.
    """
    contents = _from_files(folder)
    if contents is None and (folder / INSIDE).is_dir():
        contents = _from_files(folder / INSIDE)
    if contents is None:
        contents = _from_archive(folder)
    sets = []
    for names in (TRAIN, TEST):
        for name in names:
            where, content = contents[name]
            if len(content) != SIZE:
                raise DataError(
                    f"{where}: must hold 10,000 records of {RECORD} bytes, not {len(content)} "
                    f"bytes; {MEND}"
                )
            if max(content[::RECORD]) >= len(NAMES):
                raise DataError(f"{where}: a label is over 9, so it is no CIFAR-10; {MEND}")
        joined = b"".join(contents[name][1] for name in names)
        records = sorted(joined[i : i + RECORD] for i in range(0, len(joined), RECORD))
        sets.append(np.frombuffer(b"".join(records), np.uint8).reshape(-1, RECORD))
    train, test = sets
    return Raw(
        where=shown(folder),
        x=train[:, 1:],
        y=train[:, 0].astype(np.int64),
        test_x=test[:, 1:],
        test_y=test[:, 0].astype(np.int64),
        shape=SHAPE,
        names=NAMES,
    )


def _from_files(folder: Path) -> dict[str, tuple[str, bytes]] | None:
    """Read the six files, and name each; None if none is there."""
    files = {
        name: next((f for f in (folder / f"{name}.gz", folder / name) if f.is_file()), None)
        for name in TRAIN + TEST
    }
    if not any(files.values()):
        return None
    contents = {}
    for name, file in files.items():
        if file is None:
            raise MissingError(
                f"{shown(folder / name)}: is missing; put all six files there, packed (.gz) or not"
            )
        try:
            with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as opened:
                contents[name] = shown(file), opened.read(SIZE + 1)
        except (gzip.BadGzipFile, EOFError, zlib.error):
            raise DataError(f"{shown(file)}: is damaged (it does not unpack); {MEND}") from None
        except OSError as error:
            raise unreadable(file, error, "let it be read") from None
    return contents


def _from_archive(folder: Path) -> dict[str, tuple[str, bytes]]:
    file = next((f for f in (folder / ARCHIVE, folder.parent / ARCHIVE) if f.is_file()), None)
    if file is None:
        raise MissingError(
            f"{shown(folder)}: CIFAR-10 is not there; put {ARCHIVE} or the six files in it there, "
            "packed (.gz) or not, or set LEL_DATA to the folder that holds cifar10/"
        )
    where, contents = shown(file), {}
    try:
        with tarfile.open(file, "r:gz") as archive:
            for name in TRAIN + TEST:
                member = archive.extractfile(f"{INSIDE}/{name}")
                if member is None:
                    raise KeyError
                contents[name] = f"{where}: {INSIDE}/{name}", member.read(SIZE + 1)
            # The checksum is compared once the end is reached.
            while archive.fileobj and archive.fileobj.read(1 << 20):
                pass
    except KeyError:
        raise DataError(f"{where}: does not hold {INSIDE} with all six files; {MEND}") from None
    except OSError as error:
        if error.strerror:
            raise unreadable(file, error, "let it be read") from None
        raise DataError(f"{where}: is damaged (it does not unpack); {MEND}") from None
    # tarfile lets through what struct, zlib and its own code raise.
    except Exception:
        raise DataError(f"{where}: is damaged (it does not unpack); {MEND}") from None
    return contents
