# SPDX-License-Identifier: BSD-2-Clause
"""Training as a description asks for it, and the accuracy that it leaves."""

from collections.abc import Iterator

import numpy as np

from golden.data import Data, order
from golden.model import Network

__all__ = ["accuracy", "epochs"]

#: Test samples inferred at once.
CHUNK = 1000


def epochs(
    network: Network, data: Data, samples: int | None = None
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
            yield epoch, _steps(network, data, epoch, min(left, per_epoch))
            left -= min(left, per_epoch)


def _steps(network: Network, data: Data, epoch: int, count: int) -> Iterator[int]:
    batch = network.spec.batch
    seen = order(network.spec.seed, epoch, len(data.train_x))
    for part in seen[: count * batch].reshape(count, batch):
        network.train(data.train_x[part], data.train_y[part], epoch)
        yield batch


def accuracy(network: Network, x: np.ndarray, labels: np.ndarray) -> list[float]:
    """Compute for each layer the share of samples (n, M) whose prediction is their label."""
    right = np.zeros(len(network.layers))
    for start in range(0, len(x), CHUNK):
        part = slice(start, start + CHUNK)
        steps = network.infer(x[part])
        right += [(step.prediction.numpy() == labels[part]).sum() for step in steps]
    return (right / len(x)).tolist()
