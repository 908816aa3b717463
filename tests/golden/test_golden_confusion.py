# SPDX-License-Identifier: BSD-2-Clause
"""What a network takes for what: counts, text, JSON, pictures, and the command `test`."""

import json

import numpy as np
import pytest

from golden import __main__ as cli
from golden import confusion, training, weights
from golden.cli import data_of
from golden.model import IntegerNetwork
from golden.spec import load, parse

SMALL = 'data = "digits"\nclasses = 10\n[[layer]]\nneurons = 12\n[[layer]]\nneurons = 8\n'


def test_counts(monkeypatch):
    class Model:
        def infer(self, x):
            return [Step(x[:, 0]), Step(x[:, 1])]

    class Step:
        def __init__(self, prediction):
            self.prediction = prediction

    monkeypatch.setattr(training, "CHUNK", 2)
    x = np.array([[0, 1], [0, 1], [1, 1], [2, 0], [2, 2]])
    counts = training.confusions(Model(), x, np.array([0, 1, 1, 2, 2]), 3)
    assert counts[0].tolist() == [[1, 0, 0], [1, 1, 0], [0, 0, 2]]
    assert counts[1].tolist() == [[0, 1, 0], [0, 2, 0], [1, 0, 1]]


def made(counts, labels):
    return confusion.exhibit("t-test", np.array(counts), labels, network="t", weights="w.npz")


def test_text_and_json():
    exhibit = made([[[5, 0, 1], [0, 12, 0], [0, 0, 0]]], ["ant", "bee", "$\\alpha_{$ a long name"])
    assert (
        exhibit.text
        == """\
```
t: 18 test samples, weights of w.npz

             right       of   accuracy
layer 0         17       18     94.44%

layer 0: what each label (row) is taken for (column)
label                 ant          bee $\\alpha_{$ …   right
ant                     5            .            1   83.3%
bee                     .           12            .  100.0%
$\\alpha_{$ …            .            .            .    none
```"""
    )
    assert exhibit.data == {
        "network": "t",
        "weights": "w.npz",
        "samples": 18,
        "labels": ["ant", "bee", "$\\alpha_{$ a long name"],
        "accuracy": [0.944444],
        "confusion": [[[5, 0, 1], [0, 12, 0], [0, 0, 0]]],
    }


def test_names_move_no_cursor():
    exhibit = made([np.eye(2, dtype=int)], ["a\x1b[2J", "b\nc"])
    assert "a?[2J" in exhibit.text
    assert "b?c" in exhibit.text
    assert "\x1b" not in exhibit.text


def test_very_many_classes():
    counts = np.diag(np.full(40, 9))
    counts[7, 8], counts[3, 1] = 4, 6
    text = made([counts], [f"class {i}" for i in range(40)]).text
    assert text.splitlines()[-4:-1] == [
        "layer 0: what is mistaken most often, of 40 classes",
        "class 3      for class 1          6 of 15",
        "class 7      for class 8          4 of 13",
    ]


@pytest.mark.parametrize("classes", [2, 10, 30, 60])
@pytest.mark.parametrize("layers", [1, 4])
def test_pictures(tmp_path, classes, layers):
    counts = np.random.default_rng(1).integers(0, 9, (layers, classes, classes))
    labels = [f"$x_{{{i}$ & <b>" for i in range(classes)]
    files = made(counts, labels).write(tmp_path)
    assert [file.name for file in files] == [
        f"t-test.{end}" for end in ("json", "md", "svg", "png")
    ]
    svg = files[2].read_text(encoding="utf-8")
    assert svg.count("right</text>") == layers
    # The names as they are, if there is room for them.
    assert ("&amp; &lt;b" in svg) == (classes <= 50)


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "small.toml"
    path.write_text(SMALL)
    return str(path)


def output(capsys, *arguments):
    assert cli.main(arguments) == 0
    return capsys.readouterr()


def test_command(config, tmp_path, capsys):
    file, out = str(tmp_path / "w.npz"), tmp_path / "out"
    rows = output(capsys, "train", config, "--out", file).out.split()[-2:]
    captured = output(capsys, "test", config, "--weights", file)
    assert captured.err == ""
    assert [line.split()[-1] for line in captured.out.splitlines()[3:5]] == [f"{x}%" for x in rows]

    captured = output(capsys, "test", config, "--weights", file, "--json", "--out", str(out))
    values = json.loads(captured.out)
    assert values == json.loads((out / "small-test.json").read_text())
    assert [f"{100 * share:.2f}" for share in values["accuracy"]] == rows
    assert captured.err.split() == [
        str(out / f"small-test.{end}") for end in ("json", "md", "svg", "png")
    ]
    assert all((out / f"small-test.{end}").stat().st_size for end in ("svg", "png"))

    # The same, by hand.
    spec = load(config)
    network, data = IntegerNetwork(spec), data_of(spec)
    training.start_from(network, weights.load(tmp_path / "w.npz", spec))
    for layer, step in enumerate(network.infer(data.test_x)):
        expected = [[0] * 10 for _ in range(10)]
        for label, prediction in zip(data.test_y.tolist(), step.prediction.tolist(), strict=True):
            expected[label][prediction] += 1
        assert values["confusion"][layer] == expected


def test_complaints(config, tmp_path, capsys):
    assert cli.main(["test", config, "--weights", f"{tmp_path}/none.npz"]) == 2
    assert capsys.readouterr().err == (
        f"error: {tmp_path}/none.npz: cannot be read: No such file or directory; give an .npz that "
        "was saved by a training of this network\n"
    )
    file = tmp_path / "w.npz"
    other = parse({"inputs": 64, "classes": 10, "layer": [{"neurons": 12}]}, "t")
    made = training.weights_of(IntegerNetwork(other))
    weights.save(file, other, made)
    assert cli.main(["test", config, "--weights", str(file)]) == 2
    assert "is of another network: layers: 1 in the file, 2 in " in capsys.readouterr().err


def test_data_of_ones_own_that_changed(tmp_path, capsys):
    table, file = tmp_path / "own.csv", tmp_path / "w.npz"
    config = tmp_path / "own.toml"
    config.write_text('data = "own.csv"\n[[layer]]\nneurons = 4\n')

    def write(*names, most=9.5):
        rows = [f"{i * most / 19},{i % 3},{names[i % 2]}" for i in range(20)]
        table.write_text("\n".join(["length,width,kind", *rows]) + "\n")

    write("ant", "bee")
    output(capsys, "train", str(config), "--out", str(file))
    text = output(capsys, "test", str(config), "--weights", str(file)).out
    assert [line.split()[0] for line in text.splitlines()[-2:]] == ["ant", "bee"]
    saved = weights.load(file, load(config))
    assert saved.labels == ("ant", "bee")
    assert saved.scaling is not None
    for change, message in (
        (("ant", "cat"), "has a class 'bee' where the data has 'cat'; give the data that it was"),
        (
            ("ant", "bee", 99.5),
            "feature 0 was scaled from 0 .. 9, that of the data is from 0 .. 94.2632; give",
        ),
    ):
        write(*change[:2], most=dict(enumerate(change)).get(2, 9.5))
        for command in ("test", "train"):
            assert cli.main([command, str(config), "--weights", str(file)]) == 2
            assert f"error: {file}: {message}" in capsys.readouterr().err
