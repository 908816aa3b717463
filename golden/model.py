# SPDX-License-Identifier: BSD-2-Clause
"""The integer model of the learning rule: contract, "One training step of a layer".

Products of matrices run in float64, where every sum of the contract is exact: the description
bounds the accumulators of z, s and g to 48 bits, and float64 holds integers of 53. Everything
else is int64.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from golden import lfsr, spec

__all__ = ["Layer", "Network", "Step", "rs"]


class Step(NamedTuple):
    """What one layer made of a batch: y, g (B, N); s, e (B, C); prediction (B,), all int64.

    `e` and `g` are None at inference.
    """

    y: Tensor
    s: Tensor
    e: Tensor | None
    g: Tensor | None
    prediction: Tensor


def rs(v: Tensor, k: int) -> Tensor:
    """Shift right by k and round half up; shift left by -k where k is not positive.

    >>> rs(torch.tensor([-3, -2, -1, 1, 2, 3]), 1)
    tensor([-1, -1,  0,  1,  1,  2])
    """
    return (v + (1 << (k - 1))) >> k if k > 0 else v << -k


def _matmul(a: Tensor, b: Tensor) -> Tensor:
    return (a.double() @ b.double()).long()


class Layer:
    """One layer: weights `W` (N, M + 1), classifier `Mc` and feedback `K` (N, C), all int64."""

    def __init__(self, layer: spec.Layer):
        self.spec = layer
        n, c, mb = layer.neurons, layer.classes, layer.mb
        u0 = lfsr.fields(layer.seeds[0], n * layer.inputs, layer.init_bits)
        u1 = lfsr.fields(layer.seeds[1], n * c, mb)
        u2 = lfsr.fields(layer.seeds[2], n * c, mb)
        w = torch.zeros(n, layer.columns, dtype=torch.int64)
        w[:, :-1] = torch.from_numpy(lfsr.odd(u0, layer.init_bits)).reshape(n, -1)
        self.W = w
        self.Mc = torch.from_numpy(lfsr.odd(u1, mb)).reshape(n, c)
        independent = torch.from_numpy(lfsr.odd(u2, mb)).reshape(n, c)
        self.K = {
            "sym": self.Mc,
            "frozen": self.Mc,
            "scfb": self.Mc.sign() * independent.abs(),
            "random": independent,
        }[layer.rule]

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Compute the inputs with the bias column, y and s of a batch x (B, M)."""
        p = self.spec
        x = torch.cat([x.long(), torch.full((len(x), 1), p.one)], 1)
        z = _matmul(x, self.W.T)
        y = (z >> (p.fw + p.fx - p.fy)).clamp(0, 255)
        return x, y, _matmul(y, self.Mc)

    def train(self, x: Tensor, labels: Tensor, lr: int) -> Step:
        """Make one step with a batch x (B, M) and its labels (B,) at the rate 2^-lr."""
        p = self.spec
        x, y, s = self.forward(x)
        t = torch.full_like(s, -1)
        t.scatter_(1, labels.view(-1, 1), 1)
        margin = ((1 << (p.fy + p.ms)) - t * s).clamp(min=0)
        e = -t * rs(margin, p.fy + p.ms - p.fe).clamp(max=2**p.fe - 1)
        g = rs(_matmul(e, self.K.T), p.ms) * (y > 0)
        if p.rule != "frozen":
            update = rs(_matmul(g.T, x), p.fe + p.fx - p.fw + lr)
            self.W = (self.W - update).clamp(-(2 ** (p.wb - 1)), 2 ** (p.wb - 1) - 1)
        return Step(y, s, e, g, _first_largest(s))

    def infer(self, x: Tensor) -> Step:
        """Compute the scores of a batch x (B, M) without learning."""
        _, y, s = self.forward(x)
        return Step(y, s, None, None, _first_largest(s))


def _first_largest(s: Tensor) -> Tensor:
    # torch.argmax does not say which of several largest it gives.
    return (s == s.amax(1, keepdim=True)).byte().argmax(1) if len(s) else s.argmax(1)


class Network:
    """All layers, trained on the same samples at once (contract, "One training step")."""

    def __init__(self, network: spec.Network):
        self.spec = network
        self.layers = [Layer(layer) for layer in network.layers]

    def train(self, x, labels, epoch: int = 0) -> list[Step]:
        """Train on a batch x (B, M) of pixels with labels (B,); give each layer's step.

        A layer sees the y that the layer below computed before its own update.
        """
        y, labels = torch.as_tensor(x), torch.as_tensor(labels).long()
        steps = []
        for layer in self.layers:
            steps.append(layer.train(y, labels, layer.spec.lr + epoch // self.spec.lr_step))
            y = steps[-1].y
        return steps

    def infer(self, x) -> list[Step]:
        """Compute each layer's step for a batch x (B, M) of pixels, without learning."""
        y = torch.as_tensor(x)
        steps = []
        for layer in self.layers:
            steps.append(layer.infer(y))
            y = steps[-1].y
        return steps
