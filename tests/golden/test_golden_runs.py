# SPDX-License-Identifier: BSD-2-Clause
"""Runs: what they come to, that they go on after a kill, and that they share out work."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from golden import data, runs, training
from golden.data import FOLDER, DataError
from golden.errors import RunError
from golden.kept import Checkpoints
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


def run(name="a run", held_out=False, validated=False, **changes):
    described = parse(TABLE | changes, "small.toml")
    return Integer.of(described, name=name, held_out=held_out, validated=validated)


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
    assert [file.suffix for file in (tmp_path / "cut").iterdir()] == [".checkpoint"]
    trained, last = [], None
    (outcome,) = perform([run()], tmp_path / "cut")
    assert trained == 89 * [1] + 89 * [2]
    assert (outcome.curve, outcome.train) == (whole.curve, whole.train)
    assert [file.suffix for file in (tmp_path / "cut").iterdir()] == [".json"]


def test_a_checkpoint_that_could_not_be_written_is_none(tmp_path, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as context:
        context.setattr(os, "fsync", full)
        with pytest.raises(RunError) as caught:
            perform([run()], tmp_path)
    assert str(caught.value) == (
        f"{tmp_path / run().digest}.checkpoint: cannot be written: No space left on device; what "
        "was kept before is still there: mend that, and start again"
    )
    (whole,) = perform([run()], tmp_path / "new")
    assert not [path for path in tmp_path.iterdir() if path.is_file()]
    (outcome,) = perform([run()], tmp_path)
    assert (outcome.curve, outcome.train) == (whole.curve, whole.train)


def stopped(monkeypatch, folder, steps):
    """Make a run that is stopped after so many steps; give its checkpoints by their age."""

    def train(network, x, labels, epoch):
        if len(trained) == steps:
            raise KeyboardInterrupt
        trained.append(epoch)
        return kept(network, x, labels, epoch)

    kept, trained = IntegerNetwork.train, []
    with monkeypatch.context() as context:
        context.setattr(IntegerNetwork, "train", train)
        with pytest.raises(KeyboardInterrupt):
            perform([run()], folder)
    return sorted(folder.iterdir(), key=lambda path: (len(path.name), path.name))


def counted(monkeypatch):
    """Count the steps that are made from here on, by their epochs."""

    def train(network, x, labels, epoch):
        trained.append(epoch)
        return kept(network, x, labels, epoch)

    kept, trained = IntegerNetwork.train, []
    monkeypatch.setattr(IntegerNetwork, "train", train)
    return trained


def damages(content):
    """Give files that are not whole any more: cut, or with a byte that is another."""
    yield from (content[: len(content) * part // 4] for part in range(4))
    random = np.random.default_rng(0)
    for place in [0, 31, 32, len(content) - 1, *random.integers(0, len(content), 4)]:
        yield content[:place] + bytes([content[place] ^ 1 << int(place) % 8]) + content[place + 1 :]


@pytest.mark.parametrize("which", range(12))
def test_a_damaged_checkpoint_is_left_alone_for_the_one_before(
    tmp_path, monkeypatch, capsys, which
):
    # 89 batches an epoch.
    first, second = stopped(monkeypatch, tmp_path, 2 * 89 + 40)
    assert first.name == f"{run().digest}.checkpoint"
    assert second.name == f"{run().digest}-2.checkpoint"
    bad = [*damages(second.read_bytes())][which]
    second.write_bytes(bad)
    trained = counted(monkeypatch)
    (outcome,) = perform([run()], tmp_path)
    assert trained == 89 * [1] + 89 * [2]
    assert (outcome.curve, outcome.train) == by_hand(run().network, data.load("digits"))
    assert capsys.readouterr().err == (
        f"{second}: is damaged or cannot be read, so the one before it is taken\n"
    )
    assert second.read_bytes() == bad
    assert {path.name for path in tmp_path.iterdir()} == {second.name, f"{run().digest}.json"}


def test_checkpoints_that_are_all_damaged(tmp_path, monkeypatch, capsys):
    files = stopped(monkeypatch, tmp_path, 2 * 89 + 40)
    for file in files:
        file.write_bytes(b"")
    trained = counted(monkeypatch)
    (outcome,) = perform([run()], tmp_path)
    assert len(trained) == 3 * 89
    assert (outcome.curve, outcome.train) == by_hand(run().network, data.load("digits"))
    assert capsys.readouterr().err.count("is damaged or cannot be read") == 2
    assert all(file.read_bytes() == b"" for file in files)


def test_a_checkpoint_of_another_network_under_this_name(tmp_path, capsys):
    values = {"model": {"layers": []}, "curve": [[1.0]], "seconds": 1.0}
    Checkpoints(tmp_path, run().digest).write(values)
    (outcome,) = perform([run()], tmp_path)
    assert (outcome.curve, outcome.train) == by_hand(run().network, data.load("digits"))
    assert "is damaged or cannot be read" in capsys.readouterr().err


def test_a_damaged_outcome_is_left_alone_and_made_again(tmp_path, capsys):
    (whole,) = perform([run()], tmp_path)
    (file,) = tmp_path.iterdir()
    content = file.read_bytes()
    values = json.loads(content)
    values["curve"][-1][0] = 1.0
    again = file.with_name(f"{run().digest}-2.json")
    others = (
        b"[]",
        b"null",
        b"[" * 10**5,
        content.replace(b"tlc", b"sym"),
        json.dumps(values).encode(),
    )
    for bad in (*damages(content), *others):
        if bad == content:
            continue
        file.write_bytes(bad)
        (outcome,) = perform([run()], tmp_path)
        assert (outcome.curve, outcome.train) == (whole.curve, whole.train)
        assert capsys.readouterr().err == (
            f"{file}: is damaged or cannot be read, so the run is made again, beside it\n"
        )
        assert file.read_bytes() == bad
        # What was made in its place is taken from then on, and nothing more is said.
        assert perform([run()], tmp_path) == [outcome]
        assert capsys.readouterr().err == ""
        again.unlink()


def test_outcomes_of_other_settings_are_not_taken(tmp_path):
    perform([run(seed=1)], tmp_path)
    (file,) = tmp_path.iterdir()
    file.rename(tmp_path / f"{run(seed=2).digest}.json")
    (outcome,) = perform([run(seed=2)], tmp_path)
    assert outcome.settings["seed"] == 2


def test_two_processes_in_one_folder(tmp_path):
    code = (
        "import sys; sys.path.insert(0, '.')\n"
        "from golden.runs import Integer, perform; from golden.spec import parse\n"
        "from pathlib import Path\n"
        f"table = {TABLE!r}\n"
        "run = Integer.of(parse(table, 'small.toml'), name='a run')\n"
        f"print(perform([run], Path({str(tmp_path)!r}))[0].curve)"
    )
    made = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [process.communicate(timeout=300)[0] for process in made]
    assert [process.returncode for process in made] == [0, 0]
    curve, _ = by_hand(run().network, data.load("digits"))
    assert said == [f"{curve}\n"] * 2
    assert all(path.suffix == ".json" for path in tmp_path.iterdir())


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
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as running:
        while len(list(tmp_path.glob("runs/*.checkpoint"))) < 2:
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


def test_a_validated_run_is_tested_on_both(tmp_path):
    """It trains on what remains when samples are held out, and these are not the test set."""
    digits = data.load("digits")
    held = data.held_out(digits)
    (outcome,) = perform([run(validated=True)], tmp_path)
    (other,) = perform([run(held_out=True)], tmp_path)
    assert (outcome.held, outcome.train) == (other.test, other.train)
    curve, _ = by_hand(run().network, replace(held, test_x=digits.test_x, test_y=digits.test_y))
    assert outcome.curve == curve
    (again,) = perform([run(validated=True)], tmp_path)
    assert again == outcome


def test_the_digest_is_of_what_decides_the_result():
    layers = TABLE["layer"]
    hardware = {"size": "12F", "layer": [{**layers[0], "lanes": 3}, layers[1]]}
    same = Integer.of(
        parse(TABLE | {"name": "other"} | hardware, "o.toml"),
        name="another name",
    )
    assert same.digest == run().digest
    others = [
        run(held_out=True),
        run(validated=True),
        run(layer=[{**layers[0], "centred": True}, layers[1]]),
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
