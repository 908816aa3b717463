# SPDX-License-Identifier: BSD-2-Clause
"""The contract, one number at a time, and how the integer model is compared with it."""

from decimal import ROUND_FLOOR, Decimal

import torch

from golden.model import IntegerNetwork
from golden.spec import parse


def network(**changes):
    layer = {"neurons": 2, "lanes": 1} | changes
    return IntegerNetwork(parse({"inputs": 4, "classes": 10, "seed": 1, "layer": [layer]}, "check"))


class Reference:
    """A layer in plain Python, straight from the contract, from the state that `layer` is in."""

    def __init__(self, layer):
        self.p = layer.spec
        self.w = layer.W.long().tolist()
        self.mc, self.k = layer.Mc.long().tolist(), layer.K.long().tolist()
        self.a = layer.A.long().tolist()
        self.drawn = {k: drawn(self.p.seeds[k]) for k in (3, 4)}

    def field(self, stream, width):
        return sum(next(self.drawn[stream]) << i for i in range(width))

    def forward(self, x):
        """Give the inputs with their bias, and y."""
        p, x = self.p, [*(v - self.mean(i) for i, v in enumerate(x)), min(2**self.p.fx, 128)]
        z = [sum(a * b for a, b in zip(row, x, strict=True)) for row in self.w]
        return x, [min(max(v >> (p.fw + p.fx - p.fy), 0), 2**p.yb - 1) for v in z]

    def mean(self, i):
        """Give what is taken from the inputs of a map, or from one input."""
        return self.a[i] + 2**15 >> 16 if self.a else 0

    def follow(self, samples, positions=1, less=0):
        """Let the means follow the inputs of samples, of which so many in turn share one."""
        for i in range(len(self.a)):
            total = 0
            for x in samples:
                for v in x[i * positions : (i + 1) * positions]:
                    total += (v - less) * 2**16 - self.a[i]
            k = 10
            while 2 ** (k - 10) < positions:
                k += 1
            self.a[i] += shift(total, k)

    def scores(self, y):
        return [sum(row[c] * v for row, v in zip(self.mc, y, strict=True)) for c in self.classes]

    @property
    def classes(self):
        return range(self.p.classes)

    def infer(self, x):
        """Give y and s."""
        y = [v * (8 - self.p.dropout) >> 3 for v in self.forward(x)[1]]
        return y, self.scores(self.seen(y))

    def seen(self, y):
        """Give what the classifier sees of y."""
        return y

    def row(self, n):
        """Give the row of K that is for y[n]."""
        return self.k[n]

    def train(self, samples, lr):
        """Make a step with pairs of inputs and label; give y, s, e and g of all."""
        p, tlc = self.p, self.p.rule == "tlc"
        ms, made = 12 if tlc else p.ms, []
        for x, label in samples:
            x, y = self.forward(x)
            if p.dropout:
                y = [0 if self.field(3, 3) < p.dropout else v for v in y]
            s = self.scores(self.seen(y))
            e = {"hinge": hinge, "ce": softmax}[p.loss](s, label, p.fy + ms, p.fe)
            if tlc:
                self.k = self.mc
            g = [
                shift(sum(self.row(n)[c] * e[c] for c in self.classes), p.gs) if v > 0 else 0
                for n, v in enumerate(y)
            ]
            made.append((x, y, s, e, g))
        if p.rule != "frozen":
            self.update(made, p.fe + ms - p.gs + p.fx - p.fw + lr)
        if tlc:
            learnt = [(self.seen(y), e) for _, y, _, e, _ in made]
            for n, row in enumerate(self.mc):
                for c in self.classes:
                    total = sum(e[c] * u[n] for u, e in learnt)
                    step = shift(total, p.fe + p.fy - 12 + p.lrv)
                    row[c] = min(max(row[c] - step, -(2**15)), 2**15 - 1)
        self.follow([x for x, _ in samples])
        return [[sample[i] for sample in made] for i in (1, 2, 3, 4)]

    def update(self, made, k):
        low, high = -(2 ** (self.p.wb - 1)), 2 ** (self.p.wb - 1) - 1
        learns = any(v != 0 for _, _, _, e, _ in made for v in e)
        for j in range(self.p.inputs + 1):
            seen = any(x[j] != 0 for x, _, _, _, _ in made)
            r = None
            if self.p.sr and k >= 1:
                r = self.field(4, k) if learns and seen else 0
            for n, row in enumerate(self.w):
                total = sum(g[n] * x[j] for x, _, _, _, g in made)
                step = shift(total, k) if r is None else (total + r) >> k
                row[j] = min(max(row[j] - step, low), high)


def shift(v, k):
    return (v + (1 << (k - 1))) >> k if k >= 1 else v << -k


def hinge(s, label, point, fe):
    e = []
    for c in range(len(s)):
        t = 1 if c == label else -1
        margin = max(0, 2**point - t * s[c])
        e.append(-t * min(shift(margin, point - fe), 2**fe - 1))
    return e


def nearest(v):
    return int((v + Decimal("0.5")).to_integral_value(ROUND_FLOOR))


EXPONENTIALS = [(Decimal(-i) / 32).exp() for i in range(256)]
TE, TP = ([nearest(one * v) for v in EXPONENTIALS] for one in (1024, 256))


def softmax(s, label, point, fe):
    assert fe == 8
    a = []
    for score in s:
        far = max(s) - score
        a.append(min(far >> (point - 5) if point >= 5 else far << (5 - point), 255))
    total = 0
    for i in a:
        total += TE[i]
    log = nearest(32 * (Decimal(32 * (total >> 5) + 16) / 1024).ln())
    e = []
    for c in range(len(s)):
        v = TP[min(a[c] + log, 255)] - (256 if c == label else 0)
        e.append(max(-255, min(255, v)))
    return e


def drawn(seed):
    """Put out the bits of the LFSR, one after the other."""
    a = [seed >> t & 1 for t in range(64)]
    while True:
        a = [*a[1:], a[0] ^ a[1] ^ a[3] ^ a[4]]
        yield a[-1]


def check_step(net, references, x, labels, epoch=0):
    """Make a step, of training and of inference, and compare all of it with the references."""
    expected, inputs = [], x.tolist()
    for reference in references:
        samples = list(zip(inputs, labels.tolist(), strict=True))
        expected.append(reference.train(samples, reference.p.lr + epoch // net.spec.lr_step))
        inputs = expected[-1][0]
    steps = net.train(x, labels, epoch)
    for layer, reference, step, made in zip(net.layers, references, steps, expected, strict=True):
        assert [a.tolist() for a in step[:4]] == made
        assert step.prediction.tolist() == [row.index(max(row)) for row in made[1]]
        assert layer.W.tolist() == reference.w
        assert layer.Mc.tolist() == reference.mc
        assert layer.A.tolist() == reference.a

    inputs = x.tolist()
    for reference, step in zip(references, net.infer(x), strict=True):
        made = [reference.infer(sample) for sample in inputs]
        inputs = [y for y, _ in made]
        assert step.y.tolist() == inputs
        assert step.s.tolist() == [s for _, s in made]


def noise(net, batch, random):
    """Make pixels, many of them 0 or 255, and labels."""
    x = torch.randint(-128, 384, (batch, net.spec.inputs), generator=random).clamp(0, 255)
    return x.byte(), torch.randint(0, net.spec.classes, (batch,), generator=random)
