# SPDX-License-Identifier: BSD-2-Clause
"""Files that others see whole or not at all."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from golden.errors import InputError, shown

__all__ = ["check_folder", "check_place", "replacing", "write_text"]


def check_place(path: Path, size: int = 0):
    """Check that a file of `size` bytes can be written, before the work that makes it is done.

    Raises
    ------
    InputError
        If it is a folder, its folder is missing or cannot be written, or the disk has no room.
    """
    if path.is_dir():
        raise InputError(f"{shown(path)}: is a folder; give a file to write to")
    if path.exists() and not path.is_file():
        return
    path = path.resolve()
    if not path.parent.is_dir():
        raise InputError(
            f"{shown(path)}: there is no folder {shown(path.parent)}; make it, or give another file"
        )
    try:
        # Room is only where it can be filled.
        with tempfile.TemporaryFile(dir=path.parent) as file:
            file.write(bytes(size))
            file.flush()
    except OSError as error:
        raise InputError(
            f"{shown(path)}: cannot be written: {error.strerror}; give a file in a folder that "
            f"can be written, with room for {size} bytes"
        ) from None


def check_folder(folder: Path, room: int = 0):
    """Make a folder, and check that files of `room` bytes can be written there.

    Raises
    ------
    InputError
        If not.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            free = shutil.disk_usage(folder).free
    except OSError as error:
        raise InputError(
            f"{shown(folder)}: cannot be written: {error.strerror}; work in a folder where you may "
            "write"
        ) from None
    if free < room:
        raise InputError(
            f"{shown(folder)}: the disk has room for {free >> 20} MB, and {-(-room >> 20)} MB are "
            "needed; make room, or work on another disk"
        )


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Write a file beside `path` that takes its place once it is whole and on the disk.

    Until then, and if anything fails, what was there before stays as it was. Several processes may
    do so at once: the last one wins. A link stays, and what it names is written; so is what cannot
    be replaced, such as a terminal, from the start.

    Raises
    ------
    OSError
        If the folder is missing or cannot be written, or the disk is full.
    """
    path = path.resolve()
    if path.exists() and not path.is_file() and not path.is_dir():
        # A pipe or a device, such as /dev/null, is written to: it cannot be replaced.
        with path.open("wb") as file:
            yield file
        return
    # Not mkstemp's private mode: what is left here is for everyone whom the umask allows.
    umask = os.umask(0)
    os.umask(umask)
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:100]}.")
    except OSError as error:
        # What people know is the file, not the one beside it.
        raise type(error)(error.errno, error.strerror, str(path)) from None
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o666 & ~umask)
        Path(name).replace(path)
    except BaseException:
        with suppress(OSError):
            Path(name).unlink()
        raise


def write_text(path: Path, text: str):
    """Write a text in UTF-8, whole or not at all; errors as `replacing`.

    What is no text, as bytes of a path may be, is written as an escape.
    """
    with replacing(path) as file:
        file.write(text.encode("utf-8", "backslashreplace"))
