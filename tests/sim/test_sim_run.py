# SPDX-License-Identifier: BSD-2-Clause
"""Whole runs: what they leave behind when they succeed, diverge, or die."""

import json
import re

import numpy as np
import pytest

from golden.model import IntegerNetwork
from hw.ports import COUNTERS
from sim import run
from sim.check import Mismatch, Pair
from sim.run import simulate
from sim.verilator import SimulationError
from tests.sim.networks import data, tiny


@pytest.fixture
def spec():
    return tiny()


def result_of(folder):
    return json.loads((folder / "result.json").read_text())


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

    with np.load(tmp_path / "weights.npz") as weights:
        assert sorted(weights) == ["W0", "W1"]
        for k, layer in enumerate(golden.layers):
            assert np.issubdtype(weights[f"W{k}"].dtype, np.integer)
            assert np.array_equal(weights[f"W{k}"], layer.W.numpy())
    result = result_of(tmp_path)
    assert result["samples"] == 20
    assert result["mismatches"] == 0
    assert result["first_mismatch"] is None
    assert result["test_samples"] == 5
    assert result["test_accuracy"] == right
    assert result["epochs"][-1] == {"samples": 20, "test_accuracy": right}
    assert [epoch["samples"] for epoch in result["epochs"]] == [10, 20]
    assert result["values_compared"] == outcome.compared
    for layer, counters, use in zip(
        spec.layers, result["counters"], result["utilisation"], strict=True
    ):
        assert set(counters) == set(COUNTERS)
        # 20 steps, and a flush after each piece of 4, 4 and 2 samples in both epochs.
        assert counters["weight_reads"] == layer.weights * 26
        assert counters["weight_writes"] == layer.weights * 20
        assert counters["macs"] == 2 * layer.weights * 20
        assert use == counters["macs"] / (2 * layer.lanes * counters["cycles"])
    assert result["cycles"] == max(counters["cycles"] for counters in result["counters"])
    page = (tmp_path / "report.html").read_text()
    assert "Bit-exact" in page
    assert page.count("<svg") == 2
    assert not re.findall(r'(?:src|href)="(?!#)', page)


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


class Wrong:
    """A golden model with one value wrong, in one training sample."""

    def __init__(self, spec, sample, layer, quantity, index):
        self.golden = IntegerNetwork(spec)
        self.layers = self.golden.layers
        self.infer = self.golden.infer
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


def test_death_leaves_no_result(spec, tmp_path, monkeypatch):
    for name in ("result.json", "report.html", "weights.npz"):
        (tmp_path / name).write_text("of an earlier run")
    compare = Pair.weights

    def die(pair):
        if pair.trained:
            pair.rtl._connection.send("what the bench cannot understand")
        return compare(pair)

    monkeypatch.setattr(Pair, "weights", die)
    with pytest.raises(SimulationError):
        simulate(spec, data(spec), out=tmp_path, quiet=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["results.xml", "simulation.log"]


def test_waves(spec, tmp_path):
    simulate(spec, data(spec), out=tmp_path, samples=1, test=0, waves=True, quiet=True)
    assert "$enddefinitions" in (tmp_path / "waves.vcd").read_text()
