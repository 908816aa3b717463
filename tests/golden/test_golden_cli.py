# SPDX-License-Identifier: BSD-2-Clause
"""The command line: training, speed, help, complaints, exit status."""

import errno
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch

from golden import __main__ as cli
from golden import training, weights
from golden.cli import data_of
from golden.data import FOLDER, Data
from golden.health import shares
from golden.model import IntegerNetwork
from golden.order import order
from golden.spec import load, parse

SMALL = """\
data = "digits"
classes = 10
batch = {batch}
epochs = 2
lr_step = 1
[[layer]]
neurons = 12
[[layer]]
neurons = 8
rule = "scfb"
"""


@pytest.fixture(autouse=True)
def threads():
    """Give PyTorch its threads back."""
    count = torch.get_num_threads()
    yield
    torch.set_num_threads(count)


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "small.toml"
    path.write_text(SMALL.format(batch=4))
    return str(path)


def output(capsys, *arguments):
    assert cli.main(arguments) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    return captured.out


def complaint(capsys, *arguments):
    try:
        status = cli.main(arguments)
    except SystemExit as exit:
        status = exit.code
    assert status == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err


def test_train(config, tmp_path, capsys):
    out = tmp_path / "weights.npz"
    lines = output(capsys, "train", config, "--out", str(out)).splitlines()
    assert lines[0].split() == ["epoch", "samples", "layer", "0", "layer", "1"]
    rows = [line.split() for line in lines[1:]]
    # 1437 samples are 359 batches of 4.
    assert [row[:2] for row in rows] == [["1", "1436"], ["2", "2872"]]

    # The same, by hand.
    spec = load(config)
    network, data = IntegerNetwork(spec), data_of(spec)
    for epoch in range(2):
        seen = order(spec.seed, epoch, 1437)
        for k in range(0, 1436, 4):
            part = seen[k : k + 4]
            network.train(data.train_x[part], data.train_y[part], epoch)
    steps = network.infer(data.test_x)
    right = [(step.prediction.numpy() == data.test_y).mean() for step in steps]
    assert rows[1][2:] == [f"{100 * share:.2f}" for share in right]
    with np.load(out) as weights:
        assert sorted(weights) == ["W0", "W1", "about", "digest"]
        for k, layer in enumerate(network.layers):
            assert weights[f"W{k}"].dtype == np.int32
            assert np.array_equal(weights[f"W{k}"], layer.W.numpy())


def test_samples_epochs_and_seed(config, capsys):
    rows = output(capsys, "train", config, "--samples", "1450").splitlines()[1:]
    assert [row.split()[1] for row in rows] == ["1436", "1448"]
    rows = output(capsys, "train", config, "--epochs", "1").splitlines()[1:]
    assert [row.split()[1] for row in rows] == ["1436"]
    other = output(capsys, "train", config, "--epochs", "1", "--seed", "5").splitlines()[1:]
    assert other != rows


@pytest.mark.parametrize("schedule", ["greedy", "grow"])
def test_schedule(config, tmp_path, capsys, schedule):
    path = Path(config)
    path.write_text(f'schedule = "{schedule}"\n{path.read_text()}')
    out = tmp_path / "weights.npz"
    rates, *grown = output(capsys, "train", config, "--out", str(out)).split("\n\n")
    rows = [line.split() for line in rates.splitlines()[1:]]
    epoch = 1436 if schedule == "greedy" else 1196
    assert [row[1] for row in rows] == [str(n * epoch) for n in range(1, 5)]
    # What is not in its turn answers the same, as long as what lies below stays.
    assert rows[1][2] == rows[2][2] == rows[3][2]
    progress = weights.load(out, load(config)).progress
    assert len(progress["accuracies"]) == 4
    assert progress["schedule"] == schedule
    if schedule == "grow":
        shares = progress["held_out"]
        assert grown[0].startswith("right on samples held out, %: layer 0 ")
        assert [f"{100 * share:.2f}" in grown[0] for share in shares] == [True, True]
    else:
        assert not grown
        assert "held_out" not in progress


def test_health(config, capsys):
    plain = output(capsys, "train", config)
    text = output(capsys, "train", config, "--health")
    rates, health = text.split("\n\n")
    assert rates + "\n" == plain
    head, *rows = (line.split() for line in health.splitlines())
    assert head == ["epoch", "layer", "at", "limit", "lost", "saturated", "no", "error", "dead"]
    assert [row[:2] for row in rows] == [["1", "0"], ["1", "1"], ["2", "0"], ["2", "1"]]

    spec = load(config)
    network = IntegerNetwork(spec)
    watch = network.watch()
    for epoch, steps in training.epochs(network, data_of(spec)):
        list(steps)
        found = [
            shares(layer, counts).values()
            for layer, counts in zip(spec.layers, network.take_health(watch), strict=True)
        ]
        for layer, values in enumerate(found):
            assert rows[2 * epoch + layer][2:] == [f"{100 * value:.2f}" for value in values]


def test_epochs_of_samples():
    spec = parse(
        {"inputs": 2, "classes": 2, "batch": 3, "epochs": 3, "layer": [{"neurons": 2}]}, "t"
    )
    pixels, labels = np.zeros((7, 2), np.uint8), np.zeros(7, int)
    data = Data(pixels, labels, pixels, labels)
    for samples, expected in ((None, [6, 6, 6]), (3, [3]), (6, [6]), (11, [6, 3])):
        made = [sum(steps) for _, steps in training.epochs(IntegerNetwork(spec), data, samples)]
        assert made == expected


def test_accuracy_of_more_samples_than_are_inferred_at_once(monkeypatch):
    spec = parse({"inputs": 3, "classes": 3, "layer": [{"neurons": 5}, {"neurons": 4}]}, "t")
    random = np.random.default_rng(1)
    x, labels = random.integers(0, 256, (10, 3), np.uint8), random.integers(0, 3, 10)
    network = IntegerNetwork(spec)
    expected = [(step.prediction.numpy() == labels).mean() for step in network.infer(x)]
    monkeypatch.setattr(training, "CHUNK", 4)
    assert training.accuracy(network, x, labels) == pytest.approx(expected)


def test_bench(config, capsys):
    lines = output(capsys, "bench", config, "--rounds", "2", "--steps", "3").splitlines()
    assert lines[0].startswith("small: 64-12-8, batch 4, ")
    integers, floats = (float(line.split("ms/step")[0].split()[-1]) for line in lines[1:3])
    assert integers > 0
    assert floats > 0
    assert lines[3].split()[0] == "ratio"


def test_help(capsys):
    for arguments in (["--help"], ["train", "--help"]):
        with pytest.raises(SystemExit) as exit:
            cli.main(arguments)
        assert exit.value.code == 0
        assert "python -m golden train digits" in capsys.readouterr().out


def test_help_and_complaints_need_no_pytorch():
    code = "import sys, golden.__main__; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_complaints(config, tmp_path, capsys, monkeypatch):
    assert "error: there is no description 'digit'" in complaint(capsys, "train", "digit")
    assert "invalid choice: 'learn'" in complaint(capsys, "learn")
    assert "must be a whole number of at least 1, not '0'" in complaint(
        capsys, "train", config, "--epochs", "0"
    )
    for samples in ("3", "2873"):
        assert (
            f"error: --samples {samples}: 2 epochs in batches of 4 have from 4 to 2872 samples; "
            "give --epochs as well, or another number"
        ) in complaint(capsys, "train", config, "--samples", samples)
    assert f"{tmp_path}/none/w.npz: there is no folder {tmp_path}/none; make it" in complaint(
        capsys, "train", config, "--out", f"{tmp_path}/none/w.npz"
    )
    monkeypatch.setenv(FOLDER, str(tmp_path))
    assert "error: " + str(tmp_path / "mnist") in complaint(capsys, "train", "mnist")
    bare = tmp_path / "bare.toml"
    bare.write_text("inputs = 3\nclasses = 2\n[[layer]]\nneurons = 2\n")
    assert f"error: {bare}: data: nothing to train on; name a data set" in complaint(
        capsys, "train", str(bare)
    )
    bare.write_text("inputs = 3\nclasses = 2\n[[layer]]\nneurons = 2\nlane = 1\n")
    assert "layer 0: lane: unknown key; did you mean 'lanes'?" in complaint(
        capsys, "bench", str(bare)
    )


def test_a_batch_larger_than_the_data(config, capsys):
    Path(config).write_text(SMALL.format(batch=1438))
    assert complaint(capsys, "train", config) == (
        f"error: {config}: batch: 1438 is more than the 1437 samples to train on; lower it\n"
    )


def test_places_are_checked_before_training(config, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(IntegerNetwork, "train", None)
    assert complaint(capsys, "train", config, "--out", str(tmp_path)) == (
        f"error: {tmp_path}: is a folder; give a file to write to\n"
    )

    def full(**_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    out = tmp_path / "w.npz"
    assert complaint(capsys, "train", config, "--out", str(out)).startswith(
        f"error: {out}: cannot be written: No space left on device; give a file in a folder that"
    )


def test_a_disk_that_is_full_after_training_loses_nothing(config, tmp_path, capsys, monkeypatch):
    out, spare = tmp_path / "w.npz", tmp_path / "spare"
    spare.mkdir()
    out.write_bytes(b"older")

    def sync(handle):
        if not spare.samefile(Path(f"/proc/self/fd/{handle}").resolve().parent.parent):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(tempfile, "tempdir", str(spare))
    assert cli.main(["train", config, "--samples", "4", "--out", str(out)]) == 1
    said = capsys.readouterr().err
    (saved,) = spare.glob("*/weights.npz")
    assert said == (
        f"error: {out}: cannot be written: No space left on device; nothing there was changed; "
        f"make room, or give another file; the weights that were trained are in {saved}\n"
    )
    assert out.read_bytes() == b"older"
    assert weights.load(saved, load(config)).progress == {"accuracies": [], "samples": 4}


def test_training_starts_from_a_file(config, tmp_path, capsys):
    table = SMALL.format(batch=4) + "[[layer]]\nneurons = 6\nrule = 'tlc'\n"
    Path(config).write_text(table)
    first, second = tmp_path / "first.npz", tmp_path / "second.npz"
    output(capsys, "train", config, "--samples", "100", "--out", str(first))
    begin = "--weights", str(first), "--samples", "60"
    output(capsys, "train", config, *begin, "--out", str(second))

    # The same, by hand; streams of random numbers and rates begin anew.
    spec = load(config)
    network, data = IntegerNetwork(spec), data_of(spec)
    for count in (100, 60):
        seen = order(spec.seed, 0, 1437)[:count]
        for k in range(0, count, 4):
            network.train(data.train_x[seen[k : k + 4]], data.train_y[seen[k : k + 4]], 0)
    saved = weights.load(second, spec)
    for layer, W, V in zip(network.layers, saved.W, saved.V, strict=True):
        assert np.array_equal(layer.W.numpy(), W)
        assert V is None or np.array_equal(layer.Mc.numpy(), V)
    assert saved.V[2] is not None

    message = complaint(capsys, "train", config, "--seed", "2", "--weights", str(first))
    assert message == (
        f"error: {first}: is of another network: seed: 1 in the file, 2 in {config}; give the "
        "description that it was trained with, or another file\n"
    )


def test_progress_is_kept_with_the_weights(config, tmp_path, capsys):
    out = tmp_path / "w.npz"
    rows = output(capsys, "train", config, "--samples", "1500", "--out", str(out)).splitlines()
    progress = weights.load(out, load(config)).progress
    # An epoch that was not finished is not one.
    assert progress == {"accuracies": [[*map(float, rows[1].split()[2:])]], "samples": 1500}


def test_interrupted(config, capsys, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(IntegerNetwork, "train", stop)
    assert cli.main(["train", config]) == 130
    assert "interrupted" in capsys.readouterr().err


def test_as_a_program(config):
    command = [sys.executable, "-m", "golden", "train", config, "--samples", "4"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == 2
    done = subprocess.run([*command[:4], "none"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: there is no description 'none'")
    assert done.stderr.count("\n") == 1
