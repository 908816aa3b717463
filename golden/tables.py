# SPDX-License-Identifier: BSD-2-Clause
"""Files of TOML, and checked access to the tables in them."""

import difflib
import tomllib
from pathlib import Path
from typing import Any

from golden.errors import InputError, quoted, shown

__all__ = ["SpecError", "Table", "read", "read_text"]

#: Most bytes of a file of TOML; one that holds more is no description.
FILE_LIMIT = 1 << 22


class SpecError(InputError):
    """The description is not valid; the message names the file, the key and the mend."""


class Table:
    """Checked access to one table of a TOML file; `where` in the file `path` names it."""

    def __init__(self, table: dict, path: str, where: str, known: tuple[str, ...]):
        self.table, self.path, self.where = table, path, where
        for key in table:
            if key not in known:
                near = difflib.get_close_matches(key[:40], known, 1)
                mend = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
                raise self.error(key, f"unknown key; {mend}")

    def error(self, key: str, text: str) -> SpecError:
        return SpecError(f"{shown(self.path)}: {self.where}{shown(key)}: {text}")

    def integer(self, key: str, low: int, high: int, default: int | None = None) -> int:
        value = self.table.get(key, default)
        if value is None:
            raise self.error(key, f"is missing; give a number from {low} to {high}")
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.error(key, f"must be a whole number, not {quoted(value)}")
        if not low <= value <= high:
            raise self.error(key, f"must be from {low} to {high}, not {quoted(value)}")
        return value

    def number(self, key: str, low: float, high: float) -> float | None:
        value = self.table.get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.error(key, f"must be a number, not {quoted(value)}")
        if not low <= value <= high:
            raise self.error(key, f"must be from {low:,} to {high:,}, not {quoted(value)}")
        return float(value)

    def text(self, key: str) -> str | None:
        value = self.table.get(key)
        if value is not None and (not isinstance(value, str) or not value or "\0" in value):
            raise self.error(key, f"must be a text, not {quoted(value)}")
        return value

    def flag(self, key: str) -> bool:
        value = self.table.get(key, False)
        if not isinstance(value, bool):
            raise self.error(key, f"must be true or false, not {quoted(value)}")
        return value

    def choice(self, key: str, known: tuple[str, ...], default: str | None) -> str | None:
        value = self.table.get(key, default)
        if value is not None and value not in known:
            raise self.error(key, f"must be one of {', '.join(known)}, not {quoted(value)}")
        return value


def read(path: str | Path) -> dict[str, Any]:
    """Read a TOML file.

    Raises
    ------
    SpecError
        If it cannot be read or is not TOML.
    """
    text = read_text(path)
    try:
        return tomllib.loads(text)
    except Exception as error:
        # Whatever a text does to the parser (nested too deep, numbers too long): it is the text's.
        raise SpecError(f"{shown(path)}: is not TOML that can be read: {shown(error)}") from None


def read_text(path: str | Path) -> str:
    r"""Read a TOML file as it is written, with lines that end in "\n".

    Raises
    ------
    SpecError
        If it cannot be read.
    """
    name = shown(path)
    try:
        with open(path, "rb") as file:
            content = file.read(FILE_LIMIT + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise SpecError(f"{name}: cannot be read: {reason}; give a .toml file") from None
    if len(content) > FILE_LIMIT:
        raise SpecError(f"{name}: is larger than {FILE_LIMIT} bytes; give a .toml file")
    try:
        # With or without the mark at its head that some editors write.
        return content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError:
        raise SpecError(f"{name}: is not a text in UTF-8; give a .toml file") from None
