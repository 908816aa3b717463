# SPDX-License-Identifier: BSD-2-Clause
"""The command `export`: what it writes, what it says, and when it writes nothing."""

import builtins
from dataclasses import replace

import numpy as np
import pytest

from golden import __main__ as cli
from golden import training, weights
from golden.export import c
from golden.export.tables import Tables
from golden.model import IntegerNetwork
from golden.spec import load

BARE = "inputs = 5\nclasses = 3\n[[layer]]\nneurons = 4\nfw = 9\n[[layer]]\nneurons = 6\n"


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "net.toml"
    path.write_text(BARE)
    return path


@pytest.fixture
def file(config, tmp_path):
    path = tmp_path / "w.npz"
    spec = load(config)
    weights.save(path, spec, training.weights_of(IntegerNetwork(spec)))
    return path


def run(config, file, form, out):
    return cli.main(["export", str(config), str(file), "--format", form, "-o", str(out)])


@pytest.mark.parametrize("form", ["onnx", "npz", pytest.param("c", marks=pytest.mark.skipif(
    not c.compiler(), reason="there is no C compiler"))])  # fmt: skip
def test_what_is_written(config, file, tmp_path, capsys, form):
    out = tmp_path / f"net.{form}"
    assert run(config, file, form, out) == 0
    captured = capsys.readouterr()
    # Of 1000 samples and 2 layers: 3 scores, a prediction.
    said = f"{out}: 1000 random samples, 8,000 scores and predictions, all equal\n"
    assert (captured.out, captured.err) == (said, "")
    content = out.read_bytes()
    assert run(config, file, form, out) == 0
    assert out.read_bytes() == content

    config.write_text('data = "digits"\nclasses = 10\n[[layer]]\nneurons = 4\n')
    spec = load(config)
    weights.save(file, spec, training.weights_of(IntegerNetwork(spec)))
    capsys.readouterr()
    assert run(config, file, form, out) == 0
    said = f"{out}: 360 test samples, 3,960 scores and predictions, all equal\n"
    assert capsys.readouterr().out == said


@pytest.mark.parametrize("form", ["onnx", "c", "npz"])
@pytest.mark.parametrize("what", ["scores", "predictions"])
def test_what_differs_is_not_written(config, file, tmp_path, capsys, monkeypatch, form, what):
    if form == "c" and not c.compiler():
        pytest.skip("there is no C compiler")
    out = tmp_path / "net"

    def wrong(network, x):
        made = dict(zip(("scores", "predictions"), kept(network, x), strict=True))
        made[what][-1, 1] += 1
        return tuple(made.values())

    kept = training.infer
    monkeypatch.setattr(training, "infer", wrong)
    assert run(config, file, form, out) == 1
    said = f"error: the export is not equal to the integer model in its {what}; nothing was written"
    assert capsys.readouterr().err.startswith(said)
    assert not out.exists()


def test_features(config, file, tmp_path, capsys):
    out = tmp_path / "net"
    export = ["export", str(config), str(file), "--features", "-o", str(out), "--format"]
    assert cli.main([*export, "onnx"]) == 2
    said = f"error: --features: {file} has no scale of features; remove it\n"
    assert capsys.readouterr().err == said
    spec = load(config)
    scaling = weights.Scaling(low=np.arange(5.0) - 2, high=np.arange(5.0) * 2)
    network = IntegerNetwork(spec)
    weights.save(file, spec, training.weights_of(network, scaling=scaling))
    assert cli.main([*export, "c"]) == 2
    assert "--features is for --format onnx; remove it" in capsys.readouterr().err
    assert cli.main([*export, "onnx"]) == 0
    of_features = "1000 random samples of features, 8,000 scores and predictions, all equal\n"
    assert capsys.readouterr().out == f"{out}: {of_features}"
    if c.compiler():
        assert run(config, file, "c", out) == 0
        of_inputs = "1000 random samples, 8,000 scores and predictions, all equal\n"
        assert capsys.readouterr().out == f"{out}: {of_inputs}{out}: {of_features}"


def test_tables_that_are_wrong_are_not_written(config, file, tmp_path, capsys, monkeypatch):
    def of(network, learned):
        tables = kept(network, learned)
        layer = tables.layers[0]
        return replace(tables, layers=(replace(layer, shift=layer.shift - 1), *tables.layers[1:]))

    kept = Tables.of
    monkeypatch.setattr(Tables, "of", of)
    for form in ("onnx", "npz"):
        assert run(config, file, form, tmp_path / "net") == 1
        assert "is not equal to the integer model in its scores" in capsys.readouterr().err
        assert not (tmp_path / "net").exists()


def test_without_a_compiler(config, file, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("CC", "no-such-compiler")
    out = tmp_path / "net.h"
    assert run(config, file, "c", out) == 0
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == (
        f"{out}: not compared: there is no C compiler; install one, or set CC to it\n"
    )
    assert b"net_classify" in out.read_bytes()


@pytest.mark.parametrize("missing", ["onnx", "onnxruntime"])
def test_without_the_extra(config, file, tmp_path, capsys, monkeypatch, missing):
    def lacking(name, *others, **more):
        if name == missing:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return kept(name, *others, **more)

    kept = builtins.__import__
    monkeypatch.setattr(builtins, "__import__", lacking)
    assert run(config, file, "onnx", tmp_path / "net.onnx") == 2
    assert capsys.readouterr().err == (
        f"error: --format onnx needs the package {missing}; pip install 'lel[export]'\n"
    )
    assert run(config, file, "npz", tmp_path / "net.npz") == 0


def test_complaints(config, file, tmp_path, capsys):
    assert run(config, file, "npz", tmp_path) == 2
    assert "is a folder; give a file to write to" in capsys.readouterr().err
    assert run(config, file, "npz", tmp_path / "no" / "net") == 2
    assert "there is no folder" in capsys.readouterr().err
    np.savez(tmp_path / "bare.npz", W0=np.zeros((4, 6)))
    assert run(config, tmp_path / "bare.npz", "npz", tmp_path / "net") == 2
    assert "about: is missing, so nothing says which network" in capsys.readouterr().err
    assert not (tmp_path / "net").exists()
    with pytest.raises(SystemExit):
        run(config, file, "tflite", tmp_path / "net")
    assert "invalid choice: 'tflite'" in capsys.readouterr().err
