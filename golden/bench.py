# SPDX-License-Identifier: BSD-2-Clause
"""How fast the integer model trains, beside the same network in PyTorch's own floats."""

import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from golden import spec
from golden.data import Data
from golden.layer_spec import LayerSpec
from golden.model import IntegerNetwork
from golden.order import order

__all__ = ["AutogradNetwork", "compare"]


class AutogradNetwork:
    """The network as one writes it in PyTorch: float32, local losses, autograd and SGD.

    Each layer sees its input detached, and has its loss, squared hinge or cross-entropy, behind a
    fixed random classifier.
    """

    def __init__(self, network: spec.NetworkSpec):
        generator = torch.Generator().manual_seed(network.seed)
        self.network = network
        self.layers = [_layer(layer) for layer in network.layers]
        self.classifiers = [
            torch.randn(layer.neurons, layer.classes, generator=generator)
            * (2 / (layer.neurons + layer.classes)) ** 0.5
            for layer in network.layers
        ]
        parameters = [p for layer in self.layers for p in layer.parameters()]
        self.optimizer = torch.optim.SGD(parameters, lr=2.0 ** -network.layers[0].lr)
        self.targets = 2 * torch.eye(network.classes) - 1

    def train(self, x: Tensor, labels: Tensor):
        """Make one step with a batch x (B, M), float32 from 0 to 1, and its labels (B,)."""
        t, losses = self.targets[labels], []
        if self.network.shape:
            x = x.view(-1, *self.network.shape).contiguous(memory_format=torch.channels_last)
        parts = zip(self.network.layers, self.layers, self.classifiers, strict=True)
        for described, layer, classifier in parts:
            conv = described.conv
            x = layer((x if conv else x.flatten(1)).detach()).relu()
            if conv and conv.pool > 1:
                x = functional.max_pool2d(x, conv.window, conv.pool, conv.before)
            s = x.flatten(1) @ classifier
            if described.loss == "ce":
                losses.append(functional.cross_entropy(s, labels, reduction="sum"))
            else:
                losses.append((1 - t * s).clamp(min=0).square().sum() / 2)
        self.optimizer.zero_grad()
        torch.stack(losses).sum().backward()
        self.optimizer.step()


def _layer(layer: LayerSpec) -> nn.Module:
    conv = layer.conv
    if conv is None:
        return nn.Linear(layer.inputs, layer.neurons)
    kernels = nn.Conv2d(conv.channels, conv.maps, conv.kernel, padding=conv.kernel // 2)
    # What pools is far faster on a CPU where the channels come last.
    return kernels.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]


def compare(network: spec.NetworkSpec, data: Data, *, rounds: int, steps: int) -> np.ndarray:
    """Measure seconds per training step: (rounds, 2), the integer model and `AutogradNetwork`.

    They take turns, `steps` batches each, on the same samples; those of the floats are converted
    beforehand. The first round, in which memory is found, does not count.
    """
    integers, floats = IntegerNetwork(network), AutogradNetwork(network)
    seconds = np.empty((rounds + 1, 2))
    seen = order(network.seed, 0, len(data.train_x))
    for turn in range(rounds + 1):
        parts = [
            np.take(seen, np.arange(k, k + network.batch), mode="wrap")
            for k in range(turn * steps * network.batch, (turn + 1) * steps * network.batch,
                           network.batch)
        ]  # fmt: skip
        x = [torch.from_numpy(data.train_x[part]) for part in parts]
        labels = [torch.from_numpy(data.train_y[part]) for part in parts]
        scaled = [batch.float() / 256 for batch in x]
        seconds[turn] = _time(integers.train, x, labels), _time(floats.train, scaled, labels)
    return seconds[1:] / steps


def _time(train: Callable, x: list[Tensor], labels: list[Tensor]) -> float:
    begin = time.perf_counter()
    for batch, of_batch in zip(x, labels, strict=True):
        train(batch, of_batch)
    return time.perf_counter() - begin
