# SPDX-License-Identifier: BSD-2-Clause
"""The command line: its help, its complaints, its exit status."""

import json

import pytest

from golden.model import IntegerNetwork
from golden.spec import load
from hw.ports import CLOCK_COUNTERS
from sim import __main__ as cli
from sim import run

TINY = """\
name = "tiny"
data = "digits"
classes = 10
seed = 1
batch = {batch}
epochs = 1
lr_step = 1

[[layer]]
neurons = 6
lanes = 3
rule = "sym"
"""


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "tiny.toml"
    path.write_text(TINY.format(batch=1))
    return str(path)


def test_run(config, tmp_path, capsys):
    out = tmp_path / "out"
    status = cli.main([config, "--samples", "30", "--test", "10", "--out", str(out)])
    assert status == 0
    output = capsys.readouterr().out
    assert "30 samples trained" in output
    assert "all equal" in output
    assert "test, 10 samples in RTL: " in output
    result = json.loads((out / "result.json").read_text())
    assert (result["samples"], result["test_samples"]) == (30, 10)
    assert (result["name"], result["config"]) == ("tiny", config)


def test_epochs_override_the_description(config, tmp_path):
    out = tmp_path / "out"
    arguments = [config, "--epochs", "3", "--samples", "1500", "--test", "0", "--out", str(out)]
    assert cli.main(arguments) == 0
    assert json.loads((out / "result.json").read_text())["samples"] == 1500


def test_divergence(config, tmp_path, capsys, monkeypatch):
    other = tmp_path / "other.toml"
    other.write_text(TINY.format(batch=1).replace("seed = 1", "seed = 2"))
    monkeypatch.setattr(run, "IntegerNetwork", lambda _spec: IntegerNetwork(load(other)))
    out = tmp_path / "out"
    assert cli.main([config, "--samples", "5", "--out", str(out)]) == 1
    expected = r"first mismatch, weights: layer 0, after sample 0, W[0, 0]: expected "
    assert expected in capsys.readouterr().err
    assert json.loads((out / "result.json").read_text())["mismatches"] > 100


def complaint(capsys, *arguments):
    try:
        status = cli.main(arguments)
    except SystemExit as exit:
        status = exit.code
    assert status == 2
    return capsys.readouterr().err


def test_unknown_name(capsys):
    assert (
        "error: there is no description 'digit': give the path of a .toml file, or one of "
        "breast-cancer, cifar10, " in complaint(capsys, "digit")
    )


def test_missing_file(capsys):
    assert "there is no description 'none/here.toml'" in complaint(capsys, "none/here.toml")


@pytest.mark.parametrize("value", ["0", "-3", "many", "1.5"])
def test_bad_number(capsys, config, value):
    message = f"argument --samples: must be a whole number of at least 1, not {value!r}"
    assert message in complaint(capsys, config, f"--samples={value}")


def test_too_many_samples(capsys, config):
    message = "--samples 1438: 1 epochs have 1437 samples; give --epochs as well"
    assert message in complaint(capsys, config, "--samples", "1438")


def test_batch(capsys, tmp_path):
    path = tmp_path / "batch.toml"
    path.write_text(TINY.format(batch=32))
    message = f"{path}: batch: the hardware trains on one sample at a time, not on 32"
    assert message in complaint(capsys, str(path))


def test_what_only_the_golden_model_does(capsys, tmp_path):
    path = tmp_path / "new.toml"
    path.write_text(TINY.format(batch=8))
    message = f"{path}: batch: the hardware trains on one sample at a time, not on 8"
    for command in ([], ["bench"], ["clocks"]):
        assert message in complaint(capsys, *command, str(path))


def test_mistake_in_description(capsys, tmp_path):
    path = tmp_path / "wrong.toml"
    path.write_text(TINY.format(batch=1) + "lames = 3\n")
    message = complaint(capsys, str(path))
    assert message.startswith("error: ")
    assert "wrong.toml" in message
    assert "lames" in message


def test_nothing_to_train_on(capsys, tmp_path):
    path = tmp_path / "bare.toml"
    path.write_text(TINY.format(batch=1).replace('data = "digits"', "inputs = 64"))
    assert f"{path}: data: nothing to train on" in complaint(capsys, str(path))


@pytest.mark.parametrize("command", [[], ["bench"], ["clocks"], ["cost"]])
def test_help(capsys, command):
    with pytest.raises(SystemExit) as exit:
        cli.main([*command, "--help"])
    assert exit.value.code == 0
    assert "usage: python -m sim" in capsys.readouterr().out


def test_bench(capsys, config):
    assert cli.main(["bench", config, "--samples", "50"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "tiny, training, 50 samples of random pixels" in lines[0]
    assert [line.split("  ")[1] for line in lines[1:]] == [
        "bare C++ loop",
        "cocotb, records decoded",
        "cocotb beside the golden model",
    ]


def test_clocks(capsys, config):
    command = ["clocks", config, "--after", "0", "30", "--samples", "40", "--first", "50"]
    assert cli.main(command) == 0
    first, *lines = capsys.readouterr().out.splitlines()
    assert first.startswith("tiny, 3 lanes, training, batch 1")
    heads = [line for line in lines if line.startswith("samples")]
    assert [line.split("   ")[0] for line in heads] == [
        "samples 1 to 40",
        "samples 1 to 50",
        "samples 31 to 70",
    ]
    assert all(line.split()[-3:] == ["layer", "0", "network"] for line in heads)
    rows = [line.split() for line in lines]
    for k, row in enumerate(rows):
        if row[0] == "clocks":
            # All of them, shared out; rounded to a tenth.
            parts = {
                name: float(value) for name, value in rows[k + 1 : k + 1 + len(CLOCK_COUNTERS)]
            }
            assert tuple(parts) == CLOCK_COUNTERS
            assert sum(parts.values()) == pytest.approx(float(row[1]), abs=0.5)
            assert row[1] == row[2]
    assert len([row for row in rows if row[0] == "use"]) == 3


def test_clocks_of_more_samples_than_there_are(capsys, config):
    message = "--after, --samples, --first: 20500 samples are asked for, and 1 epochs have 1437"
    assert message in complaint(capsys, "clocks", config)
