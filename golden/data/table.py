# SPDX-License-Identifier: BSD-2-Clause
"""Tables of anyone's own: CSV files and NumPy's .npz."""

import csv
import re
import zipfile
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path

import numpy as np

from golden.data.dataset import DataError, Raw, unreadable
from golden.errors import quoted, shown

__all__ = ["read_csv", "read_npz"]

#: Rows that are converted at once.
CHUNK = 10000
#: Cells that stand for a value that is missing.
MISSING = ("", "?", "na", "n/a", "nan", "null", "none")
INTEGER = re.compile(r"[+-]?[0-9]+")
#: Digits of the longest integer that may be a label.
DIGITS = 18
#: What an .npz holds: one of these.
KEYS = (("x_train", "y_train", "x_test", "y_test"), ("x", "y"))
HOLDS = "x_train, y_train, x_test, y_test, or x, y"


class _Csv:
    """A CSV file while it is read.

    Lines are counted as editors do, from 1; a row that goes over several is named by its last.
    """

    def __init__(self, path: Path, label: str | None):
        self.where = shown(path)
        self.file = path.open(encoding="utf-8-sig", newline="")
        self.reader = csv.reader(self.file, strict=True)
        self.head = next(self.reader, [])
        self._check_head()
        if label is not None and label not in self.head:
            known = ", ".join(quoted(name) for name in self.head[:20])
            raise DataError(
                f"{self.where}: label: there is no column {quoted(label)}; its columns are {known}"
                f"{', ...' if len(self.head) > 20 else ''}"
            )
        self.column = len(self.head) - 1 if label is None else self.head.index(label)

    def _check_head(self):
        where, head = f"{self.where}: line 1", self.head
        if not head:
            raise DataError(f"{where}: is empty; give a header with the names of the columns")
        if len(head) == 1:
            raise DataError(
                f"{where}: there is one column, {quoted(head[0])}; give features and a label, "
                "separated by commas"
            )
        numbered = head == [str(i) for i in range(len(head))]
        if not numbered and all(_number(name) is not None for name in head):
            raise DataError(
                f"{where}: all cells are numbers; give a header there with the names of the columns"
            )
        seen: set[str] = set()
        for column, name in enumerate(head):
            if not name.strip():
                raise DataError(
                    f"{where}: column {column + 1} has no name; name it, or leave the column out"
                )
            if name in seen:
                raise DataError(
                    f"{where}: two columns are named {quoted(name)}; give each a name of its own"
                )
            seen.add(name)

    def chunks(self) -> Iterator[tuple[list[list[str]], list[int]]]:
        """Give the rows, some at a time, with the number of the line of each."""
        width = len(self.head)

        def rows() -> Iterator[tuple[list[str], int]]:
            for row in self.reader:
                line = self.reader.line_num
                # A blank line is no row.
                if row:
                    if len(row) != width:
                        raise DataError(
                            f"{self.where}: line {line}: has {len(row)} cells, but the header has "
                            f"{width}; give one for each column"
                        )
                    yield row, line

        left = rows()
        while part := list(islice(left, CHUNK)):
            yield [row for row, _ in part], [line for _, line in part]

    def numbers(self, rows: list[list[str]], lines: list[int]) -> np.ndarray:
        """Convert the cells of rows to finite numbers, float64 (n, M)."""
        try:
            flat = np.fromiter(map(float, chain.from_iterable(rows)), np.float64)
        except ValueError:
            flat = np.array([np.nan])
        if np.isfinite(flat).all():
            return flat.reshape(len(rows), -1)
        names = [name for i, name in enumerate(self.head) if i != self.column]
        for row, line in zip(rows, lines, strict=True):
            for name, cell in zip(names, row, strict=True):
                number = _number(cell)
                if number is None or not np.isfinite(number):
                    raise self._fault(cell, name, line)
        raise AssertionError("all cells are finite numbers")

    def _fault(self, cell: str, name: str, line: int) -> DataError:
        place = f"{self.where}: line {line}, column {quoted(name)}"
        if cell.strip().lower() in MISSING:
            return DataError(
                f"{place}: the value is missing ({quoted(cell)}); fill it in, or leave out the row "
                "or the column"
            )
        return DataError(
            f"{place}: must be a finite number, not {quoted(cell)}; mend it, or leave out the row "
            "or the column"
        )

    def labels(self, cells: list[str], lines: list[int]) -> np.ndarray:
        """Convert the cells of the label's column: to integers if all are, else to texts."""
        for cell, line in zip(cells, lines, strict=True):
            if cell.strip().lower() in ("", "nan"):
                raise self._fault(cell, self.head[self.column], line)
        if all(INTEGER.fullmatch(cell.strip()) for cell in cells):
            if max(len(cell) for cell in cells) <= DIGITS:
                return np.array([int(cell) for cell in cells], np.int64)
            return np.array([cell.strip() for cell in cells])
        numbers = [_number(cell) for cell in cells]
        known = [number for number in numbers if number is not None]
        if len(known) < len(cells):
            return np.array([cell.strip() for cell in cells])
        for cell, number, line in zip(cells, known, lines, strict=True):
            if not number.is_integer() or abs(number) > 2**53:
                raise DataError(
                    f"{self.where}: line {line}, column {quoted(self.head[self.column])}: a label "
                    f"must be an integer or a text, not {quoted(cell)}; name the column of the "
                    "labels with label, or number the classes"
                )
        return np.array(known).astype(np.int64)


def _number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None


def read_csv(path: Path, label: str | None = None) -> Raw:
    """Read a CSV file: a header, then a sample a row, numbers but for the label's column.

    It is UTF-8, with or without a byte order mark, separated by commas, quoted by '"'. The label is
    the column of that name, or the last one: integers, or texts.

    Raises
    ------
    DataError
        If it cannot be read, or a row is not as it should be.
    """
    where, place = shown(path), 1
    try:
        source = _Csv(path, label)
        with source.file:
            parts, cells, lines = [], [], []
            for rows, numbers in source.chunks():
                cells += [row.pop(source.column) for row in rows]
                lines += numbers
                parts.append(source.numbers(rows, numbers))
                place = source.reader.line_num
            if not cells:
                raise DataError(f"{where}: there is no row below the header; give samples")
            y = source.labels(cells, lines)
    except OSError as error:
        raise unreadable(path, error, "give a .csv file") from None
    except UnicodeDecodeError:
        raise DataError(f"{where}: is not a text in UTF-8; save it as UTF-8") from None
    except csv.Error as error:
        raise DataError(
            f"{where}: is not CSV, in or after line {place}: {error}; give cells separated by "
            "commas, quoted by '\"'"
        ) from None
    features = (name for i, name in enumerate(source.head) if i != source.column)
    return Raw(
        where=where,
        x=np.concatenate(parts),
        y=y,
        features=tuple(features),
        label=f"column {quoted(source.head[source.column])}",
    )


def read_npz(path: Path) -> Raw:
    """Read an .npz of NumPy that holds x_train, y_train, x_test, y_test, or x, y.

    Raises
    ------
    DataError
        If it cannot be read, or an array is not as it should be.
    """
    where = shown(path)
    arrays = _arrays(path)
    keys = next((keys for keys in KEYS if set(keys) <= set(arrays)), None)
    if keys is None:
        found = ", ".join(quoted(key) for key in list(arrays)[:10]) or "nothing"
        raise DataError(f"{where}: must hold {HOLDS}, not {found}; save them under these names")
    if len(keys) == 2 and (odd := sorted(set(arrays) & set(KEYS[0]))):
        raise DataError(f"{where}: holds x, y and also {odd[0]}; give {HOLDS}")
    sets = []
    for key_x, key_y in ((keys[0], keys[1]), (keys[-2], keys[-1])):
        x, y = _features(where, key_x, arrays[key_x]), _labels(where, key_y, arrays[key_y])
        if len(x) != len(y):
            raise DataError(
                f"{where}: {key_x} has {len(x)} samples, but {key_y} {len(y)}; give a label for "
                "each sample"
            )
        sets.append((x, y))
    shape = arrays[keys[0]].shape[1:]
    if arrays[keys[-2]].shape[1:] != shape:
        raise DataError(
            f"{where}: a sample of {keys[-2]} has the shape {arrays[keys[-2]].shape[1:]}, but one "
            f"of {keys[0]} {shape}; give the same"
        )
    (x, y), (test_x, test_y) = sets
    if y.dtype.kind != test_y.dtype.kind:
        raise DataError(f"{where}: {keys[1]} and {keys[-1]} must both be integers, or both texts")
    own = len(keys) == 4
    return Raw(
        where=where,
        x=x,
        y=y,
        test_x=test_x if own else None,
        test_y=test_y if own else None,
        shape=shape if len(shape) > 1 else None,
        label=keys[1],
    )


def _arrays(path: Path) -> dict[str, np.ndarray]:
    where, mend = shown(path), f"give an .npz that holds {HOLDS}"
    arrays = {}
    try:
        if path.exists() and not path.is_file():
            raise DataError(f"{where}: is not a file; {mend}")
        with zipfile.ZipFile(path) as archive:
            names = {name.removesuffix(".npy") for name in archive.namelist()}
        with np.load(path, allow_pickle=False) as archive:
            for key in names:
                try:
                    # Others are none of our business.
                    wanted = any(key in keys for keys in KEYS)
                    arrays[key] = archive[key] if wanted else np.empty(0)
                except ValueError as error:
                    if "allow_pickle" not in str(error):
                        raise
                    raise DataError(
                        f"{where}: {key}: holds Python objects, which are not read; save an array "
                        "of numbers"
                    ) from None
                if not isinstance(arrays[key], np.ndarray):
                    raise DataError(f"{where}: {key}: is no array; save it with numpy.savez")
    except (DataError, KeyboardInterrupt):
        raise
    except OSError as error:
        if error.strerror:
            raise unreadable(path, error, mend) from None
        raise DataError(f"{where}: is damaged, or not an .npz; {mend}") from None
    # What foreign code raises on a damaged file has no end.
    except Exception:
        raise DataError(f"{where}: is damaged, or not an .npz; {mend}") from None
    return arrays


def _features(where: str, key: str, x: np.ndarray) -> np.ndarray:
    """Check features, and flatten each sample."""
    if x.ndim < 2:
        raise DataError(
            f"{where}: {key}: must be of shape (samples, features), not {x.shape}; reshape it"
        )
    if x.dtype.kind not in "buif":
        raise DataError(f"{where}: {key}: must be numbers, not {x.dtype}; convert them")
    # Of no samples, the size of one is not to be computed.
    x = x.reshape(len(x), int(np.prod(x.shape[1:], dtype=object)))
    if x.dtype.kind == "f":
        for row, column in np.argwhere(~np.isfinite(x))[:1]:
            raise DataError(
                f"{where}: {key}: sample {row}, feature {column}: must be a finite number, not "
                f"{x[row, column]}; fill it in, or leave out the sample or the feature"
            )
        with np.errstate(over="ignore"):
            wide = x.astype(np.float64)
        if not np.isfinite(wide).all():
            raise DataError(f"{where}: {key}: has numbers too large for float64; divide them")
        return wide
    return x


def _labels(where: str, key: str, y: np.ndarray) -> np.ndarray:
    """Check labels: integers (as int64) or texts."""
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim != 1:
        hint = "; of one column a class, give y.argmax(axis=1)" if y.ndim == 2 else "; reshape it"
        raise DataError(f"{where}: {key}: must be of shape (samples,), not {y.shape}{hint}")
    if y.dtype.kind == "S":
        try:
            y = np.char.decode(y, "utf-8")
        except UnicodeDecodeError:
            raise DataError(f"{where}: {key}: is not in UTF-8; save texts, not bytes") from None
    if y.dtype.kind == "U":
        for row in np.flatnonzero(np.char.strip(y) == "")[:1]:
            raise DataError(
                f"{where}: {key}: the label of sample {row} is missing; fill it in, or leave the "
                "sample out"
            )
        return y
    if y.dtype.kind not in "buif":
        raise DataError(f"{where}: {key}: must be integers or texts, not {y.dtype}; convert them")
    whole = np.abs(y) <= 2**53 if y.dtype.kind == "f" else y <= 2**63 - 1
    if y.dtype.kind == "f":
        with np.errstate(invalid="ignore"):
            whole &= np.mod(y, 1) == 0
    for row in np.flatnonzero(~whole)[:1]:
        raise DataError(
            f"{where}: {key}: the label of sample {row} must be an integer or a text, not "
            f"{y[row]}; number the classes"
        )
    return y.astype(np.int64)
