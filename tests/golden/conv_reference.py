# SPDX-License-Identifier: BSD-2-Clause
"""A layer of convolutions in plain loops, straight from the contract."""

from typing import NamedTuple

from tests.golden.reference import Reference, shift


class Maps(NamedTuple):
    """What is kept of a sample: inputs by place, and the candidate of each feature."""

    x: dict
    am: dict


class ConvReference(Reference):
    """One number at a time, from the state that `layer` is in."""

    def __init__(self, layer):
        super().__init__(layer)
        self.conv = conv = layer.spec.conv
        self.h, self.places = (conv.kernel - 1) // 2, range(conv.size // conv.pool)
        taps = range(conv.kernel)
        self.sums = []  # of the last update
        self.taps = [(c, i, j) for c in range(conv.channels) for i in taps for j in taps]

    def features(self):
        return [(n, r, q) for n in range(self.conv.maps) for r in self.places for q in self.places]

    def under(self, x, r, q, tap):
        """Give the input that meets a tap of the kernel where it lies at r, q."""
        c, i, j = tap
        return x.get((c, r + i - self.h, q + j - self.h), 0) - self.mean(c)

    def forward(self, x):
        p, conv = self.p, self.conv
        size, less = conv.size, 128 if conv.signed else 0
        x = {
            (f // size**2, f // size % size, f % size): int(value) - less
            for f, value in enumerate(x)
        }
        y, am = [], {}
        for n, pr, pc in self.features():
            *kernel, bias = self.w[n]
            v = []
            for a in range(conv.window**2):
                r, q = self.place(pr, pc, a)
                if r < 0 or q < 0:
                    v.append(-1)
                    continue
                z = bias * min(2**p.fx, 128)
                for w, tap in zip(kernel, self.taps, strict=True):
                    z += w * self.under(x, r, q, tap)
                v.append(min(max(z >> (p.fw + p.fx - p.fy), 0), 2**p.yb - 1))
            y.append(max(v))
            am[n, pr, pc] = v.index(max(v))
        return Maps(x, am), y

    def follow(self, samples):
        less = 128 if self.conv.signed else 0
        super().follow(samples, self.conv.size**2, less)

    def place(self, pr, pc, a):
        """Give row and column of a candidate."""
        if self.conv.window == 3:
            return 2 * pr + a // 3 - 1, 2 * pc + a % 3 - 1
        return (2 * pr + a // 2, 2 * pc + a % 2) if self.conv.pool == 2 else (pr, pc)

    def cell(self, n, r, q):
        cells, side = self.conv.cells, len(self.places)
        return (n * cells + r * cells // side) * cells + q * cells // side

    def seen(self, y):
        if self.conv.cells is None:
            return y
        u = [0] * len(self.mc)
        for feature, value in zip(self.features(), y, strict=True):
            u[self.cell(*feature)] += value
        return u

    def row(self, n):
        return self.k[n if self.conv.cells is None else self.cell(*self.features()[n])]

    def update(self, made, k):
        low, high = -(2 ** (self.p.wb - 1)), 2 ** (self.p.wb - 1) - 1
        self.sums = []
        for n, row in enumerate(self.w):
            total = [0] * len(row)
            for maps, _, _, _, g in made:
                for (m, pr, pc), value in zip(self.features(), g, strict=True):
                    if m == n:
                        r, q = self.place(pr, pc, maps.am[m, pr, pc])
                        for j, tap in enumerate(self.taps):
                            total[j] += value * self.under(maps.x, r, q, tap)
                        total[-1] += value * min(2**self.p.fx, 128)
            self.sums.append(total)
            self.w[n] = [
                min(max(w - shift(d, k), low), high) for w, d in zip(row, total, strict=True)
            ]
