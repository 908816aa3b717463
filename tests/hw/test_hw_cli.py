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
    """What each layer takes, why it has no more lanes, and what other sizes would do."""
    assert main(["estimate", "mnist", "--board", "ulx3s"]) == 0
    output = capsys.readouterr().out
    first = next(line for line in output.splitlines() if line.startswith("    0 ")).split()
    assert first[1:4] == ["128", "128", "1"]
    assert first[7:9] == ["100,480", "1,205,760"]
    assert "typical: 19% of the inputs and 30% of the activations are not 0, 50% of" in output
    assert re.search(r"\nof ulx3s 85F: LUT \d+%, FF \d+%, DSP 99%, EBR \d+%; the scarcest is DSP\n",
                     output)  # fmt: skip
    assert "\nlayer 0 has no more lanes: layer 1 is slower\n" in output
    assert "\nlayer 1 has no more lanes: DSP\n" in output
    assert re.search(r"\nulx3s 12F: does not fit: \d+ EBR of 56, \d+ too many\n", output)
    assert re.search(r"\nulx3s 45F: fits with 45 \+ 12 lanes, \d+ clocks\n", output)
    assert re.search(r"\nulx3s 85F: fits with 128 \+ 26 lanes, \d+ clocks\n", output)


def test_estimate_of_lanes_that_are_given(config, capsys):
    """No reasons are given for them, and they are the same on all sizes."""
    config.write_text(TINY.replace("lanes = 2", "lanes = 30").replace("= 5", "= 30"))
    assert main(["estimate", str(config)]) == 0
    output = capsys.readouterr().out
    assert "has no more lanes" not in output
    assert "\nulx3s 12F: does not fit: 30 DSP of 28\n" in output
    assert "\nulx3s 85F: fits with 30 lanes, " in output


@pytest.mark.parametrize("command", ["estimate", "fit"])
def test_density(config, capsys, command):
    """It decides what a typical step is."""
    options = ("--density", "0", "0.1", "0.1")
    assert main([command, str(config), *options]) == 0
    output = capsys.readouterr().out
    assert "typical: 0% of the inputs and 10% of the activations are not 0, 10% of the" in output
    assert main([command, str(config)]) == 0
    assert capsys.readouterr().out != output


@pytest.mark.parametrize("share", ["-0.1", "1.1", "nan", "x"])
def test_shares_that_are_none(config, capsys, share):
    with pytest.raises(SystemExit) as end:
        main(["fit", str(config), f"--density={share}", "1", "1"])
    assert end.value.code == 2
    error = capsys.readouterr().err
    # One that begins with a minus sign looks like an option.
    assert "must be a share from 0 to 1" in error or "expected 3 arguments" in error


def test_fit(capsys):
    """Which lanes were chosen, what clocks they come to, and why there are no more."""
    assert main(["fit", "mnist", "--size", "45F"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("mnist.toml) for ulx3s 45F, training, batch 1")
    assert re.fullmatch(r" +0 +128 +45 +3 +4,\d+ +\d+  DSP", lines[3])
    assert re.fullmatch(r" +1 +128 +12 +11 +2,\d+ +\d+  layer 0 is slower", lines[4])
    assert re.fullmatch(r"all +57 +4,\d+ +\d+", lines[5])
    assert lines[6].startswith("of ulx3s 45F: LUT ")


REMARKS = """\
# Mine.
inputs = 4       # pixels
classes = 3

[[layer]]        # below
neurons = 5      # few
rule = "sym"
# wb = 12

# Above.
[[layer]]
  neurons = 7
  lanes = "auto" # later
[[layer]]
  neurons = 3"""


def test_fit_writes_the_description(tmp_path, capsys):
    """Lanes are put in, and the size if it is another; all else stays as it was."""
    path, out = tmp_path / "mine.toml", tmp_path / "other.toml"
    path.write_text(REMARKS)
    assert main(["fit", str(path), "--size", "12F", "-o", str(out)]) == 0
    assert capsys.readouterr().out.endswith(f"\nsee {out}\n")
    first, second, third = (layer.lanes for layer in load(out).layers)
    text = out.read_text()
    assert text == (
        REMARKS.replace("classes = 3\n", 'classes = 3\nsize = "12F"\n')
        .replace("# few\n", f"# few\nlanes = {first}\n")
        .replace('"auto" #', f"{second} #")
        + f"\n  lanes = {third}\n"
    )
    # In place, and once more: nothing is left to be chosen.
    assert main(["fit", str(out), "-o", str(out)]) == 0
    assert out.read_text() == text


def test_fit_writes_tables_in_a_line(tmp_path):
    path = tmp_path / "mine.toml"
    layers = "layer = [{neurons = 5}, {neurons = 2}]"
    path.write_text(f'inputs = 4\nclasses = 3\nsize = "12F"\n{layers}\n')
    assert main(["fit", str(path), "--size", "85F", "-o", str(path)]) == 0
    spec = load(path)
    assert (spec.size, [layer.lanes is None for layer in spec.layers]) == ("85F", [False, False])


def test_fit_leaves_data_where_they_are(tmp_path, capsys):
    """A path begins at the description, so that it is written beside the first one only."""
    (tmp_path / "t.csv").write_text("a,kind\n" + "".join(f"{i},{i % 2}\n" for i in range(20)))
    path, other = tmp_path / "mine.toml", tmp_path / "below" / "mine.toml"
    path.write_text('data = "t.csv"\n[[layer]]\nneurons = 5\n')
    other.parent.mkdir()
    assert main(["fit", str(path), "-o", str(other)]) == 2
    assert capsys.readouterr().err == (
        f"error: {other}: {path} names data by a path that begins at its folder; "
        f"write to {tmp_path}\n"
    )
    assert not other.exists()
    assert main(["fit", str(path), "-o", str(tmp_path / "new.toml")]) == 0


def test_what_fits_nowhere(tmp_path, capsys):
    """Every command says so, and writes nothing."""
    path, out = tmp_path / "mine.toml", tmp_path / "out"
    path.write_text("inputs = 784\nclasses = 3\n[[layer]]\nneurons = 1000\n")
    for command in (["fit"], ["estimate"], ["verilog", "-o", str(out)], ["fit", "-o", str(out)]):
        assert main([command[0], str(path), *command[1:]]) == 2
        error = capsys.readouterr().err
        assert error.startswith(f"error: {path}: lanes: no number of them makes the network fit ")
        assert not out.exists()


def test_boards_that_are_unknown(config, capsys):
    config.write_text('board = "x"\n' + TINY)
    assert main(["estimate", str(config)]) == 2
    assert capsys.readouterr().err == f"error: {config}: board: must be one of ulx3s, not 'x'\n"
    assert main(["estimate", str(config), "--board", "ulx3s"]) == 0
    with pytest.raises(SystemExit):
        main(["estimate", str(config), "--size", "5F"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "there is no description"),
        (TINY + "neuron = 3\n", "layer 0: neuron: unknown key; did you mean 'neurons'?"),
        ("batch = 8\n" + TINY, "batch: the hardware trains on one sample at a time, not on 8"),
        (TINY + "v_lanes = 3\n", "layer 0: v_lanes: is for rule = \"tlc\" only, not 'sym'; remove"),
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
    assert (said["clocks"], said["typical"]) == (expected.clocks, expected.typical)
    assert said["layers"][0]["limit"] == "given"
    assert said["total"] == dataclasses.asdict(expected.total)
    assert [layer["weights"] for layer in said["layers"]] == [5 * (4 + 1)]
    assert {board["size"]: board["lacking"] for board in said["boards"]} == {
        size: expected.lacking(device) for size, device in BOARDS["ulx3s"].items()
    }


def test_what_the_link_cannot_carry(tmp_path, capsys):
    path = tmp_path / "many.toml"
    path.write_text(TINY.replace("classes = 3", "classes = 300"))
    assert main(["estimate", str(path)]) == 0
    fits = "ulx3s 85F: does not fit: classes: the link carries at most 256, not 300"
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
    verilog = ["verilog", str(config), "-o", os.devnull]
    for arguments in (["estimate", "digits"], ["fit", "digits"], verilog):
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
    with pytest.raises(SystemExit):
        main(["fit", "--help"])
    assert "python -m hw fit mnist --size 45F -o my.toml" in capsys.readouterr().out
