# SPDX-License-Identifier: BSD-2-Clause
"""Early exits: who leaves where, what it costs, and the command that draws it."""

import json
import tomllib

import numpy as np
import pytest

from golden import __main__ as cli
from golden import events, exits, training, weights
from golden.model import IntegerNetwork
from golden.spec import parse

SMALL = """\
data = "digits"
classes = 10
[[layer]]
neurons = 8
[[layer]]
neurons = 7
rule = "tlc"
[[layer]]
neurons = 6
loss = "ce"
"""


def network():
    """Three layers whose scores have other scales."""
    layers = [{"neurons": 8}, {"neurons": 7, "rule": "tlc"}, {"neurons": 6, "fy": 5}]
    return IntegerNetwork(parse({"inputs": 9, "classes": 4, "layer": layers}, "t.toml"))


def noise(count=40):
    random = np.random.default_rng(2)
    x = random.integers(0, 256, (count, 9), np.uint8)
    x[random.random(x.shape) < 0.5] = 0
    return x, random.integers(0, 4, count)


def one_by_one(golden, x, labels, margin):
    """Let samples through one at a time, layer by layer."""
    leaves, layers, products, right = [0, 0, 0], 0, 0, 0
    for sample, label in zip(x, labels, strict=True):
        y = sample.astype(int)
        for index, layer in enumerate(golden.layers):
            layers += 1
            p = layer.spec
            inputs = [*y.tolist(), p.one]
            products += p.neurons * sum(value != 0 for value in inputs)
            z = layer.W.long().numpy() @ inputs
            y = np.clip(z >> (p.fw + p.fx - p.fy), 0, p.y_max)
            s = (y @ layer.Mc.long().numpy()).tolist()
            best = max(range(4), key=s.__getitem__)
            second = max(value for c, value in enumerate(s) if c != best)
            sure = index == 2 or (
                margin[index] is not None
                and (s[best] - second >= margin[index] * 2 ** (p.fy + p.scale))
            )
            if sure:
                leaves[index] += 1
                right += best == label
                break
    count = len(x)
    return [n / count for n in leaves], layers / count, products / count, right / count


def test_products_of_convolutions():
    """Every product of a tap with an input that is not 0, one by one, and one with each bias."""
    layer = {"kind": "conv", "maps": 3, "kernel": 3}
    table = {"shape": [2, 4, 4], "classes": 3, "layer": [layer | {"signed": False}]}
    (described,) = parse(table, "t.toml").layers
    x = np.random.default_rng(3).integers(0, 3, (5, 32))
    expected = []
    for maps in x.reshape(5, 2, 4, 4):
        padded = np.pad(maps, ((0, 0), (1, 1), (1, 1)))
        met = sum(
            np.count_nonzero(padded[:, r : r + 3, q : q + 3]) for r in range(4) for q in range(4)
        )
        expected.append(3 * (met + 16))
    assert events.products(described, x).tolist() == expected
    (signed,) = parse(table | {"layer": [layer]}, "t.toml").layers
    # Middle grey is 0, and so is what lies beyond the border.
    assert events.products(signed, x + 128).tolist() == expected


@pytest.mark.parametrize("margin", [(0.3, 0.21), (None, 0.4), (0, 1), (9e9, None)])
def test_against_one_by_one(monkeypatch, margin):
    monkeypatch.setattr(training, "CHUNK", 7)
    golden, (x, labels) = network(), noise()
    point = exits.at(exits.answers(golden, x, labels), margin)
    leaves, layers, products, accuracy = one_by_one(golden, x, labels, margin)
    assert point.leaves == pytest.approx(leaves)
    assert point.layers == pytest.approx(layers)
    assert point.products == pytest.approx(products)
    assert point.accuracy == pytest.approx(accuracy)
    if margin == (0.3, 0.21):
        assert min(point.leaves) > 0


def test_at_the_threshold():
    """What is as sure as the threshold leaves; of equal scores the margin is 0."""
    assert exits.margins(np.array([[7, 7, 1], [-5, -9, -7]])).tolist() == [0, 2]
    margin = np.array([[0, 0, 0], [3, 3, 0], [2, 4, 0], [2, 3, 0]])
    assert exits.leaving(margin, [3, 4]).tolist() == [2, 0, 1, 2]
    assert exits.leaving(margin, [0, 4]).tolist() == [0, 0, 0, 0]
    assert exits.leaving(margin, [None, None]).tolist() == [2, 2, 2, 2]


def test_sweep():
    golden, (x, labels) = network(), noise()
    found = exits.answers(golden, x, labels)
    points = exits.sweep(found)
    assert points[0].leaves == (1, 0, 0)
    assert points[-1].leaves == (0, 0, 1)
    assert points[-1].thresholds == (None, None)
    assert [point.accuracy for point in (points[0], points[-1])] == pytest.approx(
        [np.mean(found.prediction[:, k] == labels) for k in (0, 2)]
    )
    for quantity in "layers", "products":
        values = [getattr(point, quantity) for point in points]
        assert values == sorted(values)
        assert len(set(values)) > 10
    # The same margin, in units of each layer's scores.
    for point in points[1:-1]:
        real = point.margin[0]
        assert point.margin == (real, real)
        for threshold, layer in zip(point.thresholds, golden.spec.layers, strict=False):
            unit = 2.0 ** -(layer.fy + layer.scale)
            assert (threshold - 1) * unit < real <= threshold * unit


@pytest.fixture
def given(tmp_path):
    """A description, and weights of it."""
    config, file = tmp_path / "small.toml", tmp_path / "w.npz"
    config.write_text(SMALL)
    described = parse(tomllib.loads(SMALL), str(config))
    golden = IntegerNetwork(described)
    weights.save(file, described, training.weights_of(golden))
    return ["exits", str(config), "--weights", str(file)]


def test_command(given, tmp_path, capsys):
    assert cli.main([*given, "--out", str(tmp_path / "out")]) == 0
    text = capsys.readouterr()
    head, table = text.out.split("\n\n")
    assert head.startswith("small: 360 test samples, weights of ")
    columns, *rows = (line.split() for line in table.splitlines())
    assert columns == [
        "margin",
        "accuracy",
        "products",
        "layers",
        "layer",
        "0",
        "layer",
        "1",
        "layer",
        "2",
    ]
    assert (rows[0][0], rows[0][3:]) == ("0", ["1.00", "100.00", "0.00", "0.00"])
    assert (rows[-1][0], rows[-1][2:]) == ("none", ["100.00", "3.00", "0.00", "0.00", "100.00"])
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == [f"small-exits.{suffix}" for suffix in ("json", "md", "png", "svg")]
    assert all(name in text.err for name in names)


def test_json_and_margins(given, capsys):
    assert cli.main([*given, "--json", "--margins", "0.5", "0.25"]) == 0
    found = json.loads(capsys.readouterr().out)
    (point,) = found["points"]
    assert point["margin"] == [0.5, 0.25]
    assert point["thresholds"] == [2 ** (4 + 3 - 1), 2 ** (4 + 12 - 2)]
    assert sum(point["leaves"]) == pytest.approx(1)
    assert len(found["accuracy"]) == len(found["products"]) == 3


def test_complaints(given, tmp_path, capsys):
    for arguments, message in (
        ([*given, "--margins", "1"], "--margins: 1 for 3 layers; give one for each layer below the "
         "last, 2 in all"),
        ([*given, "--margins", "-1"], "must be a number of at least 0, not '-1'"),
        ([*given, "--margins", "x"], "argument --margins: must be a number of at least 0, not 'x'"),
        ([*given, "--margins", "nan"], "must be a number of at least 0, not 'nan'"),
        ([*given[:2], "--weights", "no.npz"], "no.npz: cannot be read: No such file"),
    ):  # fmt: skip
        try:
            status = cli.main(arguments)
        except SystemExit as end:
            status = end.code
        captured = capsys.readouterr()
        assert (status, captured.out) == (2, "")
        assert message in captured.err
    alone = tmp_path / "alone.toml"
    alone.write_text('data = "digits"\n[[layer]]\nneurons = 4\n')
    assert cli.main(["exits", str(alone), "--weights", given[3]]) == 2
    assert "layer: there is but one to leave at; add another" in capsys.readouterr().err
