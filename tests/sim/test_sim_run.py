# SPDX-License-Identifier: BSD-2-Clause
"""Whole runs: what they leave behind when they succeed, diverge, or die."""

import json
import re
from collections import Counter
from dataclasses import replace
from html import escape

import numpy as np
import pytest
import torch

from golden import events
from golden.errors import InputError
from golden.health import SIGNS
from golden.model import IntegerNetwork
from golden.order import pieces
from golden.schedule import Growth
from golden.weights import WeightsError, load
from hw.ports import COUNTERS
from sim import check, run
from sim.check import Mismatch, Pair
from sim.run import simulate
from sim.verilator import SimulationError
from tests.sim.networks import data, tiny


@pytest.fixture
def spec():
    return tiny()


def result_of(folder):
    return json.loads((folder / "result.json").read_text())


def events_of(spec):
    """Count what both epochs take, by the golden model."""
    golden, given = IntegerNetwork(spec), data(spec)
    totals = [Counter() for _ in spec.layers]
    for epoch, chosen in pieces(spec.seed, 10, 0, 20):
        for k in chosen:
            x = given.train_x[k : k + 1]
            steps = golden.train(x, given.train_y[k : k + 1], epoch=epoch)
            for total, counted in zip(totals, events.count(spec, x, steps), strict=True):
                total.update({name: int(value[0]) for name, value in counted.items()})
    return totals


def health_of(spec):
    """Count the health of both epochs, by the golden model."""
    golden, given = IntegerNetwork(spec), data(spec)
    watch = golden.watch()
    health = []
    for epoch, chosen in pieces(spec.seed, 10, 0, 20):
        for k in chosen:
            golden.train(given.train_x[k : k + 1], given.train_y[k : k + 1], epoch=epoch)
        health.append(golden.take_health(watch))
    return health


def test_success(spec, tmp_path):
    outcome = simulate(spec, data(spec), out=tmp_path, every=4, quiet=True)

    golden = IntegerNetwork(spec)
    for epoch in range(spec.epochs):
        for k in run.order(spec.seed, epoch, 10):
            golden.train(data(spec).train_x[k : k + 1], data(spec).train_y[k : k + 1], epoch=epoch)
    right = [
        (step.prediction.numpy() == data(spec).test_y).mean()
        for step in golden.infer(data(spec).test_x)
    ]

    learned = load(tmp_path / "weights.npz", spec)
    for W, layer in zip(learned.W, golden.layers, strict=True):
        assert np.array_equal(W, layer.W.numpy())
    assert learned.progress["samples"] == 20
    result = result_of(tmp_path)
    assert result["samples"] == 20
    assert result["mismatches"] == 0
    assert result["first_mismatch"] is None
    assert result["test_samples"] == 5
    assert result["test_accuracy"] == right
    assert result["epochs"][-1] == {"samples": 20, "test_accuracy": right}
    assert [epoch["samples"] for epoch in result["epochs"]] == [10, 20]
    assert result["values_compared"] == outcome.compared
    for layer, counters, use, counted in zip(
        spec.layers, result["counters"], result["use"], events_of(spec), strict=True
    ):
        assert set(counters) == set(COUNTERS)
        assert counters["forward"] == counted["forward"]
        # Of the last sample in each of six pieces, some comes after its record.
        for name in ("update", "columns_skipped", "weight_reads", "weight_writes"):
            assert 0.5 * counted[name] < counters[name] <= counted[name]
        clocks = result["cycles"] / 20
        assert use == pytest.approx(2 * layer.weights / (layer.lanes * clocks))
    assert result["network_use"] == pytest.approx(2 * (49 + 40) / (5 * clocks))
    assert result["cycles"] == max(counters["cycles"] for counters in result["counters"])
    assert result["health"] == health_of(spec)
    page = (tmp_path / "report.html").read_text()
    assert "Bit-exact" in page
    words = [f"{sign.title.capitalize()}. {sign.meaning} {sign.mend}" for sign in SIGNS.values()]
    assert all(escape(text) in page for text in words)
    assert page.count("<svg") == 2
    assert not re.findall(r'(?:src|href)="(?!#)', page)


@pytest.mark.parametrize("turns", [1, 2])
def test_schedule(tmp_path, monkeypatch, turns):
    """Each layer in its turn, in hardware by the register of the rule, until one is of no use."""
    spec = tiny(schedule="grow")
    given = replace(data(spec), held_x=data(spec).test_x, held_y=data(spec).test_y)
    monkeypatch.setattr(Growth, "over", property(lambda growth: len(growth.shares) == turns))
    outcome = simulate(spec, given, out=tmp_path, every=4, test=2, quiet=True)
    assert outcome.mismatch is None

    golden, shares = IntegerNetwork(spec), []
    start = [layer.W.clone() for layer in golden.layers]
    for epoch, chosen in pieces(spec.seed, 10, 0, 20 * turns):
        for k in chosen:
            golden.train(given.train_x[k : k + 1], given.train_y[k : k + 1], epoch=epoch)
        if epoch % 2:
            right = golden.infer(given.held_x)[epoch // 2].prediction.numpy() == given.held_y
            shares.append(float(right.mean()))
    result = result_of(tmp_path)
    assert (result["schedule"], result["held_out"]) == ("grow", shares)
    assert (result["samples"], len(result["epochs"])) == (20 * turns, 2 * turns)
    learned = load(tmp_path / "weights.npz", spec)
    assert learned.progress["held_out"] == shares
    changed = []
    for W, layer, before in zip(learned.W, golden.layers, start, strict=True):
        assert np.array_equal(W, layer.W.numpy())
        changed.append(not layer.W.equal(before))
    assert changed == [True, turns == 2]
    assert "right on samples held out" in (tmp_path / "report.html").read_text()


def test_samples_and_test(spec, tmp_path):
    simulate(spec, data(spec), out=tmp_path, samples=13, test=2, quiet=True)
    result = result_of(tmp_path)
    assert (result["samples"], result["test_samples"]) == (13, 2)
    assert [epoch["samples"] for epoch in result["epochs"]] == [10, 13]


def test_without_test(spec, tmp_path):
    simulate(spec, data(spec), out=tmp_path, samples=2, test=0, quiet=True)
    result = result_of(tmp_path)
    assert (result["test_samples"], result["test_accuracy"]) == (0, None)


def test_wrong_initial_weight(spec, tmp_path):
    golden = IntegerNetwork(spec)
    golden.layers[1].W[2, 3] += 1
    outcome = simulate(spec, data(spec), out=tmp_path, golden=golden, quiet=True)
    wrong = int(golden.layers[1].W[2, 3])
    assert outcome.mismatch == Mismatch("weights", 0, 1, "W", (2, 3), wrong, wrong - 1, 1)
    assert result_of(tmp_path)["samples"] == 0


@pytest.mark.parametrize("name", events.COUNTS)
def test_wrong_count(spec, tmp_path, monkeypatch, name):
    count_layer = check.count_layer

    def wrong(layer, x, *errors):
        counts = count_layer(layer, x, *errors)
        return {**counts, name: counts[name] + (layer.index == 1)}

    monkeypatch.setattr(check, "count_layer", wrong)
    outcome = simulate(spec, data(spec), out=tmp_path, samples=10, every=10, quiet=True)
    found = outcome.mismatch
    assert (found.stage, found.sample, found.layer) == ("counters", 10, 1)
    assert (found.quantity, found.index, found.expected) == (name, (), found.got + 10)
    assert found.count == 1


class Wrong:
    """A golden model with one value wrong, in one training sample."""

    def __init__(self, spec, sample, layer, quantity, index):
        self.golden = IntegerNetwork(spec)
        self.layers = self.golden.layers
        self.infer = self.golden.infer
        self.watch, self.take_health = self.golden.watch, self.golden.take_health
        self.sample, self.layer, self.quantity, self.index = sample, layer, quantity, index
        self.trained = 0

    def train(self, x, labels, epoch):
        steps = list(self.golden.train(x, labels, epoch=epoch))
        if self.trained == self.sample:
            values = getattr(steps[self.layer], self.quantity).clone()
            values[0, *self.index] += 1
            self.value = int(values[0, *self.index])
            steps[self.layer] = steps[self.layer]._replace(**{self.quantity: values})
        self.trained += 1
        return steps


@pytest.mark.parametrize(
    ("sample", "layer", "quantity", "index"),
    [(0, 0, "y", (6,)), (3, 1, "s", (2,)), (9, 1, "e", (0,)), (12, 0, "g", (1,))],
)
def test_wrong_value(spec, tmp_path, sample, layer, quantity, index):
    golden = Wrong(spec, sample, layer, quantity, index)
    outcome = simulate(spec, data(spec), out=tmp_path, golden=golden, quiet=True)
    assert outcome.mismatch == Mismatch(
        "training", sample, layer, quantity, index, golden.value, golden.value - 1, 1
    )
    result = result_of(tmp_path)
    assert result["mismatches"] == 1
    assert result["first_mismatch"]["sample"] == sample
    assert result["test_accuracy"] is None
    assert "Not bit-exact" in (tmp_path / "report.html").read_text()
    with np.load(tmp_path / "weights.npz") as weights:
        assert [weights[name].shape for name in ("W0", "W1")] == [(7, 7), (5, 8)]


FILES = ("result.json", "report.html", "weights.npz", "simulation.log")


def test_death_changes_nothing(spec, tmp_path, monkeypatch):
    for name in FILES:
        (tmp_path / name).write_text("of an earlier run")
    compare = Pair.weights

    def die(pair):
        if pair.trained:
            pair.rtl._connection.send("what the bench cannot understand")
        return compare(pair)

    monkeypatch.setattr(Pair, "weights", die)
    with pytest.raises(SimulationError) as caught:
        simulate(spec, data(spec), out=tmp_path, quiet=True)
    assert f"({tmp_path / 'aborted.log'})" in str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*FILES, "aborted.log"])
    for name in FILES:
        assert (tmp_path / name).read_text() == "of an earlier run"

    # A run that comes to its end puts all that right.
    monkeypatch.undo()
    simulate(spec, data(spec), out=tmp_path, samples=1, test=0, quiet=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(FILES)
    assert result_of(tmp_path)["samples"] == 1


def test_report_that_fails_loses_nothing(spec, tmp_path, monkeypatch):
    (tmp_path / "report.html").write_text("of an earlier run")

    def fail(*_):
        raise OSError("no font")

    monkeypatch.setattr(run.report, "render", fail)
    with pytest.raises(OSError, match="no font"):
        simulate(spec, data(spec), out=tmp_path, samples=1, test=0, quiet=True)
    assert result_of(tmp_path)["samples"] == 1
    assert load(tmp_path / "weights.npz", spec).progress["samples"] == 1
    assert not (tmp_path / "report.html").exists()


def test_tools_that_do_not_say_which_they_are(spec, tmp_path, monkeypatch):
    simulate(spec, data(spec), out=tmp_path, samples=1, test=0, quiet=True)
    # What has been compiled needs no compiler.
    monkeypatch.setenv("PATH", str(tmp_path))
    simulate(spec, data(spec), out=tmp_path, samples=1, test=0, quiet=True)
    assert result_of(tmp_path)["versions"]["c++"] == "unknown"


@pytest.mark.parametrize("name", ["", "weights.npz", "result.json", "report.html"])
def test_place_is_checked_first(spec, tmp_path, monkeypatch, name):
    monkeypatch.setattr(run, "Rtl", None)
    out = tmp_path / "out"
    if name:
        (out / name).mkdir(parents=True)
    else:
        out.write_text("a file")
    with pytest.raises((InputError, OSError), match=str(out / name)):
        simulate(spec, data(spec), out=out, quiet=True)


def test_start_from_weights(spec, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    simulate(spec, data(spec), out=first, samples=10, test=0, quiet=True)
    learned = load(first / "weights.npz", spec)
    outcome = simulate(
        spec, data(spec), out=second, samples=7, test=2, start=first / "weights.npz", quiet=True
    )
    assert outcome.mismatch is None
    assert result_of(second)["start"] == str(first / "weights.npz")

    golden = IntegerNetwork(spec)
    for layer, W in zip(golden.layers, learned.W, strict=True):
        layer.W.copy_(torch.from_numpy(W))
    for k in run.order(spec.seed, 0, 10)[:7]:
        golden.train(data(spec).train_x[k : k + 1], data(spec).train_y[k : k + 1], epoch=0)
    for layer, W in zip(golden.layers, load(second / "weights.npz", spec).W, strict=True):
        assert np.array_equal(W, layer.W.numpy())
    assert not np.array_equal(learned.W[0], load(second / "weights.npz", spec).W[0])


def test_weights_of_another_network(spec, tmp_path):
    simulate(spec, data(spec), out=tmp_path, samples=1, test=0, quiet=True)
    other = tiny(seed=2)
    with pytest.raises(WeightsError, match=r"is of another network: seed: '?1"):
        simulate(other, data(other), out=tmp_path, start=tmp_path / "weights.npz", quiet=True)


def test_waves(spec, tmp_path):
    simulate(spec, data(spec), out=tmp_path, samples=1, test=0, waves=True, quiet=True)
    assert "$enddefinitions" in (tmp_path / "waves.vcd").read_text()
