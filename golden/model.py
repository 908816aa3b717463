# SPDX-License-Identifier: BSD-2-Clause
"""The integer model of the learning rule: contract, "One training step of a layer".

All numbers are integers held in floating point, which PyTorch multiplies fastest. That is exact:
every sum is made in a type that holds all integers up to a bound on its magnitude (`exact`), which
holds for all partial sums too, so nothing is ever rounded but by the rule, in whatever order a
machine adds. Factors 2^-k only move the point; the halves of roundings are in the bounds.

What else a process may have set for PyTorch changes no bit: every type is named, and `pinned` holds
what cannot be named, which is autocast and the precision of products of float32.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.linalg import vector_norm

from golden import lfsr, spec
from golden.health import Health
from golden.layer_spec import LayerSpec
from golden.loss import cross_entropy

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
#: Fraction bits of a momentum; fraction bits of a velocity below a weight's, and bits above it.
MOMENTUM_FRACTION, BELOW, ABOVE = 8, 8, 4
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

    Parameters
    ----------
    layer
        The description.
    momentum
        Of updates, in 256ths; 0 for none, as the hardware has it (contract, "Momentum").

    Raises
    ------
    ValueError
        If updates with a momentum are to be rounded stochastically.
    """

    def __init__(self, layer: LayerSpec, momentum: int = 0):
        if momentum and layer.sr:
            raise ValueError("there is no momentum with sr; remove either")
        self.spec = layer
        self.momentum = momentum
        n = layer.neurons
        u0 = lfsr.fields(layer.seeds[0], n * layer.inputs, layer.init_bits)
        self.W = torch.zeros(n, layer.columns, dtype=torch.float32, device="cpu")
        self.W[:, :-1] = torch.from_numpy(lfsr.odd(u0, layer.init_bits)).view(n, -1)
        #: In units of 2^-(fw + BELOW).
        self.velocity = torch.zeros_like(self.W, dtype=torch.float64) if momentum else None
        self.Mc, independent = (_random_classifier(layer, layer.seeds[k]) for k in (1, 2))
        # Nothing but the trained classifier has more fraction bits than it starts with.
        self.Mc *= 2 ** (layer.scale - layer.ms)
        self.K = {
            "sym": self.Mc,
            "frozen": self.Mc,
            "scfb": self.Mc.sign() * independent.abs(),
            "random": independent,
            "tlc": self.Mc,
        }[layer.rule]
        self.dropping = lfsr.Stream(layer.seeds[3])
        self.rounding = lfsr.Stream(layer.seeds[4])
        #: What is told of every step; counting takes time.
        self.health: list[Health] = []

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

    def train(
        self, x: Tensor, away: Tensor, lr: int, *, frozen: bool = False
    ) -> tuple[Tensor, ...]:
        """Make one step with a batch x (B, M) at the rate 2^-lr; give y, s, e, g.

        `away` (B, C) is -t: where an error pushes the scores. What is `frozen` learns nothing.
        """
        x, y = self.forward(x)
        if self.spec.dropout:
            drawn = self.dropping.fields(y.numel(), 3)
            y.mul_(torch.from_numpy(drawn >= self.spec.dropout).view_as(y))
        s = self.scores(y)
        e = self.error(s, away)
        g = self.local_error(e, y)
        frozen = frozen or self.spec.rule == "frozen"
        u = None if frozen else self.update(e, g, x, lr)
        if self.spec.rule == "tlc" and not frozen:
            self.update_classifier(e, y)
        for health in self.health:
            health.see(x, y, e, g, u)
        return y, s, e, g

    def error(self, s: Tensor, away: Tensor) -> Tensor:
        """Compute e (B, C) from the scores s, float, and -t, by the layer's loss.

        In the squared hinge, margin violations are clipped at 1.
        """
        p = self.spec
        if p.loss == "ce":
            return cross_entropy(s, away < 0, p.fy + p.scale).float()
        one, k = 1 << (p.fy + p.scale), p.fy + p.scale - p.fe
        s = s.to(exact(p.s_bound + one + half(k)))
        margin = (away * s).add_(one).clamp_(min=0)
        return (rs(margin, k).clamp_(max=2**p.fe - 1) * away).float()

    def local_error(self, e: Tensor, y: Tensor) -> Tensor:
        """Compute g (B, N) from e (B, C) for the neurons that are active in y (B, N)."""
        p = self.spec
        return rounded_product(e, self.K.T, p.feedback_bound, p.scale).mul_(y > 0)

    def update(self, e: Tensor, g: Tensor, x: Tensor, lr: int) -> Tensor:
        """Learn from e (B, C), g (B, N) and the inputs x (B, M + 1) at the rate 2^-lr.

        Returns
        -------
        u (N, M + 1), by which the weights were lowered as far as they have room.
        """
        p, k, rounding = self.spec, self.spec.update_shift(lr), HALF
        if p.sr and k > 0:
            # An update of 0 stays 0 whatever is drawn, so hardware that skips it need not draw.
            drawing = x.any(0) if e.any() else x.new_zeros(p.columns).bool()
            drawn = self.rounding.fields(int(drawing.sum()), k)
            # More bits than float32 holds.
            rounding = torch.zeros(p.columns, dtype=torch.float64, device="cpu")
            rounding[drawing] = torch.from_numpy(drawn).double().mul_(2.0**-k)
        bound = p.update_bound(len(x))
        if exact(bound) is not torch.float32:
            bound = norm_bound(g.T, x.T, bound)
        if self.velocity is None:
            step = rounded_product(g.T, x, bound, k, rounding)
        else:
            step = self.accelerate(rounded_product(g.T, x, bound, k - BELOW), self.velocity)
        # If the step is too large for float32, so is the weight for its limits.
        self.W.sub_(step).clamp_(-(2 ** (p.wb - 1)), 2 ** (p.wb - 1) - 1)
        return step

    def accelerate(self, step: Tensor, velocity: Tensor) -> Tensor:
        """Give u of a step in units of the velocity, which is changed, by Nesterov's momentum."""
        limit = 2 ** (self.spec.wb + BELOW + ABOVE - 1)

        def kept() -> Tensor:
            return rs(velocity * self.momentum, MOMENTUM_FRACTION)

        step = step.double().clamp_(-limit, limit - 1)
        velocity.copy_((kept() + step).clamp_(-limit, limit - 1))
        return rs(step + kept(), BELOW)

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
            **({} if self.velocity is None else {"velocity": self.velocity}),
        }

    def restore(self, state: dict[str, Any]):
        """Go back to where `state` was taken."""
        # In place, for K may be Mc.
        self.W.copy_(state["W"])
        self.Mc.copy_(state["Mc"])
        self.dropping = lfsr.Stream(state["dropping"])
        self.rounding = lfsr.Stream(state["rounding"])
        if self.velocity is not None:
            self.velocity.copy_(state["velocity"])


class IntegerNetwork:
    """All layers, trained on the same samples (contract, "One training step of a layer").

    Parameters and errors are those of `IntegerLayer`, of all layers.
    """

    def __init__(self, network: spec.NetworkSpec, momentum: int = 0):
        self.spec = network
        self.layers = [IntegerLayer(layer, momentum) for layer in network.layers]
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


def _random_classifier(layer: LayerSpec, seed: int) -> Tensor:
    """Draw a classifier (N, C): sums of odd numbers (contract, "Gaussian classifiers")."""
    count = layer.classes * layer.terms
    if layer.source == "array":
        u = lfsr.array_fields(seed, layer.neurons, count, layer.mb)
    else:
        u = lfsr.fields(seed, layer.neurons * count, layer.mb)
    odd = torch.from_numpy(lfsr.odd(u, layer.mb))
    return odd.view(layer.neurons, layer.classes, layer.terms).sum(2).float()


def _prediction(s: Tensor) -> Tensor:
    # PyTorch promises the first of several largest, as the contract asks.
    return s.argmax(1)
