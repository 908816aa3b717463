# SPDX-License-Identifier: BSD-2-Clause
"""The project as a wheel, installed elsewhere, in folders with names that few programs expect."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("golden", "hw", "sim", "boards", "configs")
NAME = "a b's ü $HOME %d"
TINY = """\
name = "tiny"
data = "digits"
classes = 10
seed = 1
batch = 1
epochs = 1
lr_step = 1

[[layer]]
neurons = 4
lanes = 2
rule = "sym"
"""


def run(command, **settings):
    done = subprocess.run(command, capture_output=True, check=False, **settings)
    assert done.returncode == 0, (done.stdout + done.stderr).decode("utf-8", "replace")
    return done.stdout.decode("utf-8", "replace")


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Build a wheel and install it in a folder with an odd name."""
    source = tmp_path_factory.mktemp("source")
    for package in PACKAGES:
        shutil.copytree(
            ROOT / package, source / package, ignore=shutil.ignore_patterns("__pycache__")
        )
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    run([*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", source / "dist", source])
    (wheel,) = (source / "dist").glob("*.whl")
    target = tmp_path_factory.mktemp("target") / NAME
    run([*pip, "install", "--no-deps", "--target", target, wheel])
    return target


@pytest.fixture
def place(tmp_path):
    folder = tmp_path / NAME
    folder.mkdir()
    (folder / "-tiny $x.toml").write_text(TINY, encoding="utf-8")
    return folder


@pytest.fixture
def environment(installed, place):
    """Set up another locale, and a path of temporary files longer than a socket's may be."""
    temporary = place / ("t" * 150)
    temporary.mkdir()
    return {
        **os.environ,
        "PYTHONPATH": str(installed),
        "TMPDIR": str(temporary),
        "LC_ALL": "C",
        "PYTHONCOERCECLOCALE": "0",
        "PYTHONUTF8": "0",
    }


def test_what_is_installed(installed, place, environment):
    script = "import golden.spec, hw; print(golden.spec.CONFIGS); print(ascii(hw.__file__))"
    output = run([sys.executable, "-c", script], cwd=place, env={**environment, "PYTHONUTF8": "1"})
    assert output.splitlines()[0] == str(installed / "configs")
    for name in ("hw/primitives/ecp5_cells.v", "sim/bare.cpp", "configs/studies/formats.toml"):
        assert (installed / name).is_file()


def test_commands(place, environment):
    python = [sys.executable, "-m"]
    output = run(
        [*python, "golden", "train", "digits", "--samples", "50"], cwd=place, env=environment
    )
    assert output.splitlines()[-1].split()[:2] == ["1", "50"]
    assert "fits" in run([*python, "hw", "estimate", "digits"], cwd=place, env=environment)


def test_two_simulations_in_one_folder(place, environment):
    arguments = [sys.executable, "-m", "sim", "--samples=3", "--test=1", "--", "-tiny $x.toml"]
    both = [
        subprocess.Popen(
            arguments, cwd=place, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        for _ in range(2)
    ]
    for process in both:
        output, error = process.communicate()
        # No progress bar where there is no terminal.
        assert (process.returncode, error.decode()) == (0, "")
        assert output.startswith(b"3 samples trained, ")
    out = place / "build" / "sim" / "tiny"
    assert sorted(path.name for path in out.iterdir()) == [
        "report.html",
        "result.json",
        "simulation.log",
        "weights.npz",
    ]
    assert json.loads((out / "result.json").read_text())["mismatches"] == 0
    assert not list((place / "build" / "verilated").glob("building-*"))
    assert not list(Path(environment["TMPDIR"]).iterdir())
