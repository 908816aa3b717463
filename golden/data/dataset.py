# SPDX-License-Identifier: BSD-2-Clause
"""What a data set is, and how what was read from files becomes one."""

import hashlib
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from golden.data.scaling import Scaling
from golden.data.split import split
from golden.errors import InputError, quoted, shown

__all__ = ["TEST", "Data", "DataError", "MissingError", "Raw", "held_out", "make", "set_aside"]

#: Share of the samples to test on, where a description does not say.
TEST = 0.2
#: The most inputs and classes of a network.
INPUTS, CLASSES = 65535, 1024
#: Names that are listed in a message.
LISTED = 5


class DataError(InputError):
    """A data set is missing or damaged; the message names the file, the place and the mend."""


class MissingError(DataError):
    """A data set is not there."""


@dataclass(frozen=True, eq=False)
class Data:
    """Samples to train and to test on.

    Parameters
    ----------
    train_x, test_x
        Inputs, uint8 (n, M).
    train_y, test_y
        Labels, int64 (n,): the number of the class.
    labels
        The names of the classes; empty where they have none.
    scaling
        How features became inputs; None where they were 8-bit numbers.
    shape
        Of a sample, where it is an image, such as (28, 28) or (3, 32, 32).
    features
        The names of the inputs, where they have some.
    warnings
        What people should know of it, a line each.
    held_x, held_y
        Samples held out of the training set to choose by (`golden.schedule`); as a rule, none.
    """

    train_x: np.ndarray
    train_y: np.ndarray
    test_x: np.ndarray
    test_y: np.ndarray
    labels: tuple[str, ...] = ()
    scaling: Scaling | None = None
    shape: tuple[int, ...] | None = None
    features: tuple[str, ...] | None = None
    warnings: tuple[str, ...] = ()
    held_x: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), np.uint8))
    held_y: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))

    @property
    def inputs(self) -> int:
        """Inputs of a sample."""
        return self.train_x.shape[1]

    @property
    def image(self) -> tuple[int, ...] | None:
        """(Channels, rows, columns) of a sample, where it is an image whose channels come first."""
        shape = self.shape or ()
        if len(shape) == 3 and shape[0] not in (1, 3) and shape[2] in (1, 3):
            return None
        return {2: (1, *shape), 3: shape}.get(len(shape))

    @property
    def classes(self) -> int:
        """Number of the classes."""
        return len(self.labels)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of all samples and the names of their classes, in hexadecimal digits."""
        digest = hashlib.sha256(repr(self.labels).encode("utf-8", "backslashreplace"))
        for array in (self.train_x, self.train_y, self.test_x, self.test_y):
            digest.update(f"{array.dtype.str} {array.shape}".encode())
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()

    def check_batch(self, batch: int, where: str):
        """Check that there is a batch to train on; `where` its size is given goes into the message.

        Raises
        ------
        DataError
            If it is larger than the training set.
        """
        if batch > len(self.train_x):
            raise DataError(
                f"{where}: batch: {batch} is more than the {len(self.train_x)} samples to train "
                "on; lower it"
            )


@dataclass(frozen=True, kw_only=True, eq=False)
class Raw:
    """What was read.

    Parameters
    ----------
    where
        What it was read from, as messages name it.
    x, y
        Features (n, M) of any number type, finite; labels (n,), integers or texts.
    test_x, test_y
        The same of the test set, if there is one.
    shape, features
        As in `Data`.
    names
        Of all classes, where the labels are their numbers, int64.
    label
        What says the labels, as messages name it.
    """

    where: str
    x: np.ndarray
    y: np.ndarray
    test_x: np.ndarray | None = None
    test_y: np.ndarray | None = None
    shape: tuple[int, ...] | None = None
    features: tuple[str, ...] | None = None
    names: tuple[str, ...] | None = None
    label: str = "the labels"


def make(raw: Raw, *, test: float | None = None, scale: str | None = None) -> Data:
    """Number the classes, split, and scale.

    Raises
    ------
    DataError
        If that cannot be done, or `test` or `scale` is given and not needed.
    """
    where, x = raw.where, raw.x
    if not len(x) or (raw.test_x is not None and not len(raw.test_x)):
        which = "a sample" if not len(x) else "a sample to test on"
        raise DataError(f"{where}: there is not {which}; give some")
    if not 1 <= x.shape[1] <= INPUTS:
        raise DataError(
            f"{where}: a sample has {x.shape[1]} features, which must be from 1 to {INPUTS}; "
            "give others, or fewer"
        )
    names, y, test_y = _numbered(raw)
    warnings = []
    if raw.test_x is None:
        train, tested = split(y, TEST if test is None else test)
        if not len(tested):
            raise DataError(
                f"{where}: no class has two samples, so that one could be tested on; give more"
            )
        x, y, test_x, test_y = x[train], y[train], x[tested], y[tested]
    elif test is not None:
        raise DataError(f"{where}: has a test set of its own; remove test from the description")
    else:
        test_x = raw.test_x
        assert test_y is not None
        lacking = [names[c] for c in np.setdiff1d(test_y, y)]
        if lacking:
            warnings.append(
                f"{where}: the test set has classes that the training set lacks: {_list(lacking)}; "
                "no sample of theirs can be predicted right"
            )
    scaling = None
    if x.dtype == np.uint8 and test_x.dtype == np.uint8:
        if scale is not None:
            raise DataError(
                f"{where}: holds 8-bit numbers, which are not scaled; remove scale from the "
                "description"
            )
    else:
        x, test_x = x.astype(np.float64), test_x.astype(np.float64)
        scaling = _scaling(raw, x, together=scale == "global")
        x, test_x = scaling.apply(x), scaling.apply(test_x)
    # Borders of images are what they are.
    constant = np.flatnonzero((x == x[0]).all(axis=0)) if raw.shape is None else []
    if len(constant):
        constants = [raw.features[i] if raw.features else f"feature {i}" for i in constant]
        warnings.append(
            f"{where}: {len(constant)} of {x.shape[1]} features are the same in all training "
            f"samples: {_list(constants)}; nothing is learned from them"
        )
    # PyTorch warns of what cannot be written, as what stands in bytes cannot.
    x, test_x = (np.require(inputs, requirements=("C", "W")) for inputs in (x, test_x))
    return Data(
        x, y, test_x, test_y, names, scaling, raw.shape, raw.features, tuple(warnings),
    )  # fmt: skip


def _numbered(raw: Raw) -> tuple[tuple[str, ...], np.ndarray, np.ndarray | None]:
    """Number the classes: integers in their order, texts sorted by their code points."""
    if raw.names is not None:
        return raw.names, raw.y, raw.test_y
    count = len(raw.y)
    both = raw.y if raw.test_y is None else np.concatenate([raw.y, raw.test_y])
    found, numbers = np.unique(both, return_inverse=True)
    if len(np.unique(numbers[:count])) < 2:
        only = quoted(found[numbers[0]].item())
        raise DataError(
            f"{raw.where}: all samples to train on are of one class, {only} in {raw.label}; give "
            "samples of two classes or more"
        )
    if len(found) > CLASSES:
        raise DataError(
            f"{raw.where}: there are {len(found)} classes in {raw.label}, over the limit of "
            f"{CLASSES}; take what has fewer values"
        )
    names = tuple(str(label) for label in found)
    numbers = numbers.astype(np.int64).reshape(-1)
    return names, numbers[:count], None if raw.test_y is None else numbers[count:]


def _scaling(raw: Raw, x: np.ndarray, *, together: bool) -> Scaling:
    scaling = Scaling.of(x, together=together)
    with np.errstate(over="ignore"):
        wide = np.flatnonzero(~np.isfinite((scaling.high - scaling.low) * 255))
    if len(wide):
        name = quoted(raw.features[wide[0]]) if raw.features else int(wide[0])
        raise DataError(
            f"{raw.where}: the range of feature {name} is too large to be scaled; divide it"
        )
    return scaling


def _list(names: list[str]) -> str:
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(quoted(name) for name in names[:LISTED]) + more


def held_out(data: Data) -> Data:
    """Take the last sixth of the training samples to test on, and leave the test set alone.

    So 60,000 samples become 50,000 to train on and 10,000 to choose by, as in the paper. Where one
    of the two would lack a class, as with samples sorted by their labels, they are split as by
    `golden.data.split`.

    Raises
    ------
    DataError
        If there are too few samples.
    """
    kept = len(data.train_x) - len(data.train_x) // 6
    if kept == len(data.train_x):
        raise DataError(
            f"there are {kept} samples to train on: a sixth of them cannot be held out; give six "
            "or more"
        )
    train, tested = np.arange(kept), np.arange(kept, len(data.train_x))
    if any(len(np.setdiff1d(data.train_y, data.train_y[part])) for part in (train, tested)):
        train, tested = split(data.train_y, 1 / 6)
    return replace(
        data,
        train_x=data.train_x[train],
        train_y=data.train_y[train],
        test_x=data.train_x[tested],
        test_y=data.train_y[tested],
    )


def set_aside(data: Data) -> Data:
    """Hold out the samples that `held_out` takes, as `held_x` and `held_y`, beside the test set."""
    parts = held_out(data)
    return replace(
        data,
        train_x=parts.train_x,
        train_y=parts.train_y,
        held_x=parts.test_x,
        held_y=parts.test_y,
    )


def unreadable(path: Path, error: OSError, mend: str) -> DataError:
    """Make the error of a file that cannot be read."""
    kind = MissingError if isinstance(error, FileNotFoundError | NotADirectoryError) else DataError
    return kind(f"{shown(path)}: cannot be read: {error.strerror}; {mend}")
