# SPDX-License-Identifier: BSD-2-Clause
"""The integer model of the learning rule: contract, "One training step of a layer".

All numbers are integers held in floating point, which PyTorch multiplies fastest. That is exact:
every sum is made in a type that holds all integers up to a bound on its magnitude (`exact`), which
holds for all partial sums too, so nothing is ever rounded but by the rule, in whatever order a
machine adds. Factors 2^-k only move the point; the halves of roundings are in the bounds.

What else a process may have set for PyTorch changes no bit: every type is named, and `pinned` holds
what cannot be named, which is autocast and the precision of products of float32.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.linalg import vector_norm

from golden import lfsr, spec

__all__ = ["IntegerLayer", "IntegerNetwork", "Step", "exact", "rs"]


class Step(NamedTuple):
    """What one layer made of a batch: y, g (B, N); s, e (B, C); prediction (B,), all int64.

    `y` is what goes on to the classifier and to the next layer. `e` and `g` are None at inference.
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


@contextmanager
def pinned() -> Iterator[None]:
    """Let matrices be multiplied in the types that they have, whatever the process has set."""
    matmul = torch.backends.mkldnn.matmul  # pyright: ignore[reportAttributeAccessIssue]
    precision = matmul.fp32_precision
    with torch.autocast("cpu", enabled=False):
        # `torch.set_float32_matmul_precision` ends up here too. Anything lower, or none of its own,
        # lets a processor multiply float32 as bfloat16.
        matmul.fp32_precision = "ieee"
        try:
            yield
        finally:
            matmul.fp32_precision = precision


HALF = torch.tensor(0.5, dtype=torch.float32, device="cpu")
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
    if k <= 0:
        # Whole as it is; the type that holds it need not hold a half beside it.
        return v * 2.0**-k
    return torch.add(HALF, v, alpha=2.0**-k).floor_()


def product(a: Tensor, b: Tensor, bound: int) -> Tensor:
    """Multiply two matrices; all sums on the way are within -`bound` to `bound`."""
    kind = exact(bound)
    return a.to(kind) @ b.to(kind)


def rounded_product(a: Tensor, b: Tensor, bound: int, k: int, rounding: Tensor = HALF) -> Tensor:
    """Compute rs(a @ b, k), of matrices, in one go; `bound` as for `product`.

    `rounding` is what is added before all behind the point goes, from 0 to 1 in units of 2^-k: a
    half unless it is drawn. Where k is not positive nothing lies behind the point.
    """
    if k <= 0:
        return product(a, b, bound).mul_(2.0**-k)
    kind = exact(bound + (1 << k))
    return torch.addmm(rounding.to(kind), a.to(kind), b.to(kind), alpha=2.0**-k).floor_()


def norm_bound(a: Tensor, b: Tensor, bound: int) -> int:
    """Lower a bound on the sums in a @ b.T to what the norms of the rows allow.

    By Cauchy and Schwarz no sum of some of the products a[i,k] b[j,k] exceeds |a[i]| |b[j]|.
    """
    norms = vector_norm(a, dim=1).max() * vector_norm(b, dim=1).max()
    # A hundredth is far more than the error of the norms.
    return min(bound, int(1.01 * norms) + 1)


def project(x: Tensor, w: Tensor, bound: int) -> Tensor:
    """Compute x @ w.T; `bound` as for `product`.

    The bound of z is far above what float32 holds, but only for weights that are all as large as
    they can be. The norms nearly always allow float32, at half the time, if not for all columns
    then for each half of them. To find them costs one look at the weights, which pays for batches.
    """
    if len(x) < NORM_BATCH:
        return product(x, w.T, bound)
    held = norm_bound(x, w, bound)
    middle = x.shape[1] // 2
    if exact(held) is torch.float32 or middle < NORM_COLUMNS:
        return product(x, w.T, held)
    left = project(x[:, :middle], w[:, :middle], bound)
    return left.to(exact(bound)).add_(project(x[:, middle:], w[:, middle:], bound))


class IntegerLayer:
    """One layer: weights `W` (N, M + 1), classifier `Mc` and feedback `K` (N, C).

    All three hold integers, as float32. In `tlc` both classifier and feedback are the trained V.
    """

    def __init__(self, layer: spec.LayerSpec):
        self.spec = layer
        n, c, mb = layer.neurons, layer.classes, layer.mb
        u0 = lfsr.fields(layer.seeds[0], n * layer.inputs, layer.init_bits)
        u1 = lfsr.fields(layer.seeds[1], n * c, mb)
        u2 = lfsr.fields(layer.seeds[2], n * c, mb)
        self.W = torch.zeros(n, layer.columns, dtype=torch.float32, device="cpu")
        self.W[:, :-1] = torch.from_numpy(lfsr.odd(u0, layer.init_bits)).view(n, -1)
        self.Mc = torch.from_numpy(lfsr.odd(u1, mb)).view(n, c).float()
        # Nothing but the trained classifier has more fraction bits than it starts with.
        self.Mc *= 2 ** (layer.scale - layer.ms)
        independent = torch.from_numpy(lfsr.odd(u2, mb)).view(n, c).float()
        self.K = {
            "sym": self.Mc,
            "frozen": self.Mc,
            "scfb": self.Mc.sign() * independent.abs(),
            "random": independent,
            "tlc": self.Mc,
        }[layer.rule]
        self.dropping = lfsr.Stream(layer.seeds[3])
        self.rounding = lfsr.Stream(layer.seeds[4])

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the inputs with the bias column, and y before dropout, of a batch x (B, M)."""
        p = self.spec
        x = torch.cat([x, x.new_full((len(x), 1), p.one)], 1)
        z = project(x, self.W, p.z_bound)
        return x, z.mul_(2.0 ** (p.fy - p.fw - p.fx)).floor_().clamp_(0, p.y_max).float()

    def scores(self, y: Tensor) -> Tensor:
        """Compute s (B, C) from y (B, N)."""
        return product(y, self.Mc, self.spec.s_bound)

    def infer(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Compute y and s of a batch x (B, M), without learning."""
        _, y = self.forward(x)
        if self.spec.dropout:
            y.mul_(1 - self.spec.dropout / 8).floor_()
        return y, self.scores(y)

    def train(self, x: Tensor, away: Tensor, lr: int) -> tuple[Tensor, ...]:
        """Make one step with a batch x (B, M) at the rate 2^-lr; give y, s, e, g.

        `away` (B, C) is -t: where an error pushes the scores.
        """
        x, y = self.forward(x)
        if self.spec.dropout:
            drawn = self.dropping.fields(y.numel(), 3)
            y.mul_(torch.from_numpy(drawn >= self.spec.dropout).view_as(y))
        s = self.scores(y)
        e = self.error(s, away)
        g = self.local_error(e, y)
        if self.spec.rule != "frozen":
            self.update(g, x, lr)
        if self.spec.rule == "tlc":
            self.update_classifier(e, y)
        return y, s, e, g

    def error(self, s: Tensor, away: Tensor) -> Tensor:
        """Compute e (B, C) from the scores: squared hinge, margin violations clipped at 1."""
        p = self.spec
        one, k = 1 << (p.fy + p.scale), p.fy + p.scale - p.fe
        s = s.to(exact(p.s_bound + one + half(k)))
        margin = (away * s).add_(one).clamp_(min=0)
        return (rs(margin, k).clamp_(max=2**p.fe - 1) * away).float()

    def local_error(self, e: Tensor, y: Tensor) -> Tensor:
        """Compute g (B, N) from e (B, C) for the neurons that are active in y (B, N)."""
        p = self.spec
        return rounded_product(e, self.K.T, p.feedback_bound, p.scale).mul_(y > 0)

    def update(self, g: Tensor, x: Tensor, lr: int):
        """Learn from g (B, N) and the inputs x (B, M + 1) at the rate 2^-lr."""
        p, k, rounding = self.spec, self.spec.update_shift(lr), HALF
        if p.sr and k > 0:
            # More bits than float32 holds.
            rounding = torch.from_numpy(self.rounding.fields(p.columns, k)).double().mul_(2.0**-k)
        bound = p.update_bound(len(x))
        if exact(bound) is not torch.float32:
            bound = norm_bound(g.T, x.T, bound)
        step = rounded_product(g.T, x, bound, k, rounding)
        # If the step is too large for float32, so is the weight for its limits.
        self.W.sub_(step).clamp_(-(2 ** (p.wb - 1)), 2 ** (p.wb - 1) - 1)

    def update_classifier(self, e: Tensor, y: Tensor):
        """Learn V, in place, from e (B, C) and y (B, N)."""
        p, limit = self.spec, self.spec.classifier_bound
        step = rounded_product(y.T, e, p.classifier_update_bound(len(y)), p.classifier_shift)
        self.Mc.sub_(step).clamp_(-limit, limit - 1)

    def state(self) -> dict[str, Any]:
        """Give all that training changes."""
        return {
            "W": self.W,
            "Mc": self.Mc,
            "dropping": self.dropping.state,
            "rounding": self.rounding.state,
        }

    def restore(self, state: dict[str, Any]):
        """Go back to where `state` was taken."""
        # In place, for K may be Mc.
        self.W.copy_(state["W"])
        self.Mc.copy_(state["Mc"])
        self.dropping = lfsr.Stream(state["dropping"])
        self.rounding = lfsr.Stream(state["rounding"])


class IntegerNetwork:
    """All layers, trained on the same samples (contract, "One training step of a layer")."""

    def __init__(self, network: spec.NetworkSpec):
        self.spec = network
        self.layers = [IntegerLayer(layer) for layer in network.layers]
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
        y, steps = self._pixels(x), []
        away = self._away(labels, len(y))
        for layer in self.layers:
            y, s, e, g = layer.train(y, away, self.spec.lr_shift(layer.spec, epoch))
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
