# SPDX-License-Identifier: BSD-2-Clause
"""The part of a description that says what to train and to test on."""

import os
import re
from dataclasses import dataclass
from math import prod
from pathlib import Path

from golden.errors import quoted, shown
from golden.tables import Table

__all__ = [
    "DATA_SHAPES",
    "DATA_SIZES",
    "NAME",
    "NONZERO",
    "SCALES",
    "DataSpec",
    "data_of",
    "sizes_of",
]

#: Inputs and classes of the data sets that have names of the project's.
DATA_SIZES = {
    "digits": (64, 10),
    "mnist": (784, 10),
    "wine": (13, 3),
    "breast-cancer": (30, 2),
    "cifar10": (3072, 10),
}
#: (Channels, rows, columns) of those that are images.
DATA_SHAPES = {"digits": (1, 8, 8), "mnist": (1, 28, 28), "cifar10": (3, 32, 32)}
#: Those that have no test set.
WHOLE = ("wine", "breast-cancer")
#: Share of the training inputs that are not 0, of those sets in which many are 0.
NONZERO = {"digits": 0.51, "mnist": 0.19}
#: Files that may be given as data.
DATA_FILES = (".csv", ".npz")
#: Range of the share of samples to test on.
TEST_SHARES = 0.01, 0.9
SCALES = ("feature", "global")
#: Names of data sets, descriptions and networks.
NAME = re.compile("[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


@dataclass(frozen=True)
class DataSpec:
    """What to train and to test on, as a description says it.

    Parameters
    ----------
    source
        The name of a data set, or a path, as written.
    path
        The path, where it is one, from where the program was started.
    label
        The column of the labels, in a .csv (by default the last one).
    test
        Share of the samples to test on, where there is no test set (by default 0.2).
    scale
        Whether each "feature" is scaled by its own range (the default), or by a "global" one.
    """

    source: str
    path: str | None = None
    label: str | None = None
    test: float | None = None
    scale: str | None = None

    def __str__(self) -> str:
        return self.source


def data_of(top: Table, folder: Path) -> DataSpec | None:
    """Read what to train on."""
    source = top.text("data")
    label, test, scale = top.text("label"), top.table.get("test"), top.choice("scale", SCALES, None)
    if source is None:
        for key in ("label", "test", "scale"):
            if key in top.table:
                raise top.error(key, "is for data, which is missing; name a data set, or remove it")
        return None
    known = f"give one of {', '.join(DATA_SIZES)}, or a path"
    is_path = source.lower().endswith(DATA_FILES) or "/" in source or os.sep in source
    if not is_path and not NAME.fullmatch(source):
        raise top.error("data", f"must be the name of a data set, or a path, not {quoted(source)}; "
                        f"{known}")  # fmt: skip
    if test is not None:
        if isinstance(test, bool) or not isinstance(test, int | float):
            raise top.error("test", f"must be a number, not {quoted(test)}")
        if not TEST_SHARES[0] <= test <= TEST_SHARES[1]:
            raise top.error(
                "test", f"must be from {TEST_SHARES[0]} to {TEST_SHARES[1]}, not {test}"
            )
    named = not is_path and source in DATA_SIZES
    if named and source not in WHOLE:
        if test is not None:
            raise top.error("test", f"is not for {source}, which has a test set; remove it")
        if scale is not None:
            raise top.error("scale", f"is not for {source}, which has 8-bit inputs; remove it")
    if label is not None and not source.lower().endswith(".csv"):
        raise top.error("label", "names a column of a .csv, which data is not; remove it")
    path = str(folder / source) if is_path else None
    return DataSpec(source, path, label, None if test is None else float(test), scale)


def sizes_of(top: Table, data: DataSpec | None) -> tuple[int, int, tuple[int, ...] | None]:
    """Find inputs, classes, and the shape of an image: those given, those of the data, or both.

    Raises
    ------
    SpecError
        If they do not agree, or some are missing.
    """
    shape = _shape(top)
    keys, limits = ("inputs", "classes"), ((1, 65535), (2, 1024))
    given = ["inputs" in top.table or shape is not None, "classes" in top.table]
    sizes: tuple[int | None, int | None] = None, None
    known = None
    if data is None:
        if not given[0]:
            raise top.error("data", f"is missing; give one of {', '.join(DATA_SIZES)}, a path, or "
                            "inputs")  # fmt: skip
    elif data.path is None and data.source in DATA_SIZES:
        sizes, known = DATA_SIZES[data.source], DATA_SHAPES.get(data.source)
    else:
        # It is not needed for a set that has a name of the project's.
        from golden.data import MissingError, load

        try:
            found = load(data)
            sizes, known = (found.inputs, found.classes), found.image
        except MissingError as error:
            # What does not need it can be done all the same.
            if not all(given):
                raise top.error("data", str(error)) from None
    if shape is not None and known is not None and shape != known:
        raise top.error("shape", f"must be {[*known]} for {shown(Path(str(data)))}, not {[*shape]}")
    numbers = top.table.get("inputs", sizes[0])
    if shape is not None and numbers not in (None, prod(shape)):
        raise top.error("shape", f"must have {shown(numbers)} numbers, not {prod(shape)}")
    shape = shape or known
    made = []
    for key, size, (low, high) in zip(keys, sizes, limits, strict=True):
        value = top.integer(key, low, high, prod(shape) if key == "inputs" and shape else size)
        if size is not None and value != size:
            raise top.error(key, f"must be {size} for {shown(Path(str(data)))}, not {value}")
        made.append(value)
    return made[0], made[1], shape


def _shape(top: Table) -> tuple[int, ...] | None:
    """Read the shape of an image."""
    shape = top.table.get("shape")
    if shape is None:
        return None
    whole = isinstance(shape, list) and all(
        isinstance(n, int) and not isinstance(n, bool) and 1 <= n <= 65535 for n in shape
    )
    if not whole or len(shape) != 3:
        raise top.error(
            "shape", f"must be [channels, rows, columns], each at least 1, not {quoted(shape)}"
        )
    return tuple(shape)
