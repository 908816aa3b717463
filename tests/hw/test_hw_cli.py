# SPDX-License-Identifier: BSD-2-Clause
"""The command line `python -m hw`."""

import dataclasses
import errno
import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib import resources

import pytest

from golden.spec import load
from hw.__main__ import main
from hw.estimate import BOARDS, estimate

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
    assert capsys.readouterr().out == f"module lel_tiny in {out}\n"
    assert "module lel_tiny(" in text
    assert "// input          i_valid " in text
    assert ("MULT18X18D" in text) == (primitives == "ecp5")
    assert set(tmp_path.iterdir()) == {config, out}
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


def test_folder_that_is_missing(config, tmp_path, capsys):
    out = tmp_path / "missing" / "tiny.v"
    assert main(["verilog", str(config), "-o", str(out)]) == 2
    error = capsys.readouterr().err
    assert error == (
        f"error: {out}: there is no folder {out.parent}; make it, or give another file\n"
    )


def test_file_that_is_kept(config, tmp_path, monkeypatch):
    """What was there stays whole if the new text cannot be written."""
    out = tmp_path / "tiny.v"
    out.write_text("mine")

    def full(_handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert main(["verilog", str(config), "-o", str(out)]) == 2
    assert out.read_text() == "mine"
    assert set(tmp_path.iterdir()) == {config, out}


@pytest.mark.timeout(60)
def test_pipe(config, tmp_path):
    """A pipe is written to, not replaced."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with ThreadPoolExecutor(1) as pool:
        reader = pool.submit(pipe.read_text)
        assert main(["verilog", str(config), "-o", str(pipe)]) == 0
        assert "module lel_tiny(" in reader.result()
    assert pipe.is_fifo()


def test_estimate_as_json(config, capsys):
    """It says what the table says, and nothing else is on the standard output."""
    assert main(["estimate", str(config), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    spec = load(config)
    expected = estimate(spec)
    assert said["clocks"] == expected.clocks
    assert said["total"] == dataclasses.asdict(expected.total)
    assert [layer["weights"] for layer in said["layers"]] == [5 * (4 + 1)]
    assert {board["size"]: board["lacking"] for board in said["boards"]} == {
        size: expected.lacking(device) for size, device in BOARDS["ulx3s"].items()
    }


def test_what_the_link_cannot_carry(tmp_path, capsys):
    path = tmp_path / "many.toml"
    path.write_text(TINY.replace("classes = 3", "classes = 300"))
    assert main(["estimate", str(path)]) == 0
    fits = "ulx3s 85F: does not fit: classes: the link carries at most 256, not 300\n"
    assert fits in capsys.readouterr().out


def test_light_imports(config):
    """The generator needs no library of training and drawing."""
    heavy = ["torch", "matplotlib", "sklearn", "pandas", "scipy"]
    program = (
        "import sys\n"
        f"sys.modules |= dict.fromkeys({heavy})\n"
        "from hw.__main__ import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    for arguments in (["estimate", "digits"], ["verilog", str(config), "-o", os.devnull]):
        command = [sys.executable, "-c", program, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def test_cells_are_part_of_the_package():
    """The models of the cells are there wherever the package is."""
    text = resources.files("hw.primitives").joinpath("ecp5_cells.v").read_text(encoding="utf-8")
    assert "module MULT18X18D(" in text


def test_help(capsys):
    with pytest.raises(SystemExit) as end:
        main(["--help"])
    assert end.value.code == 0
    assert "python -m hw estimate mnist" in capsys.readouterr().out
