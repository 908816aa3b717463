# SPDX-License-Identifier: BSD-2-Clause
"""Studies: what they hold, what they come to, and what is said of wrong ones."""

import json

import pytest

from golden import __main__ as cli
from golden import sweep
from golden.runs import Integer, Outcome
from golden.spec import SpecError, find, load

STUDY = """\
network = "digits"
batch = 8
epochs = 1
seeds = 2
[[axis]]
name = "weight bits"
points = [
  { at = "12", wb = 12 },
  { at = "8", wb = 8, fw = 8 },
  { at = "8", wb = 8, fw = 8, sr = true, series = "sr" },
]
[[axis]]
name = "size"
points = [{ at = "small", neurons = [9] }, { at = "deep", neurons = [8, 7, 6], epochs = 2 }]
"""


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "my.toml"
    path.write_text(STUDY)
    return path


def test_points(path):
    study = sweep.load(path)
    digits = load(find("digits"))
    assert study.name == "my"
    assert (study.network.batch, study.network.epochs) == (8, 1)
    bits, size = study.axes
    assert (bits.name, size.name) == ("weight bits", "size")
    assert [point.base for point in bits.points + size.points] == [True, *4 * [False]]
    assert [point.series for point in bits.points] == ["", "", "sr"]
    assert [[n.seed for n in point.networks] for point in bits.points] == 3 * [[1, 2]]
    # What a point sets, and nothing else.
    _, narrow, rounded = (point.networks[0].layers for point in bits.points)
    for layer, given in zip(narrow, digits.layers, strict=True):
        assert (layer.wb, layer.fw, layer.sr) == (8, 8, False)
        assert (layer.neurons, layer.rule, layer.lr) == (given.neurons, given.rule, given.lr)
    assert [layer.sr for layer in rounded] == [True, True]
    one, deep = (point.networks[0] for point in size.points)
    assert [layer.neurons for layer in one.layers] == [9]
    assert [(layer.inputs, layer.neurons) for layer in deep.layers] == [(64, 8), (8, 7), (7, 6)]
    assert (one.epochs, deep.epochs, deep.batch) == (1, 2, 8)


def test_a_value_for_each_layer(path):
    path.write_text(STUDY.replace("wb = 12 }", "wb = [12, 13], lr = [4, 5] }"))
    (network, _) = sweep.load(path).axes[0].points[0].networks
    assert [(layer.wb, layer.lr) for layer in network.layers] == [(12, 4), (13, 5)]


def test_runs_are_tested_on_what_was_held_out(path):
    made = sweep.runs(sweep.load(path, seeds=3))
    assert len(made) == 5 * 3
    assert all(isinstance(run, Integer) and run.held_out for run in made)
    assert [run.seed for run in made] == 5 * [1, 2, 3]
    assert made[6].name == "weight bits 8 sr"
    assert len({run.digest for run in made}) == 15


def test_exhibit(path):
    study = sweep.load(path)
    tests = [[0.5, 0.9], [0.5, 0.8], *4 * [[0.95, 0.25]], *2 * [[0.125]], *2 * [[0.1, 0.3, 0.2]]]
    outcomes = [Outcome({}, [[0.0], test], [], 1) for test in tests]
    made = sweep.exhibit(study, outcomes)
    assert [len(axis["points"]) for axis in made.data["axes"]] == [3, 2]
    first = made.data["axes"][0]["points"][0]
    assert first["last"] == pytest.approx(0.85)
    assert (first["from"], first["to"], first["layers"][0]) == (0.8, 0.9, 0.5)
    lines = made.text.splitlines()
    # 64 neurons on 64 inputs and a bias, twice, in 12 bits and in 8.
    assert "| **12** | 85.00 | 80.00 | 90.00 | 85.00 | 99,840 |" in lines
    assert "| 8 sr | 25.00 | 25.00 | 25.00 | 95.00 | 66,560 |" in lines
    assert f"| small | 12.50 | 12.50 | 12.50 | 12.50 | {9 * 65 * 12:,} |" in lines
    assert (
        "digits (64-64-64) varied, 1 or 2 epochs in batches of 8, runs of each point: 2;"
        in lines[0]
    )


def test_command(path, tmp_path, capsys):
    out = tmp_path / "out"
    command = ["sweep", str(path), "--out", str(out), "--seeds", "1", "--jobs", "1"]
    assert cli.main(command) == 0
    printed = capsys.readouterr()
    assert {file.name for file in out.iterdir()} == {
        *("runs", "my.json", "my.md", "my.svg", "my.png"),
    }
    assert [str(out / f"my.{kind}") for kind in ("json", "md", "svg", "png")] == (
        printed.err.splitlines()
    )
    assert printed.out.strip() in (out / "my.md").read_text()
    shares = [
        point["last"]
        for axis in json.loads((out / "my.json").read_text())["axes"]
        for point in axis["points"]
    ]
    # 64 neurons and 12 bits have learned something in an epoch.
    assert shares[0] > 0.5
    assert len(set(shares)) > 3


def test_quick(path, tmp_path, capsys):
    path.write_text(STUDY.replace("epochs = 1", "epochs = 3"))
    command = ["sweep", str(path), "--quick", "--jobs", "1", "--out", str(tmp_path / "out")]
    assert cli.main(command) == 0
    assert (
        "varied, 1 or 2 epochs in batches of 8, runs of each point: 1;" in capsys.readouterr().out
    )
    # What is asked for beside it counts.
    assert cli.main([*command, "--seeds", "2"]) == 0
    assert (
        "varied, 1 or 2 epochs in batches of 8, runs of each point: 2;" in capsys.readouterr().out
    )


def test_the_studies_of_the_project_are_valid():
    for file in sweep.STUDIES.glob("*.toml"):
        study = sweep.load(file)
        assert any(point.base for axis in study.axes for point in axis.points)
    # Its description is a point of every axis, though lanes may differ.
    for axis in sweep.load(find("formats", sweep.STUDIES)).axes:
        assert [point.base for point in axis.points].count(True) == 1


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ('"digits"', '"digit"', "my.toml: network: there is no description 'digit': give the path"),
        ('network = "digits"', "", "my.toml: network: is missing; name the description"),
        ("seeds = 2", "seeds = 0", "my.toml: seeds: must be from 1 to 1000, not 0"),
        ("seeds = 2", "seed = 2", "my.toml: seed: unknown key; did you mean 'seeds'?"),
        ('name = "size"', "", "my.toml: axis 1: name: is missing; say what is varied"),
        ("wb = 12 }", "w_b = 12 }", "my.toml: axis 0: point 0: w_b: unknown key; did you mean "),
        ("wb = 12 }", "wb = 99 }", "my.toml: axis 0: point 0: layer 0: wb: must be from 2 to 18"),
        (
            "wb = 12 }",
            "wb = [12] }",
            "axis 0: point 0: wb: must have a value for each of the 2 layers, not 1",
        ),
        ('at = "12"', "at = 12", "my.toml: axis 0: point 0: at: and series must be text"),
        ("[9]", "9", "my.toml: axis 1: point 0: neurons: must be a list: those of each layer"),
        ("[9]", "[0]", "my.toml: axis 1: point 0: layer 0: neurons: must be from 1 to 65535"),
    ],
)
def test_messages(path, capsys, before, after, message):
    assert STUDY.count(before) == 1
    path.write_text(STUDY.replace(before, after))
    assert cli.main(["sweep", str(path)]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('network = "digits"\n', "axis: is missing; give one"),
        ('network = "digits"\naxis = [3]\n', r"axis: must be tables; write \[\[axis\]\]"),
        ('network = "digits"\n[[axis]]\nname = "a"\n', "axis 0: points: is missing; give points"),
    ],
)
def test_missing_parts(path, text, message):
    path.write_text(text)
    with pytest.raises(SpecError, match=message):
        sweep.load(path)
