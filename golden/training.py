# SPDX-License-Identifier: BSD-2-Clause
"""Training as a description asks for it, and the accuracy that it leaves."""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np
import torch

from golden.data import Data
from golden.model import IntegerNetwork
from golden.order import order
from golden.schedule import Growth
from golden.weights import Weights

__all__ = [
    "Model",
    "accuracy",
    "confusions",
    "epochs",
    "infer",
    "parts",
    "predictions",
    "start_from",
    "steps",
    "weights_of",
]

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
    network: IntegerNetwork,
    data: Data,
    samples: int | None = None,
    growth: Growth | None = None,
) -> Iterator[tuple[int, Iterator[int]]]:
    """Train a network, from its start, on all epochs of its description or so many `samples`.

    With the schedule "grow" it ends where `growth`, which is told of each layer, is over.

    Yields
    ------
    epoch, steps
        The number of the epoch, from 0, and an iterator that trains it: each step trains on one
        batch and gives its size. A batch that would not be full is dropped.
    """
    spec = network.spec
    per_epoch = len(data.train_x) // spec.batch
    growth = growth or Growth(spec)
    left = spec.passes * per_epoch if samples is None else samples // spec.batch
    for epoch in range(spec.passes):
        if left and not growth.over:
            count = min(left, per_epoch)
            yield epoch, steps(network, data, epoch, seed=spec.seed, batch=spec.batch, count=count)
            left -= count
            layer = growth.due(epoch)
            if layer is not None and count == per_epoch:
                growth.add(accuracy(network, data.held_x, data.held_y)[layer])


def steps(
    model: Model, data: Data, epoch: int, *, seed: int, batch: int, count: int | None = None
) -> Iterator[int]:
    """Train a model on an epoch, or on its first `count` batches; yields the size of each."""
    seen = order(seed, epoch, len(data.train_x))
    count = len(seen) // batch if count is None else count
    for part in seen[: count * batch].reshape(count, batch):
        model.train(data.train_x[part], data.train_y[part], epoch)
        yield batch


def predictions(model: Model, x: np.ndarray) -> np.ndarray:
    """Predict the classes of samples (n, M), by each layer: (layers, n)."""
    made = [
        np.stack([np.asarray(step.prediction) for step in model.infer(part)]) for part in parts(x)
    ]
    return np.concatenate(made, axis=1)


def infer(network: IntegerNetwork, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Infer samples (n, M): scores (n, layers, C) and predictions (n, layers), int64."""
    steps = [network.infer(part) for part in parts(x)]
    scores = [np.stack([step.s.numpy() for step in layers], axis=1) for layers in steps]
    made = [np.stack([step.prediction.numpy() for step in layers], axis=1) for layers in steps]
    return np.concatenate(scores), np.concatenate(made)


def parts(x: np.ndarray) -> Iterator[np.ndarray]:
    """Cut samples (n, M) into pieces that are inferred at once."""
    for start in range(0, len(x), CHUNK):
        yield x[start : start + CHUNK]


def accuracy(model: Model, x: np.ndarray, labels: np.ndarray) -> list[float]:
    """Compute for each layer the share of samples (n, M) whose prediction is their label."""
    return (predictions(model, x) == labels).mean(axis=1).tolist()


def confusions(model: Model, x: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """Count for each layer what is taken for what: int64 (layers, C, C), by label, prediction."""
    made = predictions(model, x)
    counts = np.zeros((len(made), classes, classes), np.int64)
    for layer, prediction in enumerate(made):
        np.add.at(counts[layer], (labels, prediction), 1)
    return counts


def weights_of(network: IntegerNetwork, **others: Any) -> Weights:
    """Take what a network has learned; `others` of the values of `Weights` go with it."""
    return Weights(
        W=tuple(layer.W.long().numpy() for layer in network.layers),
        V=tuple(
            layer.Mc.long().numpy() if layer.spec.rule == "tlc" else None
            for layer in network.layers
        ),
        A=tuple(layer.A.long().numpy() if layer.spec.centred else None for layer in network.layers),
        **others,
    )


def start_from(network: IntegerNetwork, weights: Weights):
    """Let a network that has not been trained start from weights of the same description."""
    for layer, W, V, A in zip(network.layers, weights.W, weights.V, weights.A, strict=True):
        layer.W.copy_(torch.from_numpy(W))
        if A is not None:
            layer.A.copy_(torch.from_numpy(A))
        if V is not None:
            # In place, for K is Mc.
            layer.Mc.copy_(torch.from_numpy(V))
