# SPDX-License-Identifier: BSD-2-Clause
"""Runs: what they come to, that they go on after a kill, and that they share out work."""

import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from golden import data, runs, training
from golden.data import FOLDER, DataError
from golden.model import IntegerNetwork
from golden.runs import Integer, perform
from golden.spec import SpecError, parse

TABLE = {
    "data": "digits",
    "classes": 10,
    "batch": 16,
    "epochs": 3,
    "layer": [{"neurons": 12, "dropout": 1, "rule": "tlc"}, {"neurons": 8}],
}


def run(name="a run", held_out=False, **changes):
    return Integer.of(parse(TABLE | changes, "small.toml"), name=name, held_out=held_out)


def by_hand(described, samples):
    """Train without what is tested here; give the curve and the accuracy in training."""
    network, curve = IntegerNetwork(described), []
    for _, steps in training.epochs(network, samples):
        assert sum(steps) > 1000
        curve.append(training.accuracy(network, samples.test_x, samples.test_y))
    return curve, training.accuracy(network, samples.train_x, samples.train_y)


def test_a_run(tmp_path):
    (outcome,) = perform([run()], tmp_path / "new")
    assert (outcome.curve, outcome.train) == by_hand(run().network, data.load("digits"))
    assert outcome.test == outcome.curve[-1]
    assert outcome.seconds > 0
    (file,) = (tmp_path / "new").iterdir()
    assert file.name == f"{run().digest}.json"
    written = json.loads(file.read_text())
    assert written["name"] == "a run"
    assert written["settings"]["network"]["layers"][0]["rule"] == "tlc"


def test_a_run_is_not_made_twice(tmp_path, monkeypatch):
    first = perform([run(), run("the same")], tmp_path)
    assert first[0] == first[1]
    monkeypatch.setattr(IntegerNetwork, "train", None)
    assert perform([run()], tmp_path) == first[:1]


def test_a_killed_run_goes_on(tmp_path, monkeypatch):
    (whole,) = perform([run()], tmp_path / "whole")
    trained, last = [], 100

    def train(network, x, labels, epoch):
        if len(trained) == last:
            raise KeyboardInterrupt
        trained.append(epoch)
        return kept(network, x, labels, epoch)

    kept = IntegerNetwork.train
    monkeypatch.setattr(IntegerNetwork, "train", train)
    with pytest.raises(KeyboardInterrupt):
        perform([run()], tmp_path / "cut")
    # 89 batches an epoch: the second is cut, and made again from its start.
    assert trained == 89 * [0] + 11 * [1]
    assert [file.suffix for file in (tmp_path / "cut").iterdir()] == [".pt"]
    trained, last = [], None
    (outcome,) = perform([run()], tmp_path / "cut")
    assert trained == 89 * [1] + 89 * [2]
    assert (outcome.curve, outcome.train) == (whole.curve, whole.train)
    assert [file.suffix for file in (tmp_path / "cut").iterdir()] == [".json"]


def test_a_checkpoint_that_could_not_be_written_is_none(tmp_path, monkeypatch):
    def save(_, file):
        file.write(b"half")
        raise OSError("disk full")

    with monkeypatch.context() as context:
        context.setattr(torch, "save", save)
        with pytest.raises(OSError, match="disk full"):
            perform([run()], tmp_path)
    (whole,) = perform([run()], tmp_path / "new")
    (outcome,) = perform([run()], tmp_path)
    assert (outcome.curve, outcome.train) == (whole.curve, whole.train)
    assert not list(tmp_path.glob("*.pt"))


def test_jobs(tmp_path):
    several = [run(seed=seed) for seed in range(3)]
    together = perform(several, tmp_path / "together", jobs=2)
    alone = perform(several, tmp_path / "alone")
    assert [(a.curve, a.train) for a in together] == [(a.curve, a.train) for a in alone]
    assert [a.settings["seed"] for a in together] == [0, 1, 2]


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds processes in /proc")
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGKILL])
def test_nothing_goes_on_when_the_command_is_killed(tmp_path, sent):
    study = tmp_path / "long.toml"
    study.write_text(
        'network = "digits"\nepochs = 100000\nlr_step = 100000\nseeds = 2\n'
        '[[axis]]\nname = "a"\npoints = [{ at = "1", neurons = [1] }]\n'
    )
    command = [sys.executable, "-m", "golden", "sweep", study, "--jobs", "2", "--out", tmp_path]
    # What runs in the background of a shell is deaf to interrupts, and so are its children.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as running:
        while len(list(tmp_path.glob("runs/*.pt"))) < 2:
            assert running.poll() is None
            time.sleep(0.1)
        children = Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split()
        assert len(children) >= 2
        running.send_signal(sent)
        if sent == signal.SIGINT:
            assert running.wait(60) == 130
    deadline = time.monotonic() + 60
    while any(Path(f"/proc/{pid}").exists() for pid in children):
        assert time.monotonic() < deadline, "still at work"
        time.sleep(0.1)


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_error_in_a_run_ends_it_all(tmp_path, monkeypatch, jobs):
    monkeypatch.setenv(FOLDER, str(tmp_path / "nowhere"))
    with pytest.raises(DataError, match="cannot be read"):
        perform([run(data="mnist"), run(data="mnist", seed=2)], tmp_path / "runs", jobs=jobs)


def test_held_out_samples_are_the_last_sixth_of_the_training_set(tmp_path, monkeypatch):
    digits = data.load("digits")
    kept = len(digits.train_x) - len(digits.train_x) // 6
    held = data.held_out(digits)
    assert np.array_equal(np.concatenate([held.train_x, held.test_x]), digits.train_x)
    assert np.array_equal(np.concatenate([held.train_y, held.test_y]), digits.train_y)
    assert len(held.train_x) == len(held.train_y) == kept
    # The test set is not so much as looked at.
    monkeypatch.setattr(data, "load", lambda _: replace(digits, test_x=None, test_y=None))
    (outcome,) = perform([run(held_out=True)], tmp_path)
    assert (outcome.curve, outcome.train) == by_hand(run().network, held)


def test_the_digest_is_of_what_decides_the_result():
    layers = TABLE["layer"]
    same = Integer.of(
        parse(TABLE | {"name": "other", "layer": [{**layers[0], "lanes": 3}, layers[1]]}, "o.toml"),
        name="another name",
    )
    assert same.digest == run().digest
    others = [
        run(held_out=True),
        run(seed=2),
        run(epochs=4),
        run(batch=8),
        run(layer=[{**layers[0], "dropout": 2}, layers[1]]),
        replace(run(), data="mnist"),
    ]
    assert len({run().digest, *(other.digest for other in others)}) == 1 + len(others)


def test_a_description_without_data():
    with pytest.raises(SpecError, match=r"small\.toml: data: nothing to train on; name a data"):
        run(data=None, inputs=4)


def test_progress(tmp_path):
    events = []
    runs._perform(run(), tmp_path, events.append)
    assert sum(done for done, _ in events) == pytest.approx(3)
    assert {name for _, name in events} == {"a run"}
