# SPDX-License-Identifier: BSD-2-Clause
"""What runs leave in their folder: checkpoints and outcomes, each with a digest of its content.

A file that is damaged is named and left alone. What is written after it gets a new name, DIGEST-2
and so on; of several the last one that is whole is taken.
"""

import hashlib
import io
import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from golden.errors import RunError, shown
from golden.files import replacing

__all__ = ["Checkpoints", "read_outcome", "write_outcome"]

OUTCOME, CHECKPOINT = ".json", ".checkpoint"
#: Checkpoints that are kept: the last one, and the one before should that be damaged.
KEPT = 2


def read_outcome(folder: Path, name: str, settings: dict[str, Any]) -> dict[str, Any] | None:
    """Read the outcome of a run of these settings; None if there is none that is whole."""

    def parse(content: bytes) -> dict[str, Any]:
        values = json.loads(content)
        if values.pop("digest") != _digest(values) or values["settings"] != _plain(settings):
            raise ValueError
        return values

    for path, values in _whole(folder, name, OUTCOME, parse):
        if values:
            return values
        _say(f"{shown(path)}: is damaged or cannot be read, so the run is made again, beside it")
    return None


def write_outcome(folder: Path, name: str, values: dict[str, Any]):
    """Write the outcome of a run beside what is there.

    Raises
    ------
    RunError
        If that fails.
    """
    values = _plain(values)
    text = json.dumps(values | {"digest": _digest(values)}, indent=1)
    _write(_next(folder, name, OUTCOME), text.encode())


class Checkpoints:
    """The checkpoints of one run.

    Parameters
    ----------
    folder, name
        Where they lie, and the name of the run's files.
    """

    def __init__(self, folder: Path, name: str):
        self.folder, self.name = folder, name
        # Those that are whole, the last one last.
        self._whole: list[Path] = []

    def last(self, take: Callable[[dict[str, Any]], None]) -> bool:
        """Give the values of the last one that is whole to `take`; tell whether there is one.

        One that `take` raises an exception for is not whole.
        """

        def parse(content: bytes) -> bool:
            digest, payload = content[:32], content[32:]
            if hashlib.sha256(payload).digest() != digest:
                raise ValueError
            take(torch.load(io.BytesIO(payload), weights_only=True))
            return True

        for path, done in _whole(self.folder, self.name, CHECKPOINT, parse):
            if done:
                self._whole = [path]
                return True
            _say(f"{shown(path)}: is damaged or cannot be read, so the one before it is taken")
        return False

    def write(self, values: dict[str, Any]):
        """Write one, and remove the one before the last.

        Raises
        ------
        RunError
            If it cannot be written.
        """
        file = io.BytesIO()
        torch.save(values, file)
        payload = file.getvalue()
        path = _next(self.folder, self.name, CHECKPOINT)
        _write(path, hashlib.sha256(payload).digest() + payload)
        self._whole.append(path)
        while len(self._whole) > KEPT:
            self._whole.pop(0).unlink(missing_ok=True)

    def remove(self):
        """Remove those that are whole."""
        for path in self._whole:
            path.unlink(missing_ok=True)


def _whole(
    folder: Path, name: str, suffix: str, parse: Callable[[bytes], Any]
) -> Iterator[tuple[Path, Any]]:
    """Give the files of a run, the last one first, and what they hold: None where damaged."""
    for path in reversed(_files(folder, name, suffix)):
        try:
            yield path, parse(path.read_bytes())
        except FileNotFoundError:
            # Another process that makes the same run has removed it.
            continue
        # What foreign code raises on a damaged file has no end.
        except Exception:
            yield path, None


def _files(folder: Path, name: str, suffix: str) -> list[Path]:
    """List the files of a run in their order."""
    found = {_number(path, name, suffix): path for path in folder.glob(f"{name}*{suffix}")}
    return [found[number] for number in sorted(filter(None, found))]


def _number(path: Path, name: str, suffix: str) -> int:
    """Give the number of a file of a run, from 1; 0 if it is another file."""
    match = re.fullmatch(f"{name}(?:-([0-9]+))?{re.escape(suffix)}", path.name)
    return int(match[1] or 1) if match else 0


def _next(folder: Path, name: str, suffix: str) -> Path:
    """Give the name that follows those that are there."""
    files = _files(folder, name, suffix)
    if not files:
        return folder / f"{name}{suffix}"
    return folder / f"{name}-{_number(files[-1], name, suffix) + 1}{suffix}"


def _write(path: Path, content: bytes):
    try:
        with replacing(path) as file:
            file.write(content)
    except OSError as error:
        raise RunError(
            f"{shown(path)}: cannot be written: {error.strerror}; what was kept before is still "
            "there: mend that, and start again"
        ) from None


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """Give values as JSON gives them back."""
    return json.loads(json.dumps(values))


def _digest(values: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _say(text: str):
    tqdm.write(text, file=sys.stderr)
