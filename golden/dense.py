# SPDX-License-Identifier: BSD-2-Clause
"""A layer of the integer model: contract, "One training step of a layer"."""

from typing import Any

import torch
from torch import Tensor

from golden import lfsr
from golden.exact import HALF, exact, half, norm_bound, product, project, rounded_product, rs
from golden.health import Health
from golden.layer_spec import MEAN_FRACTION, LayerSpec
from golden.loss import cross_entropy

__all__ = ["BELOW", "IntegerLayer"]

#: Fraction bits of a momentum; fraction bits of a velocity below a weight's, and bits above it.
MOMENTUM_FRACTION, BELOW, ABOVE = 8, 8, 4


class IntegerLayer:
    """One layer: weights `W` (rows, M + 1), classifier `Mc` and feedback `K` (seen, C).

    All three hold integers, as float32. In `tlc` both classifier and feedback are the trained V.
    `rows` and `seen` are those of `LayerSpec`: both are N where all is fully connected. `A` holds
    the running means of centred inputs (means,), as float64 with 16 fraction bits.

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
        n = layer.rows
        u0 = lfsr.fields(layer.seeds[0], n * layer.fan_in, layer.init_bits)
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
        self.A = torch.zeros(layer.means, dtype=torch.float64, device="cpu")
        self.dropping = lfsr.Stream(layer.seeds[3])
        self.rounding = lfsr.Stream(layer.seeds[4])
        #: What is told of every step; counting takes time.
        self.health: list[Health] = []

    def forward(self, x: Tensor) -> tuple[Any, Tensor]:
        """Compute y (B, N) before dropout of a batch x (B, M), and what `descent` needs beside it.

        Here that is x, centred if it shall be, with the bias column.
        """
        if self.spec.centred:
            x = x - self.mean()
        x = torch.cat([x, x.new_full((len(x), 1), self.spec.one)], 1)
        return x, self.activations(project(x, self.W, self.spec.z_bound))

    def mean(self) -> Tensor:
        """Give the running means of the inputs (means,) as whole numbers."""
        return rs(self.A, MEAN_FRACTION).float()

    def offset(self) -> Tensor:
        """Compute what the running means of the inputs give to z: (rows,), 0 without any."""
        weights = self.W[:, :-1].double()
        if not self.spec.centred:
            return weights.new_zeros(len(weights))
        return weights.view(len(weights), self.spec.means, -1).sum(2) @ self.mean().double()

    def follow(self, x: Tensor):
        """Let the running means follow a batch x (B, M)."""
        p = self.spec
        count = len(x) * p.positions
        x = x.view(len(x), p.means, p.positions).to(exact(count * p.x_bound))
        inputs = x.sum((0, 2)).double()
        above = (inputs - count * p.grey) * 2.0**MEAN_FRACTION - count * self.A
        self.A.add_(rs(above, p.mean_shift))

    def activations(self, z: Tensor) -> Tensor:
        """Compute y from its sums z, in place."""
        p = self.spec
        return z.mul_(2.0 ** (p.fy - p.fw - p.fx)).floor_().clamp_(0, p.y_max).float()

    def seen(self, y: Tensor) -> Tensor:
        """Give what the classifier sees (B, seen) of y (B, N)."""
        return y

    def scores(self, u: Tensor) -> Tensor:
        """Compute s (B, C) from what the classifier sees, u (B, seen)."""
        return product(u, self.Mc, self.spec.s_bound)

    def classifier(self) -> Tensor:
        """Give what each activation adds to each score: (N, C)."""
        return self.Mc

    def infer(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Compute y and s of a batch x (B, M), without learning."""
        _, y = self.forward(x)
        if self.spec.dropout:
            y.mul_(1 - self.spec.dropout / 8).floor_()
        return y, self.scores(self.seen(y))

    def train(
        self, x: Tensor, away: Tensor, lr: int, *, frozen: bool = False
    ) -> tuple[Tensor, ...]:
        """Make one step with a batch x (B, M) at the rate 2^-lr; give y, s, e, g.

        `away` (B, C) is -t: where an error pushes the scores. What is `frozen` learns nothing.
        """
        kept, y = self.forward(x)
        if self.spec.dropout:
            drawn = self.dropping.fields(y.numel(), 3)
            y.mul_(torch.from_numpy(drawn >= self.spec.dropout).view_as(y))
        seen = self.seen(y)
        s = self.scores(seen)
        e = self.error(s, away)
        g = self.local_error(e, y)
        frozen = frozen or self.spec.rule == "frozen"
        u = None if frozen else self.update(e, g, kept, lr)
        if self.spec.rule == "tlc" and not frozen:
            self.update_classifier(e, seen)
        for health in self.health:
            health.see(y, e, 0 if u is None else self.moved(g, kept), u)
        if self.spec.centred:
            self.follow(x)
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
        return rounded_product(e, self.K.T, p.feedback_bound, p.gs).mul_(y.sign())

    def update(self, e: Tensor, g: Tensor, kept: Any, lr: int) -> Tensor:
        """Learn from e (B, C), g (B, N) and what `forward` kept, at the rate 2^-lr.

        Returns
        -------
        u (rows, M + 1), by which the weights were lowered as far as they have room.
        """
        p, k = self.spec, self.spec.update_shift(lr)
        if self.velocity is None:
            rounding = self.drawn(e, kept, k) if p.sr and k > 0 else HALF
            step = self.descent(g, kept, k, rounding)
        else:
            step = self.accelerate(self.descent(g, kept, k - BELOW), self.velocity)
        # If the step is too large for float32, so is the weight for its limits.
        self.W.sub_(step).clamp_(-(2 ** (p.wb - 1)), 2 ** (p.wb - 1) - 1)
        return step

    def drawn(self, e: Tensor, x: Tensor, k: int) -> Tensor:
        """Draw what stochastic rounding adds at bit k to the sums of each column."""
        # An update of 0 stays 0 whatever is drawn, so hardware that skips it need not draw.
        drawing = x.any(0) if e.any() else x.new_zeros(self.spec.columns).bool()
        drawn = self.rounding.fields(int(drawing.sum()), k)
        # More bits than float32 holds.
        rounding = torch.zeros(self.spec.columns, dtype=torch.float64, device="cpu")
        rounding[drawing] = torch.from_numpy(drawn).double().mul_(2.0**-k)
        return rounding

    def descent(self, g: Tensor, kept: Any, k: int, rounding: Tensor = HALF) -> Tensor:
        """Compute the sums of g x over the batch, rounded at bit k (`rounded_product`)."""
        bound = self.spec.update_bound(len(kept))
        if exact(bound) is not torch.float32:
            bound = norm_bound(g.T, kept.T, bound)
        return rounded_product(g.T, kept, bound, k, rounding)

    def moved(self, g: Tensor, kept: Any) -> int:
        """Count the sums of g x over the batch that are not 0."""
        # In one sample that are those of two factors that are not; doubles hold every other sum.
        if len(kept) == 1:
            return int(g.count_nonzero() * kept.count_nonzero())
        return int((g.double().T @ kept.double()).count_nonzero())

    def accelerate(self, step: Tensor, velocity: Tensor) -> Tensor:
        """Give u of a step in units of the velocity, which is changed, by Nesterov's momentum."""
        limit = 2 ** (self.spec.wb + BELOW + ABOVE - 1)

        def kept() -> Tensor:
            return rs(velocity * self.momentum, MOMENTUM_FRACTION)

        step = step.double().clamp_(-limit, limit - 1)
        velocity.copy_((kept() + step).clamp_(-limit, limit - 1))
        return rs(step + kept(), BELOW)

    def update_classifier(self, e: Tensor, u: Tensor):
        """Learn V, in place, from e (B, C) and what it sees, u (B, seen)."""
        p, limit = self.spec, self.spec.classifier_bound
        step = rounded_product(u.T, e, p.classifier_update_bound(len(u)), p.classifier_shift)
        self.Mc.sub_(step).clamp_(-limit, limit - 1)

    def state(self) -> dict[str, Any]:
        """Give all that training changes."""
        return {
            "W": self.W,
            "Mc": self.Mc,
            "A": self.A,
            "dropping": self.dropping.state,
            "rounding": self.rounding.state,
            **({} if self.velocity is None else {"velocity": self.velocity}),
        }

    def restore(self, state: dict[str, Any]):
        """Go back to where `state` was taken."""
        # In place, for K may be Mc.
        self.W.copy_(state["W"])
        self.Mc.copy_(state["Mc"])
        self.A.copy_(state["A"])
        self.dropping = lfsr.Stream(state["dropping"])
        self.rounding = lfsr.Stream(state["rounding"])
        if self.velocity is not None:
            self.velocity.copy_(state["velocity"])


def _random_classifier(layer: LayerSpec, seed: int) -> Tensor:
    """Draw a classifier (seen, C): sums of odd numbers (contract, "Gaussian classifiers")."""
    count = layer.classes * layer.terms
    if layer.source == "array":
        u = lfsr.array_fields(seed, layer.seen, count, layer.mb)
    else:
        u = lfsr.fields(seed, layer.seen * count, layer.mb)
    odd = torch.from_numpy(lfsr.odd(u, layer.mb))
    return odd.view(layer.seen, layer.classes, layer.terms).sum(2).float()
