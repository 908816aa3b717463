# SPDX-License-Identifier: BSD-2-Clause
"""Integers in floating point, which PyTorch multiplies fastest, without ever losing a bit.

Every sum is made in a type that holds all integers up to a bound on its magnitude (`exact`), which
holds for all partial sums too, so nothing is ever rounded but by the rule, in whatever order a
machine adds. Factors 2^-k only move the point; the halves of roundings are in the bounds.

What else a process may have set for PyTorch changes no bit: every type is named, and `pinned` holds
what cannot be named: autocast, the precision of products of float32, and convolutions by
transforms (Winograd's, Fourier's), which are no such sums.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.linalg import vector_norm

__all__ = [
    "HALF",
    "exact",
    "half",
    "norm_bound",
    "pinned",
    "product",
    "project",
    "rounded_product",
    "rs",
]


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
    """Let all be multiplied and summed in its own type, whatever the process has set."""
    mkldnn = torch.backends.mkldnn
    products = mkldnn.matmul, mkldnn.conv  # pyright: ignore[reportAttributeAccessIssue]
    before = [kind.fp32_precision for kind in products]
    # oneDNN is asked for direct convolutions only, NNPACK makes them by transforms.
    with torch.autocast("cpu", enabled=False), torch.backends.nnpack.flags(enabled=False):
        # `torch.set_float32_matmul_precision` ends up here too. Anything lower, or none of its own,
        # lets a processor multiply float32 as bfloat16.
        for kind in products:
            kind.fp32_precision = "ieee"
        try:
            yield
        finally:
            for kind, precision in zip(products, before, strict=True):
                kind.fp32_precision = precision


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
