# SPDX-License-Identifier: BSD-2-Clause
"""The integer model against the contract's check values and a slow reference."""

import pytest
import torch

from golden import lfsr
from golden.model import Network, rs
from golden.spec import parse


def network(**changes):
    layer = {"neurons": 2, "lanes": 1} | changes
    return Network(parse({"inputs": 4, "classes": 10, "seed": 1, "layer": [layer]}, "check"))


def test_check_values():
    net = network()
    (layer,) = net.layers
    assert layer.Mc.tolist() == [
        [1, 3, 1, -3, 3, 1, -3, -1, 3, -3],
        [-1, 1, 3, 1, -1, 3, -1, -1, -3, 3],
    ]
    assert layer.W.tolist() == [[1887, 675, 1189, -581, 0], [1641, 2027, 187, -1533, 0]]
    for x, label in [([200, 0, 17, 255], 3), ([3, 90, 250, 40], 0), ([128, 128, 1, 77], 7)]:
        net.train(torch.tensor([x], dtype=torch.uint8), [label])
    assert layer.W.tolist() == [[1741, 631, 1157, -748, -119], [1588, 1942, 96, -1579, -99]]


def test_lfsr_leaps_as_it_steps():
    seed = 0x123456789ABCDEF1
    a = [seed >> t & 1 for t in range(64)]
    while len(a) < 64 + 5000:
        a.append(a[-64] ^ a[-63] ^ a[-61] ^ a[-60])
    assert lfsr.fields(seed, 5000, 1).tolist() == a[64:]
    assert lfsr.fields(1, 68, 1).tolist() == [1] + 59 * [0] + [1, 1, 0, 1, 1, 0, 0, 0]


def reference(layer, samples, lr):
    """One step of a layer in plain Python, straight from the contract; gives y, s, e, g, W."""
    p, w = layer.spec, layer.W.long().tolist()
    mc, k = layer.Mc.long().tolist(), layer.K.long().tolist()

    def shift(v, n):
        return (v + (1 << (n - 1))) >> n if n >= 1 else v << -n

    ys, ss, es, gs = [], [], [], []
    for x, label in samples:
        x = [*x, min(2**p.fx, 128)]
        z = [sum(a * b for a, b in zip(row, x, strict=True)) for row in w]
        y = [min(max(v >> (p.fw + p.fx - p.fy), 0), 255) for v in z]
        s = [sum(mc[n][c] * y[n] for n in range(p.neurons)) for c in range(p.classes)]
        e = []
        for c in range(p.classes):
            t = 1 if c == label else -1
            margin = max(0, 2 ** (p.fy + p.ms) - t * s[c])
            e.append(-t * min(shift(margin, p.fy + p.ms - p.fe), 2**p.fe - 1))
        g = [
            shift(sum(k[n][c] * e[c] for c in range(p.classes)), p.ms) if y[n] > 0 else 0
            for n in range(p.neurons)
        ]
        ys.append(y), ss.append(s), es.append(e), gs.append(g)
    low, high = -(2 ** (p.wb - 1)), 2 ** (p.wb - 1) - 1
    if p.rule != "frozen":
        for n in range(p.neurons):
            for j in range(p.inputs + 1):
                total = sum(
                    gs[b][n] * [*x, min(2**p.fx, 128)][j] for b, (x, _) in enumerate(samples)
                )
                update = shift(total, p.fe + p.fx - p.fw + lr)
                w[n][j] = min(max(w[n][j] - update, low), high)
    return ys, ss, es, gs, w


@pytest.mark.parametrize("batch", [1, 3, 9])
@pytest.mark.parametrize("rule", ["sym", "scfb", "random", "frozen"])
def test_against_reference(rule, batch):
    table = {
        "inputs": 6,
        "classes": 5,
        "seed": 7,
        "layer": [
            {"neurons": 7, "rule": rule, "lr": 3, "mb": 3},
            {"neurons": 3, "rule": rule, "lr": 3, "wb": 9, "fw": 9},
        ],
    }
    net = Network(parse(table, "reference"))
    random = torch.Generator().manual_seed(1)
    for _ in range(10):
        x = torch.randint(0, 256, (batch, 6), generator=random, dtype=torch.uint8)
        labels = torch.randint(0, 5, (batch,), generator=random)
        expected, inputs = [], x.tolist()
        for layer in net.layers:
            expected.append(reference(layer, list(zip(inputs, labels.tolist(), strict=True)), 3))
            inputs = expected[-1][0]
        steps = net.train(x, labels)
        for layer, step, (y, s, e, g, w) in zip(net.layers, steps, expected, strict=True):
            assert [a.tolist() for a in step[:4]] == [y, s, e, g]
            assert layer.W.tolist() == w


def test_prediction_is_the_lowest_of_the_largest():
    net = network()
    net.layers[0].W.zero_()
    assert net.infer(torch.zeros(1, 4, dtype=torch.uint8))[0].prediction.tolist() == [0]


def test_rs():
    assert rs(torch.tensor([-3.0, -2, -1, 1, 2, 3]), 1).tolist() == [-1, -1, 0, 1, 1, 2]
    assert rs(torch.tensor([3.0]), -2).tolist() == [12]
