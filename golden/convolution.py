# SPDX-License-Identifier: BSD-2-Clause
"""A convolutional layer of the integer model (contract, "Convolution")."""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.grad import conv2d_weight

from golden.dense import IntegerLayer
from golden.exact import HALF, exact, rounded_product, rs
from golden.layer_spec import LayerSpec

__all__ = ["IntegerConvolution"]

#: Above what a norm is found to be: far more than the error of its sum.
SLACK = 1.01


class Seen(NamedTuple):
    """What a convolution keeps of a batch until it learns.

    x (B, Ci, S, S) are its inputs, and found (B, N, P, P) where on its map each activation is that
    was the largest of a window, the first of several: row S + column. None where nothing is pooled.
    """

    x: Tensor
    found: Tensor | None


class IntegerConvolution(IntegerLayer):
    """One layer of maps: activations y (B, F) are flat, in the order map, row, column.

    A row of `W` is a map's kernels, channel by channel and row by row, then its bias. Parameters
    and errors are those of `IntegerLayer`.
    """

    def __init__(self, layer: LayerSpec, momentum: int = 0):
        super().__init__(layer, momentum)
        assert layer.conv is not None
        self.conv = conv = layer.conv
        #: The cell of each feature, where the classifier sees cells.
        self.cells: Tensor | None = None
        if conv.cells is not None:
            row = torch.tensor([conv.cell(place) for place in range(conv.side)])
            cell = row[:, None] * conv.cells + row
            first = torch.arange(conv.maps)[:, None, None] * conv.cells**2
            self.cells = (first + cell).flatten()

    def forward(self, x: Tensor) -> tuple[Seen, Tensor]:
        """Compute y (B, F) before dropout of a batch x (B, Ci S S), and what `descent` needs."""
        conv, p = self.conv, self.spec
        x = x.view(-1, conv.channels, conv.size, conv.size)
        x = x.contiguous(memory_format=torch.channels_last)
        if p.grey:
            x = x - p.grey
        kernels = self.W[:, :-1].view(conv.maps, conv.channels, conv.kernel, conv.kernel)
        bias = self.W[:, -1] * p.one
        if p.centred:
            bias = bias - self.offset()
        # Centred, inputs and means give sums of their own.
        v = self.activations(_convolve(x, kernels, bias, p.z_bound << p.centred))
        if conv.pool == 1:
            return Seen(x, None), v.flatten(1)
        # Of several that are the largest it is the first.
        y, found = F.max_pool2d(v, conv.window, conv.pool, conv.before, return_indices=True)
        return Seen(x, found), y.flatten(1)

    def seen(self, y: Tensor) -> Tensor:
        """Give what the classifier sees (B, seen) of y (B, F): sums, where there are cells."""
        if self.cells is None:
            return y
        u = y.new_zeros(len(y), self.spec.seen, dtype=exact(self.spec.u_max))
        return u.index_add_(1, self.cells, y.to(u.dtype))

    def classifier(self) -> Tensor:
        """Give what each feature adds to each score: (F, C)."""
        return self.Mc if self.cells is None else self.Mc[self.cells]

    def local_error(self, e: Tensor, y: Tensor) -> Tensor:
        """Compute g (B, F) from e (B, C) for the features that are active in y (B, F)."""
        if self.cells is None:
            return super().local_error(e, y)
        p = self.spec
        g = rounded_product(e, self.K.T, p.feedback_bound, p.gs)
        return g[:, self.cells].mul_(y.sign())

    def descent(self, g: Tensor, kept: Seen, k: int, rounding: Tensor = HALF) -> Tensor:
        """Compute the sums of g x over batch and positions, rounded once, at bit k."""
        sums = self._sums(g, kept)
        kind = exact(self.spec.update_bound(len(g)) + (1 << max(k, 0)))
        return rs(sums.to(kind), k)

    def moved(self, g: Tensor, kept: Seen) -> int:
        """Count the sums of g x over batch and positions that are not 0."""
        return int(self._sums(g, kept).count_nonzero())

    def _sums(self, g: Tensor, kept: Seen) -> Tensor:
        """Compute the sums of g x (N, M + 1), each g meeting the inputs of its candidate."""
        conv, p = self.conv, self.spec
        g = g.view(-1, conv.maps, conv.side, conv.side)
        # Channels last, in memory.
        spread = g.permute(0, 2, 3, 1).flatten(1, 2)
        if kept.found is not None:
            # Windows that overlap may have found the same place.
            found = kept.found.permute(0, 2, 3, 1).flatten(1, 2)
            spread = g.new_zeros(len(g), conv.size**2, conv.maps).scatter_add_(1, found, spread)
        spread = spread.view(-1, conv.size, conv.size, conv.maps).permute(0, 3, 1, 2)
        # By Hölder none exceeds the sum of all |g| times the largest input.
        most = int(SLACK * g.abs().sum((0, 2, 3)).max()) + 1
        bound = min(p.update_bound(len(g)), most * int(kept.x.abs().max()))
        sums = _correlate(kept.x, spread, conv.kernel, bound).flatten(1)
        total = g.to(exact(most)).sum((0, 2, 3))[:, None]
        if p.centred:
            sums = sums - total.double() * self.mean().repeat_interleave(conv.kernel**2)
        return torch.cat([sums, total * p.one], 1)


def _convolve(x: Tensor, kernels: Tensor, bias: Tensor, bound: int) -> Tensor:
    """Compute z (B, N, S, S): sums of x (B, Ci, S, S) under kernels (N, Ci, k, k), and bias (N,).

    No sum exceeds `bound`; nor, by Hölder, the products of norms of what lies under a kernel and of
    the kernel: of the largest input and the sum of weights, which are found in no time, or of both
    roots of squares. That nearly always allows float32, if not for all channels at once, then for
    each half of them.
    """
    size, channels = kernels.shape[-1], x.shape[1]
    flat, room = kernels.flatten(1), int(bias.abs().max()) + 1
    norms = x.abs().amax() * flat.norm(1, dim=1).max()
    held = min(bound, int(SLACK * norms) + room)
    if exact(held) is not torch.float32:
        squares = x.square().sum(1, keepdim=True)
        under = F.avg_pool2d(squares, size, 1, size // 2, divisor_override=1).max()
        held = min(held, int(SLACK * under.sqrt() * flat.norm(dim=1).max()) + room)
    kind = exact(held)
    if kind is torch.float32 or channels == 1:
        return F.conv2d(x.to(kind), kernels.to(kind), bias.to(kind), padding=size // 2)
    middle = channels // 2
    left = _convolve(x[:, :middle], kernels[:, :middle], bias, bound)
    right = _convolve(x[:, middle:], kernels[:, middle:], torch.zeros_like(bias), bound)
    return left.to(kind).add_(right)


def _correlate(x: Tensor, g: Tensor, size: int, bound: int) -> Tensor:
    """Compute the sums (N, Ci, k, k) of g (B, N, S, S) times x (B, Ci, S, S) under kernels of k.

    No sum exceeds `bound`. As for `_convolve`, with norms alone and halves of the batch.
    """
    if exact(bound) is not torch.float32:
        squares = [part.square().sum((0, 2, 3)).max() for part in (g, x)]
        bound = min(bound, int(SLACK * math.sqrt(squares[0] * squares[1])) + 1)
    kind = exact(bound)
    if kind is torch.float32 or len(x) == 1:
        shape = g.shape[1], x.shape[1], size, size
        return conv2d_weight(x.to(kind), shape, g.to(kind), padding=size // 2)
    middle = len(x) // 2
    left = _correlate(x[:middle], g[:middle], size, bound)
    return left.to(kind).add_(_correlate(x[middle:], g[middle:], size, bound))
