# SPDX-License-Identifier: BSD-2-Clause
"""The integer model against the contract's check values and a slow reference."""


import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from golden import lfsr
from golden.model import Network, exact, project, rs
from golden.spec import FORMATS, SpecError, parse


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
        for made, values in ((ys, y), (ss, s), (es, e), (gs, g)):
            made.append(values)
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


def check_step(net, x, labels, epoch=0):
    """Make a step and compare all of it with the reference."""
    expected, inputs = [], x.tolist()
    for layer in net.layers:
        samples = list(zip(inputs, labels.tolist(), strict=True))
        lr = layer.spec.lr + epoch // net.spec.lr_step
        expected.append(reference(layer, samples, lr))
        inputs = expected[-1][0]
    steps = net.train(x, labels, epoch)
    for layer, step, (y, s, e, g, w) in zip(net.layers, steps, expected, strict=True):
        assert [a.tolist() for a in step[:4]] == [y, s, e, g]
        assert step.prediction.tolist() == [row.index(max(row)) for row in s]
        assert layer.W.tolist() == w


def noise(net, batch, random):
    """Make pixels, many of them 0 or 255, and labels."""
    x = torch.randint(-128, 384, (batch, net.spec.inputs), generator=random).clamp(0, 255)
    return x.byte(), torch.randint(0, net.spec.classes, (batch,), generator=random)


@pytest.mark.parametrize("batch", [1, 3, 9])
@pytest.mark.parametrize("rule", ["sym", "scfb", "random", "frozen"])
def test_against_reference(rule, batch):
    table = {
        "inputs": 6,
        "classes": 5,
        "seed": 7,
        "lr_step": 2,
        "epochs": 4,
        "layer": [
            {"neurons": 7, "rule": rule, "lr": 3, "mb": 3},
            {"neurons": 3, "rule": rule, "lr": 3, "wb": 9, "fw": 9},
        ],
    }
    net = Network(parse(table, "reference"))
    random = torch.Generator().manual_seed(1)
    for step in range(10):
        check_step(net, *noise(net, batch, random), epoch=step % 4)


@settings(deadline=None, max_examples=150, derandomize=True)
@given(
    formats=st.fixed_dictionaries(
        {},
        optional={
            key: st.integers(*FORMATS[key]) for key in ("fx", "fy", "fw", "wb", "mb", "fe", "lr")
        }
        | {"ms": st.integers(-8, 24)},
    ),
    rule=st.sampled_from(["sym", "scfb", "random"]),
    batch=st.sampled_from([1, 2, 9]),
    seed=st.integers(0, 1000),
)
def test_formats_against_reference(formats, rule, batch, seed):
    layer = {"neurons": 4, "rule": rule} | formats
    try:
        described = parse({"inputs": 3, "classes": 3, "seed": seed, "layer": [layer]}, "formats")
    except SpecError:
        assume(False)
        raise
    net = Network(described)
    random = torch.Generator().manual_seed(seed)
    check_step(net, *noise(net, batch, random))
    # The weights anywhere, their limits included.
    limit = 1 << (described.layers[0].wb - 1)
    w = torch.randint(-2 * limit, 2 * limit, net.layers[0].W.shape, generator=random)
    net.layers[0].W.copy_(w.clamp(-limit, limit - 1))
    check_step(net, *noise(net, batch, random))


@pytest.mark.parametrize("size", [1, 40, 2047])
def test_project_is_exact(size):
    # From sums that float32 holds as a whole, through those of halves, to those that need float64.
    random = torch.Generator().manual_seed(1)
    for batch in (1, 7, 8, 33):
        x = torch.randint(0, 256, (batch, 785), generator=random)
        w = torch.randint(-size, size + 1, (50, 785), generator=random)
        x[0], w[0], w[1, :300] = 255, size, size
        bound = 255 * 785 * size
        assert torch.equal(project(x.float(), w.float(), bound).long(), x @ w.T)


def test_exact():
    assert exact(2**24) is torch.float32
    assert exact(2**24 + 1) is torch.float64
    assert exact(2**53) is torch.float64
    with pytest.raises(ValueError, match="use smaller batches"):
        exact(2**53 + 1)


def test_prediction_is_the_lowest_of_the_largest():
    net = network()
    net.layers[0].W.zero_()
    assert net.infer(torch.zeros(1, 4, dtype=torch.uint8))[0].prediction.tolist() == [0]


def test_rs():
    assert rs(torch.tensor([-3.0, -2, -1, 1, 2, 3]), 1).tolist() == [-1, -1, 0, 1, 1, 2]
    assert rs(torch.tensor([3.0]), -2).tolist() == [12]


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((1, 5), np.uint8), r"shape \(B, 4\), not torch.uint8 \(1, 5\)"),
        (np.zeros(4, np.uint8), r"shape \(B, 4\), not torch.uint8 \(4,\)"),
        (np.zeros((1, 4)), r"type uint8 .*, not torch.float64 \(1, 4\)"),
        (np.zeros((1, 4), int), r"type uint8 .*, not torch.int64 \(1, 4\)"),
    ],
)
def test_wrong_pixels(x, message):
    net = network()
    with pytest.raises(ValueError, match=message):
        net.infer(x)
    with pytest.raises(ValueError, match=message):
        net.train(x, [0])


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 10], r"from 0 to 9, not \[0, 10\]"),
        ([-1, 0], r"from 0 to 9, not \[-1, 0\]"),
        ([0], r"shape \(2,\), one for each sample, not torch.int64 \(1,\)"),
        ([0.0, 1.0], "labels must be integers"),
    ],
)
def test_wrong_labels(labels, message):
    net = network()
    before = net.layers[0].W.clone()
    with pytest.raises(ValueError, match=message):
        net.train(np.zeros((2, 4), np.uint8), labels)
    assert torch.equal(net.layers[0].W, before)
