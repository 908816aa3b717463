# SPDX-License-Identifier: BSD-2-Clause
"""The integer model of the learning rule: contract, "One training step of a layer".

All numbers are integers held in floating point, which PyTorch multiplies fastest. That is exact:
every sum is made in a type that holds all integers up to a bound on its magnitude (`exact`), which
holds for all partial sums too, so nothing is ever rounded but by the rule, in whatever order a
machine adds. Factors 2^-k only move the point; the halves of roundings are in the bounds.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.linalg import vector_norm

from golden import lfsr, spec

__all__ = ["Layer", "Network", "Step", "exact", "rs"]


class Step(NamedTuple):
    """What one layer made of a batch: y, g (B, N); s, e (B, C); prediction (B,), all int64.

    `e` and `g` are None at inference.
    """

    y: Tensor
    s: Tensor
    e: Tensor | None
    g: Tensor | None
    prediction: Tensor


def exact(bound: int) -> torch.dtype:
    """Choose the fastest type that holds every integer from -`bound` to `bound`.

    >>> exact(2**24), exact(2**24 + 1)
    (torch.float32, torch.float64)
    """
    if bound <= 2**24:
        return torch.float32
    if bound <= 2**53:
        return torch.float64
    raise ValueError(f"no type holds all integers to {bound}; use smaller batches")


HALF = torch.tensor(0.5)
#: The batch from which on `project` looks at the norms, and the fewest columns it looks at.
NORM_BATCH = 8
NORM_COLUMNS = 64


def half(k: int) -> int:
    """Compute what rounding at bit k adds: half a unit, nothing where k is not positive.

    >>> half(3), half(1), half(0), half(-2)
    (4, 1, 0, 0)
    """
    return 1 << k >> 1 if k > 0 else 0


def rs(v: Tensor, k: int) -> Tensor:
    """Shift right by k and round half up; shift left by -k where k is not positive.

    >>> rs(torch.tensor([-3.0, -2.0, -1.0, 1.0, 2.0, 3.0]), 1)
    tensor([-1., -1.,  0.,  1.,  1.,  2.])
    """
    return torch.add(HALF, v, alpha=2.0**-k).floor_()


def product(a: Tensor, b: Tensor, bound: int) -> Tensor:
    """Multiply two matrices; all sums on the way are within -`bound` to `bound`."""
    kind = exact(bound)
    return a.to(kind) @ b.to(kind)


def rounded_product(a: Tensor, b: Tensor, bound: int, k: int) -> Tensor:
    """Compute rs(a @ b, k), of matrices, in one go; `bound` as for `product`."""
    kind = exact(bound + half(k))
    return torch.addmm(HALF.to(kind), a.to(kind), b.to(kind), alpha=2.0**-k).floor_()


def project(x: Tensor, w: Tensor, bound: int) -> Tensor:
    """Compute x @ w.T; `bound` as for `product`.

    The bound of z is far above what float32 holds, but only for weights that are all as large as
    they can be. By Cauchy and Schwarz no sum of some of the products w[n,j] x[b,j] exceeds |w[n]|
    |x[b]|, and these norms nearly always allow float32, at half the time, if not for all columns
    then for each half of them. To find them costs one look at the weights, which pays for batches.
    """
    if len(x) < NORM_BATCH:
        return product(x, w.T, bound)
    norms = vector_norm(x, dim=1).max() * vector_norm(w, dim=1).max()
    # A hundredth is far more than the error of the norms.
    held = min(bound, int(1.01 * norms) + 1)
    middle = x.shape[1] // 2
    if exact(held) is torch.float32 or middle < NORM_COLUMNS:
        return product(x, w.T, held)
    left = project(x[:, :middle], w[:, :middle], bound)
    return left.to(exact(bound)).add_(project(x[:, middle:], w[:, middle:], bound))


class Layer:
    """One layer: weights `W` (N, M + 1), classifier `Mc` and feedback `K` (N, C).

    All three hold integers, as float32.
    """

    def __init__(self, layer: spec.Layer):
        self.spec = layer
        n, c, mb = layer.neurons, layer.classes, layer.mb
        u0 = lfsr.fields(layer.seeds[0], n * layer.inputs, layer.init_bits)
        u1 = lfsr.fields(layer.seeds[1], n * c, mb)
        u2 = lfsr.fields(layer.seeds[2], n * c, mb)
        self.W = torch.zeros(n, layer.columns)
        self.W[:, :-1] = torch.from_numpy(lfsr.odd(u0, layer.init_bits)).view(n, -1)
        self.Mc = torch.from_numpy(lfsr.odd(u1, mb)).view(n, c).float()
        independent = torch.from_numpy(lfsr.odd(u2, mb)).view(n, c).float()
        self.K = {
            "sym": self.Mc,
            "frozen": self.Mc,
            "scfb": self.Mc.sign() * independent.abs(),
            "random": independent,
        }[layer.rule]

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Compute the inputs with the bias column, y and s of a batch x (B, M)."""
        p = self.spec
        x = torch.cat([x, x.new_full((len(x), 1), p.one)], 1)
        z = project(x, self.W, p.z_bound)
        y = z.mul_(2.0 ** (p.fy - p.fw - p.fx)).floor_().clamp_(0, 255).float()
        return x, y, product(y, self.Mc, p.s_bound)

    def train(self, x: Tensor, away: Tensor, lr: int) -> tuple[Tensor, ...]:
        """Make one step with a batch x (B, M) at the rate 2^-lr; give y, s, e, g.

        `away` (B, C) is -t: where an error pushes the scores.
        """
        x, y, s = self.forward(x)
        e = self.error(s, away)
        g = self.local_error(e, y)
        if self.spec.rule != "frozen":
            self.update(g, x, lr)
        return y, s, e, g

    def error(self, s: Tensor, away: Tensor) -> Tensor:
        """Compute e (B, C) from the scores: squared hinge, margin violations clipped at 1."""
        p = self.spec
        one, k = 1 << (p.fy + p.ms), p.fy + p.ms - p.fe
        s = s.to(exact(p.s_bound + one + half(k)))
        margin = (away * s).add_(one).clamp_(min=0)
        return (rs(margin, k).clamp_(max=2**p.fe - 1) * away).float()

    def local_error(self, e: Tensor, y: Tensor) -> Tensor:
        """Compute g (B, N) from e (B, C) for the neurons that are active in y (B, N)."""
        p = self.spec
        return rounded_product(e, self.K.T, p.feedback_bound, p.ms).mul_(y > 0)

    def update(self, g: Tensor, x: Tensor, lr: int):
        """Learn from g (B, N) and the inputs x (B, M + 1) at the rate 2^-lr."""
        p = self.spec
        step = rounded_product(g.T, x, p.update_bound(len(x)), p.update_shift(lr))
        # If the step is too large for float32, so is the weight for its limits.
        self.W.sub_(step).clamp_(-(2 ** (p.wb - 1)), 2 ** (p.wb - 1) - 1)


class Network:
    """All layers, trained on the same samples at once (contract, "One training step")."""

    def __init__(self, network: spec.Network):
        self.spec = network
        self.layers = [Layer(layer) for layer in network.layers]
        # -t of every label.
        self._away_of = 1 - 2 * torch.eye(network.classes)

    @torch.inference_mode()
    def train(self, x, labels, epoch: int = 0) -> list[Step]:
        """Train on a batch x (B, M) of pixels, uint8, with labels (B,); give each layer's step.

        A layer sees the y that the layer below computed before its own update.

        Raises
        ------
        ValueError
            If pixels or labels are of another shape, type or range.
        """
        y, steps = self._pixels(x), []
        away = self._away(labels, len(y))
        for layer in self.layers:
            y, s, e, g = layer.train(y, away, layer.spec.lr + epoch // self.spec.lr_step)
            steps.append(Step(y.long(), s.long(), e.long(), g.long(), _prediction(s)))
        return steps

    @torch.inference_mode()
    def infer(self, x) -> list[Step]:
        """Compute each layer's step for a batch x (B, M) of pixels, uint8, without learning.

        Raises
        ------
        ValueError
            If the pixels are of another shape or type.
        """
        y, steps = self._pixels(x), []
        for layer in self.layers:
            _, y, s = layer.forward(y)
            steps.append(Step(y.long(), s.long(), None, None, _prediction(s)))
        return steps

    def _pixels(self, x) -> Tensor:
        x = torch.as_tensor(x)
        if x.dtype != torch.uint8 or x.ndim != 2 or x.shape[1] != self.spec.inputs:
            raise ValueError(
                f"x must be pixels of type uint8 and shape (B, {self.spec.inputs}), "
                f"not {x.dtype} {tuple(x.shape)}"
            )
        return x.float()

    def _away(self, labels, batch: int) -> Tensor:
        labels = torch.as_tensor(labels)
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
