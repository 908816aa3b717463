# SPDX-License-Identifier: BSD-2-Clause
"""The command line `python -m hw`."""

import re

import pytest

from hw.__main__ import main

TINY = """\
name = "tiny"
inputs = 4
classes = 3
[[layer]]
neurons = 5
lanes = 2
"""


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "tiny.toml"
    path.write_text(TINY)
    return path


@pytest.mark.parametrize("primitives", ["portable", "ecp5"])
def test_verilog(config, tmp_path, capsys, primitives):
    """A module of the network's name, its ports explained, with cells only where asked for."""
    out = tmp_path / "tiny.v"
    assert main(["verilog", str(config), "-o", str(out), "--primitives", primitives]) == 0
    text = out.read_text()
    assert "module tiny(" in text
    assert "// input  i__payload [12:0]" in text
    assert "[2:0] header.command: TRAIN = 0, INFER = 1" in text
    assert ("MULT18X18D" in text) == (primitives == "ecp5")
    assert main(["verilog", str(config), "-o", "-", "--primitives", primitives]) == 0
    assert capsys.readouterr().out == text


def test_estimate(capsys):
    assert main(["estimate", "mnist", "--board", "ulx3s"]) == 0
    output = capsys.readouterr().out
    first = next(line for line in output.splitlines() if line.startswith("    0 ")).split()
    assert first[1:3] == ["128", "64"]
    assert first[5:7] == ["100,480", "1,205,760"]
    assert "ulx3s 85F: fits\n" in output
    assert re.search(r"ulx3s 45F: does not fit: 152 DSP of 72, \d+ EBR of 108", output)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "there is no description"),
        (TINY + "neuron = 3\n", "layer 0: neuron: unknown key; did you mean 'neurons'?"),
        ("batch = 8\n" + TINY, "batch: the hardware trains on one sample at a time, not on 8"),
        (TINY + 'rule = "tlc"\n', "layer 0: rule: the hardware trains no classifiers; take anot"),
        (TINY + "dropout = 2\n", "layer 0: dropout: the hardware drops no neurons; remove it, or"),
        (TINY + "sr = true\nwb = 8\n", "layer 0: sr: the hardware does not round stochastically;"),
        (TINY + "yb = 6\n", "layer 0: yb: the hardware has activations of 8 bits, not 6; remove"),
        (TINY + "mb = 8\nfe = 16\n", "exceeds the multiplier's 18; lower mb, fe or epochs"),
    ],
)
def test_messages(tmp_path, capsys, content, message):
    path = tmp_path / "bad.toml"
    if content:
        path.write_text(content)
    assert main(["estimate", str(path)]) == 2
    assert message in capsys.readouterr().err


def test_verilog_that_cannot_be_written(config, tmp_path, capsys):
    out = tmp_path / "missing" / "tiny.v"
    assert main(["verilog", str(config), "-o", str(out)]) == 2
    assert str(out) in capsys.readouterr().err


def test_help(capsys):
    with pytest.raises(SystemExit) as end:
        main(["--help"])
    assert end.value.code == 0
    assert "python -m hw estimate mnist" in capsys.readouterr().out
