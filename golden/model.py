# SPDX-License-Identifier: BSD-2-Clause
"""The integer model of the learning rule: all layers of a network, trained on the same samples.

All numbers are integers held in floating point: see `golden.exact`.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from golden import spec
from golden.convolution import IntegerConvolution
from golden.dense import IntegerLayer
from golden.exact import pinned
from golden.health import Health

__all__ = ["IntegerNetwork", "Step"]


class Step(NamedTuple):
    """What one layer made of a batch: y, g (B, N); s, e (B, C); prediction (B,), all int64.

    `y` is what goes on to the classifier and to the next layer. `e` and `g` are None at inference.
    """

    y: Tensor
    s: Tensor
    e: Tensor | None
    g: Tensor | None
    prediction: Tensor


class IntegerNetwork:
    """All layers, trained on the same samples (contract, "One training step of a layer").

    Parameters and errors are those of `IntegerLayer`, of all layers.
    """

    def __init__(self, network: spec.NetworkSpec, momentum: int = 0):
        self.spec = network
        self.layers = [
            (IntegerConvolution if layer.conv else IntegerLayer)(layer, momentum)
            for layer in network.layers
        ]
        # -t of every label.
        self._away_of = 1 - 2 * torch.eye(network.classes, dtype=torch.float32, device="cpu")

    @torch.inference_mode()
    @pinned()
    def train(self, x, labels, epoch: int = 0) -> list[Step]:
        """Train on a batch x (B, M) of pixels, uint8, with labels (B,); give each layer's step.

        A layer sees the y that the layer below computed before its own update.

        Raises
        ------
        ValueError
            If pixels or labels are of another shape, type or range.
        """
        y, steps, network = self._pixels(x), [], self.spec
        away = self._away(labels, len(y))
        for layer in self.layers:
            lr = network.lr_shift(layer.spec, epoch)
            frozen = network.rule_in(layer.spec, epoch) == "frozen"
            y, s, e, g = layer.train(y, away, lr, frozen=frozen)
            steps.append(Step(y.long(), s.long(), e.long(), g.long(), _prediction(s)))
        return steps

    @torch.inference_mode()
    @pinned()
    def infer(self, x) -> list[Step]:
        """Compute each layer's step for a batch x (B, M) of pixels, uint8, without learning.

        Raises
        ------
        ValueError
            If the pixels are of another shape or type.
        """
        y, steps = self._pixels(x), []
        for layer in self.layers:
            y, s = layer.infer(y)
            steps.append(Step(y.long(), s.long(), None, None, _prediction(s)))
        return steps

    def watch(self) -> list[Health]:
        """Count the health of every layer from now on (`golden.health`), for `take_health`."""
        watch = [Health(layer.spec) for layer in self.layers]
        for layer, health in zip(self.layers, watch, strict=True):
            layer.health.append(health)
        return watch

    def take_health(self, watch: Sequence[Health]) -> list[dict[str, int]]:
        """Give what a `watch` has counted of each layer since it was last taken."""
        return [health.take(layer.W) for layer, health in zip(self.layers, watch, strict=True)]

    def state(self) -> dict[str, Any]:
        """Give all that training changes, of every layer; tensors are the network's own."""
        return {"layers": [layer.state() for layer in self.layers]}

    def restore(self, state: dict[str, Any]):
        """Go back to where `state` was taken."""
        for layer, part in zip(self.layers, state["layers"], strict=True):
            layer.restore(part)

    def _pixels(self, x) -> Tensor:
        x = torch.as_tensor(x, device="cpu")
        if x.dtype != torch.uint8 or x.ndim != 2 or x.shape[1] != self.spec.inputs:
            raise ValueError(
                f"x must be pixels of type uint8 and shape (B, {self.spec.inputs}), "
                f"not {x.dtype} {tuple(x.shape)}"
            )
        return x.float()

    def _away(self, labels, batch: int) -> Tensor:
        labels = torch.as_tensor(labels, device="cpu")
        if labels.is_floating_point() or labels.shape != (batch,):
            raise ValueError(
                f"labels must be integers of shape ({batch},), one for each sample, "
                f"not {labels.dtype} {tuple(labels.shape)}"
            )
        classes = self.spec.classes
        if not all(0 <= label < classes for label in labels.tolist()):
            raise ValueError(f"labels must be from 0 to {classes - 1}, not {labels.tolist()}")
        return self._away_of[labels.long()]


def _prediction(s: Tensor) -> Tensor:
    # PyTorch promises the first of several largest, as the contract asks.
    return s.argmax(1)
