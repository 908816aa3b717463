# SPDX-License-Identifier: BSD-2-Clause
"""Exports: every score and every prediction equals the integer model's."""

import io
import json
import math
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx as onnx_package
import onnxruntime
import pytest
import torch

from golden import training
from golden.cli import data_of
from golden.data import Scaling
from golden.errors import RunError
from golden.export import c, npz, onnx
from golden.export.tables import Results, Tables
from golden.model import IntegerNetwork
from golden.spec import parse
from golden.weights import Weights

DIGITS = {
    "name": "digits",
    "data": "digits",
    "classes": 10,
    "epochs": 3,
    "layer": [
        {"neurons": 24, "rule": "tlc", "dropout": 2},
        {"neurons": 32, "yb": 7, "rule": "scfb"},
        {"neurons": 24, "mb": 3, "wb": 10, "fw": 9},
    ],
}
#: Sums, and sums of scores, that 32 bits do not hold.
WIDE = {
    "inputs": 400,
    "classes": 4,
    "layer": [
        {"neurons": 300, "wb": 18, "fy": 0, "rule": "tlc"},
        {"neurons": 7, "wb": 18, "fw": 5, "fy": 4, "mb": 8, "dropout": 7},
        {"neurons": 3, "wb": 2, "fw": 1, "fy": 2, "yb": 1, "init_bits": 1},
    ],
}
#: Convolutions of every kind: signed inputs, trained classifiers, cells of both kinds, dropout, a
#: full kernel, centred inputs, windows that overlap.
CONVOLVED = {
    "shape": [3, 8, 8],
    "classes": 4,
    "layer": [
        {
            "kind": "conv",
            "maps": 5,
            "kernel": 3,
            "pool": 2,
            "window": 3,
            "rule": "tlc",
            "dropout": 2,
            "centred": True,
        },
        {"kind": "conv", "maps": 4, "kernel": 1, "cells": 3, "yb": 6, "centred": True},
        {"kind": "conv", "maps": 3, "kernel": 3, "pool": 2, "wb": 18, "rule": "tlc", "cells": 1},
        {"neurons": 6, "centred": True},
    ],
}
CC = c.compiler()


@pytest.fixture(scope="module")
def digits():
    """Train a network; give it and the test set."""
    network = IntegerNetwork(parse(DIGITS, "t.toml"))
    data = data_of(network.spec)
    for _, steps in training.epochs(network, data):
        sum(steps)
    return network, data.test_x


def extreme(fw, seed=1):
    """Make a network of weights that are as large as can be, and samples that are too."""
    layers = [WIDE["layer"][0] | {"fw": fw}, *WIDE["layer"][1:]]
    spec, random = parse(WIDE | {"layer": layers}, "t.toml"), np.random.default_rng(seed)

    def ends(shape, bits):
        low, high = -(1 << bits - 1), (1 << bits - 1) - 1
        numbers = random.integers(low, high + 1, shape)
        # A row of each end, and some numbers between.
        numbers[0], numbers[1] = low, high
        return numbers

    weights = Weights(
        W=tuple(ends((p.neurons, p.columns), p.wb) for p in spec.layers),
        V=tuple(ends((p.neurons, 4), 16) if p.rule == "tlc" else None for p in spec.layers),
    )
    network = IntegerNetwork(spec)
    training.start_from(network, weights)
    x = random.integers(0, 256, (60, 400), np.uint8)
    x[0], x[1] = 0, 255
    return network, x


def tables_of(network, **changes):
    weights = training.weights_of(network, **changes)
    return Tables.of(network, weights)


def exported(form, tables, x):
    """Export in a format, and run it."""
    if form == "c":
        if not CC:
            pytest.skip("there is no C compiler")
        return c.infer(c.make(tables), tables, x, CC)
    module = {"onnx": onnx, "npz": npz}[form]
    return module.infer(module.make(tables), x)


def assert_equal(results: Results, network, x):
    scores, predictions = training.infer(network, x)
    assert results.scores.tolist() == scores.tolist()
    assert results.predictions.tolist() == predictions.tolist()


def assert_seen(form, layer, change, network, x):
    """Change a table of a layer: its scores are others, and those below are not."""
    tables = tables_of(network)
    layers = list(tables.layers)
    layers[layer] = replace(layers[layer], **change(layers[layer]))
    results = exported(form, replace(tables, layers=tuple(layers)), x)
    scores, _ = training.infer(network, x)
    assert (results.scores[:, layer] != scores[:, layer]).any()
    assert (results.scores[:, :layer] == scores[:, :layer]).all()


@pytest.mark.parametrize("form", ["onnx", "c", "npz"])
def test_all_digits(form, digits):
    network, x = digits
    assert len(x) == 360
    # Something is there to be compared: no layer gives the same answer to all.
    scores, predictions = training.infer(network, x)
    assert scores.shape == (360, 3, 10)
    assert all(len(set(column)) > 5 for column in predictions.T)
    assert_equal(exported(form, tables_of(network), x), network, x)


@pytest.mark.parametrize("form", ["onnx", "c", "npz"])
@pytest.mark.parametrize("fw", [24, 14])
def test_the_ends_of_all_ranges(form, fw):
    network, x = extreme(fw)
    tables = tables_of(network)
    assert tables.layers[0].z_bound > 2**32
    assert tables.layers[0].s_bound > 2**31
    # With a shift of 32 bits only the largest sums leave anything.
    assert tables.layers[0].shift == fw + 8
    scores, _ = training.infer(network, x)
    assert all(scores[:, i].any() for i in range(3))
    assert_equal(exported(form, tables_of(network), x), network, x)


@pytest.fixture(scope="module")
def convolved():
    """Train a network of convolutions a little; give it and samples."""
    network, random = IntegerNetwork(parse(CONVOLVED, "t.toml")), np.random.default_rng(5)
    x = random.integers(0, 256, (40, 192), np.uint8)
    x[:2] = [[0], [255]]
    for _ in range(3):
        network.train(x, np.arange(40) % 4)
    for layer in network.layers:
        # Means move slowly: these have come a long way.
        layer.A.copy_(torch.arange(1, len(layer.A) + 1) * 150_000 % (5 << 16))
    return network, x


@pytest.mark.parametrize("form", ["onnx", "c", "npz"])
def test_convolutions(form, convolved):
    network, x = convolved
    scores, _ = training.infer(network, x)
    assert all(len(np.unique(scores[:, i])) > 20 for i in range(4))
    assert_equal(exported(form, tables_of(network), x), network, x)


@pytest.mark.parametrize("form", ["onnx", "c", "npz"])
@pytest.mark.parametrize("layer", [0, 1, 2])
@pytest.mark.parametrize(
    "change",
    [
        lambda layer: {"bias": layer.bias + 4000},
        lambda layer: {"W": layer.W[:, ::-1]},
        lambda layer: {"M": layer.M[::-1]},
        lambda layer: {"conv": replace(layer.conv, signed=not layer.conv.signed)},
    ],
    ids=["bias", "W", "M", "signed"],
)
def test_the_comparison_sees_every_part_of_convolutions(form, layer, change, convolved):
    assert_seen(form, layer, change, *convolved)


@pytest.mark.parametrize("form", ["onnx", "c", "npz"])
@pytest.mark.parametrize("layer", [0, 1, 2])
@pytest.mark.parametrize(
    "change",
    [
        lambda layer: {"shift": layer.shift + 1},
        lambda layer: {"bias": 0 * layer.bias},
        lambda layer: {"W": -layer.W},
        lambda layer: {"M": -layer.M},
        lambda layer: {"y_max": layer.y_max // 16},
        lambda layer: {"keep": layer.keep - 1},
    ],
    ids=["shift", "bias", "W", "M", "y_max", "keep"],
)
def test_the_comparison_sees_every_table(form, layer, change, digits):
    assert_seen(form, layer, change, *digits)


@pytest.fixture
def scaled():
    """Give a network with a scale of features, features, and the inputs that they become."""
    low = np.array([0.0, -3.5, 1e-300, 7.0, -1e100, 0.1])
    high = np.array([1.0, 12.25, 2e-300, 7.0, 1e100, 0.1 + 2**-50])
    network = IntegerNetwork(
        parse({"inputs": 6, "classes": 3, "layer": [{"neurons": 9}, {"neurons": 5}]}, "t.toml")
    )
    random = np.random.default_rng(1)
    f = low + (high - low) * random.uniform(-0.2, 1.2, (300, 6))
    # Where one input ends and the next begins, and just beside; the ends and beyond.
    f[:256] = low + (high - low) * (np.arange(256)[:, None] + 0.5) / 255
    f[256:270] = np.nextafter(f[100:114], np.inf)
    f[270:284] = np.nextafter(f[100:114], -np.inf)
    f[284:288] = [low, high, [np.inf] * 6, [-np.inf] * 6]

    def one(value, low, high):
        if low == high:
            return 0
        scaled = (value - low) * 255 / (high - low) + 0.5
        return 255 if scaled >= 255 else 0 if scaled < 0 else math.floor(scaled)

    x = [
        [one(*each) for each in zip(row, low.tolist(), high.tolist(), strict=True)]
        for row in f.tolist()
    ]
    return (
        tables_of(network, scaling=Scaling(low=low, high=high)),
        network,
        f,
        np.array(x, np.uint8),
    )


def test_features(scaled):
    tables, network, f, x = scaled
    assert len(np.unique(x[:, 1])) > 240
    assert (tables.scaling.apply(f) == x).all()
    content = onnx.make(tables, features=True)
    assert_equal(onnx.infer(content, f), network, x)
    assert_equal(onnx.infer(onnx.make(tables), x), network, x)
    with np.load(io.BytesIO(npz.make(tables))) as arrays:
        assert arrays["low"].tolist() == tables.scaling.low.tolist()
        assert arrays["high"].tolist() == tables.scaling.high.tolist()
        assert "(f - low) * 255 / (high - low) + 0.5" in str(arrays["readme"])
    if CC:
        header = c.make(tables)
        assert_equal(c.infer(header, tables, f, CC), network, x)
        assert_equal(c.infer(header, tables, x, CC), network, x)


def test_ties_go_to_the_first_class():
    table = {"inputs": 3, "classes": 5, "layer": [{"neurons": 4}]}
    network = IntegerNetwork(parse(table, "t.toml"))
    network.layers[0].W.zero_()
    x = np.zeros((2, 3), np.uint8)
    for form in ("onnx", "c", "npz"):
        assert exported(form, tables_of(network), x).predictions.tolist() == [[0], [0]]


def test_onnx_is_what_others_read(digits):
    network, x = digits
    labels = tuple(f"{i}\n" for i in range(10))
    content = onnx.make(tables_of(network, labels=labels))
    model = onnx_package.load_model_from_string(content)
    onnx_package.checker.check_model(model, full_check=True)
    operators = {node.op_type for node in model.graph.node}
    assert operators == {
        "Add", "ArgMax", "Cast", "Clip", "Div", "Identity", "MatMul", "Mul",
    }  # fmt: skip
    # No number in it is a float.
    kinds = {tensor.data_type for tensor in model.graph.initializer}
    kinds |= {node.attribute[0].i for node in model.graph.node if node.op_type == "Cast"}
    kind = onnx_package.TensorProto
    assert kinds <= {kind.INT8, kind.INT16, kind.INT32, kind.INT64}
    assert json.loads(model.metadata_props[0].value) == list(labels)
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    (one,) = session.run(["prediction_2"], {"x": x[:1]})
    assert one == training.infer(network, x[:1])[1][:, 2]
    assert onnx.make(tables_of(network, labels=labels)) == content


def test_npz_is_enough(digits):
    network, x = digits
    content = npz.make(tables_of(network, labels=("a",) * 10))
    with np.load(io.BytesIO(content)) as arrays:
        assert arrays["labels"].tolist() == ["a"] * 10
        # As the text in it says.
        for line in ("z = W{i} @ x + bias{i}", "y = (y * keep{i}) >> 3", "s = y @ M{i}"):
            assert line in str(arrays["readme"])
        y = [int(v) for v in x[5]]
        for i in range(3):
            z = [
                sum(int(w) * v for w, v in zip(row, y, strict=True)) + int(bias)
                for row, bias in zip(arrays[f"W{i}"], arrays[f"bias{i}"], strict=True)
            ]
            y = [min(max(v, 0) >> int(arrays[f"shift{i}"]), int(arrays[f"y_max{i}"])) for v in z]
            y = [v * int(arrays[f"keep{i}"]) >> 3 for v in y]
            s = [
                sum(v * int(m[k]) for v, m in zip(y, arrays[f"M{i}"], strict=True))
                for k in range(10)
            ]
            assert s == training.infer(network, x[5:6])[0][0, i].tolist()


@pytest.mark.skipif(not CC, reason="there is no C compiler")
def test_c_without_undefined_behaviour(monkeypatch, tmp_path):
    (tmp_path / "empty.c").write_text("int main(void) { return 0; }\n")
    sanitizer = ["-fsanitize=undefined", "-fno-sanitize-recover"]
    if subprocess.run([CC, *sanitizer, "empty.c"], cwd=tmp_path, capture_output=True).returncode:
        pytest.skip("the compiler has no sanitizer")
    monkeypatch.setattr(c, "FLAGS", (*c.FLAGS, *sanitizer))
    network, x = extreme(14, 3)
    assert_equal(exported("c", tables_of(network), x), network, x)
    network = IntegerNetwork(parse(CONVOLVED, "t.toml"))
    x = np.random.default_rng(6).integers(0, 256, (9, 192), np.uint8)
    assert_equal(exported("c", tables_of(network), x), network, x)


def test_c_flags():
    strict = {"-std=c99", "-Wall", "-Wextra", "-Wconversion", "-pedantic", "-Werror"}
    assert strict <= set(c.FLAGS)


@pytest.mark.skipif(not CC, reason="there is no C compiler")
@pytest.mark.parametrize("name", ["int", "9-lives", "a.b-c_d", "E2BIG", "x"])
def test_c_names(name, tmp_path):
    network = IntegerNetwork(
        parse({"name": name, "inputs": 2, "classes": 2, "layer": [{"neurons": 2}]}, "t.toml")
    )
    labels = ('"quo\\ted"??=', "Käse\n\x1b[31m*/")
    tables = tables_of(network, labels=labels)
    header = c.make(tables)
    assert header.isascii()
    x = np.array([[3, 4]], np.uint8)
    assert_equal(c.infer(header, tables, x, CC), network, x)
    (tmp_path / "net.h").write_bytes(header)
    symbol = tables.identifier
    (tmp_path / "labels.c").write_text(
        '#include <stdio.h>\n#include <errno.h>\n#include "net.h"\n'
        f'int main(void) {{ printf("%s\\n%s", {symbol}_labels[0], {symbol}_labels[1]); '
        f'return {symbol}_classify(({symbol}_labels[0], (const uint8_t *)"ab"), 0, 0) > 1; }}\n'
    )
    flags = [flag for flag in c.FLAGS if flag not in ("-Wall", "-Wextra")]
    subprocess.run([CC, *flags, "-o", "labels", "labels.c"], cwd=tmp_path, check=True)
    out = subprocess.run([tmp_path / "labels"], capture_output=True, check=True).stdout
    assert out == "\n".join(labels).encode()


@pytest.mark.skipif(not CC, reason="there is no C compiler")
def test_c_that_does_not_compile(digits):
    network, x = digits
    tables = tables_of(network)
    broken = c.make(tables).replace(b"return best;", b"return beast;")
    with pytest.raises(RunError, match=r"failed with status 1: .*exported\.h:\d+:\d+: er"):
        c.infer(broken, tables, x, CC)


def test_compilers(monkeypatch, tmp_path):
    monkeypatch.setenv("CC", "no-such-compiler")
    assert c.compiler() is None
    monkeypatch.delenv("CC")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert c.compiler() is None
    clang = Path(tmp_path / "clang")
    clang.touch(0o755)
    assert c.compiler() == str(clang)
