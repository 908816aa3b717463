# SPDX-License-Identifier: BSD-2-Clause
"""Training as a description asks for it, and the accuracy that it leaves."""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np

from golden.data import Data
from golden.model import IntegerNetwork
from golden.order import order

__all__ = ["Model", "accuracy", "epochs", "steps"]

#: Test samples inferred at once.
CHUNK = 1000


class Model(Protocol):
    """What can be trained: the integer model, or one of the paper's in floats."""

    def train(self, x: Any, labels: Any, epoch: int) -> Any:
        """Make one step with a batch x (B, M) of pixels, uint8, and its labels (B,)."""
        ...

    def infer(self, x: Any) -> Sequence[Any]:
        """Give something with a `prediction` (B,) for each layer, or each that has one."""
        ...

    def state(self) -> dict[str, Any]:
        """Give all that training changes."""
        ...

    def restore(self, state: dict[str, Any]):
        """Go back to where `state` was taken."""
        ...


def epochs(
    network: IntegerNetwork, data: Data, samples: int | None = None
) -> Iterator[tuple[int, Iterator[int]]]:
    """Train a network, from its start, on all epochs of its description or so many `samples`.

    Yields
    ------
    epoch, steps
        The number of the epoch, from 0, and an iterator that trains it: each step trains on one
        batch and gives its size. A batch that would not be full is dropped.
    """
    spec = network.spec
    per_epoch = len(data.train_x) // spec.batch
    left = spec.epochs * per_epoch if samples is None else samples // spec.batch
    for epoch in range(spec.epochs):
        if left:
            count = min(left, per_epoch)
            yield epoch, steps(network, data, epoch, seed=spec.seed, batch=spec.batch, count=count)
            left -= count


def steps(
    model: Model, data: Data, epoch: int, *, seed: int, batch: int, count: int | None = None
) -> Iterator[int]:
    """Train a model on an epoch, or on its first `count` batches; yields the size of each."""
    seen = order(seed, epoch, len(data.train_x))
    count = len(seen) // batch if count is None else count
    for part in seen[: count * batch].reshape(count, batch):
        model.train(data.train_x[part], data.train_y[part], epoch)
        yield batch


def accuracy(model: Model, x: np.ndarray, labels: np.ndarray) -> list[float]:
    """Compute for each layer the share of samples (n, M) whose prediction is their label."""
    right: Any = 0
    for start in range(0, len(x), CHUNK):
        part = slice(start, start + CHUNK)
        predictions = [np.asarray(step.prediction) for step in model.infer(x[part])]
        right += (np.stack(predictions) == labels[part]).sum(axis=1)
    return (right / len(x)).tolist()
