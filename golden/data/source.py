# SPDX-License-Identifier: BSD-2-Clause
"""Which data set a description means."""

import os
from functools import lru_cache
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path

from golden.data import builtin, cifar, idx, mnist, table
from golden.data.dataset import Data, DataError, MissingError, Raw, make
from golden.data_spec import DATA_SIZES, DataSpec
from golden.errors import quoted, shown

__all__ = ["FOLDER", "identity", "load"]

#: Environment variable that names the folder of data sets.
FOLDER = "LEL_DATA"
#: Data sets that stay in memory.
KEPT = 2


def load(source: DataSpec | str) -> Data:
    """Load what a description's `data` names (`DataSpec`); a text is such a name.

    "digits", "wine" and "breast-cancer" come with scikit-learn. "mnist", "cifar10" and every other
    name are folders of the folder that the environment variable LEL_DATA names; if there is no such
    variable, of the user's cache folder, into which MNIST is fetched.

    Raises
    ------
    DataError
        If a file is missing or damaged, or is not what was distributed.
    """
    if isinstance(source, str):
        source = DataSpec(source)
    named = os.environ.get(FOLDER)
    folder = Path(named) if named else user_cache_path("lel")
    place = Path(source.path) if source.path is not None else folder / source.source
    fetch = source.path is None and not named
    return _load(source, str(place), fetch, _state(place))


def identity(source: DataSpec | str) -> Any:
    """Give, for JSON, what decides which samples a description means, wherever they lie.

    Raises
    ------
    DataError
        If it is not a set of the project and is missing or damaged.
    """
    if isinstance(source, str):
        source = DataSpec(source)
    if source.path is None and source.source in DATA_SIZES:
        return source.source if source.test is None and source.scale is None else {
            "name": source.source, "test": source.test, "scale": source.scale,
        }  # fmt: skip
    return {"content": load(source).digest}


def _state(place: Path) -> tuple[Any, ...]:
    """Say which files lie there, so that others are read anew."""
    try:
        files = [place, *sorted(place.iterdir())] if place.is_dir() else [place]
        return tuple((str(f), f.stat().st_mtime_ns, f.stat().st_size) for f in files)
    except OSError:
        return ()


@lru_cache(maxsize=KEPT)
def _load(source: DataSpec, place: str, fetch: bool, _state: tuple[Any, ...]) -> Data:
    raw = _read(source, Path(place), fetch=fetch)
    return make(raw, test=source.test, scale=source.scale)


def _read(source: DataSpec, place: Path, *, fetch: bool) -> Raw:
    suffix = place.suffix.lower()
    if source.label is not None and (source.path is None or suffix != ".csv"):
        raise DataError(
            f"{quoted(source.source)}: label names a column of a .csv, which this is not; remove it"
        )
    if source.path is not None:
        if not place.exists():
            raise MissingError(
                f"{shown(place)}: is not there; give data the path of a .csv, an .npz or a folder "
                "of idx files, from the folder of the description"
            )
        if place.is_dir():
            return idx.read_folder(place)
        if suffix not in (".csv", ".npz"):
            raise DataError(
                f"{shown(place)}: data must be a .csv, an .npz or a folder of idx files, which "
                "this is not"
            )
        return table.read_npz(place) if suffix == ".npz" else table.read_csv(place, source.label)
    if source.source == "digits":
        return builtin.digits()
    if source.source in ("wine", "breast-cancer"):
        return builtin.table(source.source)
    if source.source == "mnist":
        return mnist.read_folder(place, fetch=fetch)
    if source.source == "cifar10":
        return cifar.read_folder(place)
    if not place.is_dir():
        raise MissingError(
            f"{quoted(source.source)}: there is no such data set: it is none of "
            f"{', '.join(DATA_SIZES)}, and there is no folder {shown(place)} of idx files (set "
            f"{FOLDER} to the folder that holds it); a path begins with ./ or ends in .csv or .npz"
        )
    return idx.read_folder(place)
