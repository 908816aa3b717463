# SPDX-License-Identifier: BSD-2-Clause
"""The health counters of whole networks, beside the golden model's."""

import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from golden.health import Health
from golden.model import IntegerNetwork
from golden.order import pieces
from hw.ports import HEALTH, Command
from sim.check import Pair
from sim.rtl import Rtl
from sim.run import simulate
from sim.stalled_layer import STREAMS, StalledLayer
from tests.sim.networks import any_weights, data, describe, noise

#: Each way in which an update is rounded, no update at all, and a layer that counts nothing.
SPEC = describe(
    {"neurons": 7, "lanes": 3, "health": True, "fy": 8, "lr": 3},
    {"neurons": 9, "lanes": 9, "health": True, "fy": 8, "wb": 8, "fw": 6, "sr": True, "lr": 4},
    {"neurons": 20, "lanes": 20, "health": True, "yb": 4, "rule": "tlc", "dropout": 2, "lr": 2},
    {"neurons": 5, "lanes": 5, "health": True, "rule": "frozen", "loss": "ce"},
    {"neurons": 3, "lanes": 2},
    inputs=6,
    classes=3,
)
COUNTING = (0, 1, 2, 3)


@pytest.fixture(scope="module")
def rtl(tmp_path_factory):
    layer = partial(StalledLayer, rates=dict.fromkeys(STREAMS, 100), seed=3, sparse=False)
    folder = tmp_path_factory.mktemp("health")
    with Rtl(SPEC, folder=folder, quick=True, layer=layer) as rtl:
        yield rtl


def packets(pair, seed, epoch=0):
    """Carry out packets of every kind, in any order."""
    kinds = [Command.TRAIN] * 20 + [Command.INFER] * 5 + [Command.READ] * 2 + [Command.LOAD]
    commands = list(np.random.default_rng(seed).permutation(kinds))
    x, labels = noise(SPEC, len(commands), seed)
    for _ in pair.run(commands, labels, x, epoch=epoch, loads=[any_weights(SPEC, seed)]):
        pass


def silent():
    """Make weights with which no neuron is active."""
    weights = any_weights(SPEC, 1)
    lowest = (np.full_like(W, -1 << p.wb - 1) for p, W in zip(SPEC.layers, weights.W, strict=True))
    return replace(weights, W=tuple(lowest))


def test_counts(rtl):
    """Whatever has been done between two READs, all counts are those of the golden model."""
    pair = Pair(rtl, IntegerNetwork(SPEC))
    pair.weights()
    for seed in range(3):
        packets(pair, seed, epoch=seed % 2)
        pair.weights()
        # Of no sample that trains nothing is counted; what a READ has counted stands.
        for _ in pair.infer(*noise(SPEC, 4, seed)):
            pass
        pair.weights()
        pair.weights()
    # Neurons that were active before a LOAD, and cannot be behind it, are not dead.
    x, labels = noise(SPEC, 12)
    commands = [*[Command.TRAIN] * 10, Command.LOAD, Command.TRAIN]
    for _ in pair.run(commands, labels, x, loads=[silent()]):
        pass
    pair.weights()
    counts = [rtl.counters[i] for i in COUNTING]
    assert counts[0]["dead"] < SPEC.layers[0].neurons
    for name in HEALTH:
        assert any(layer[name] for layer in counts), name
    assert all(0 < layer["updates_lost"] < layer["updates"] for layer in counts[:3])
    assert counts[3]["updates"] == 0
    assert not set(HEALTH) & set(rtl.counters[4])


#: Whole runs are of this one.
SMALL = describe({"neurons": 3, "lanes": 2, "health": True}, inputs=4, classes=2)


def test_run(tmp_path):
    """The counts of each epoch have been compared; weights are read at its end only."""
    given = data(SMALL)
    outcome = simulate(SMALL, given, out=tmp_path, every=4, quiet=True)
    assert outcome.mismatch is None
    golden, expected = IntegerNetwork(SMALL), []
    watch = golden.watch()
    for epoch, chosen in pieces(SMALL.seed, 10, 0, 20):
        for k in chosen:
            golden.train(given.train_x[k : k + 1], given.train_y[k : k + 1], epoch=epoch)
        expected.append(golden.take_health(watch))
    assert json.loads((tmp_path / "result.json").read_text())["health"] == expected
    assert "The gates of layer 0 have counted the same." in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize("name", ["updates_lost", "at_limit", "dead"])
def test_a_wrong_count_is_found(tmp_path, monkeypatch, name):
    take = Health.take

    def wrong(health, W):
        counts = take(health, W)
        return {**counts, name: counts[name] + (health.layer.index == 0)}

    monkeypatch.setattr(Health, "take", wrong)
    found = simulate(SMALL, data(SMALL), out=tmp_path, samples=10, test=0, quiet=True).mismatch
    # Of no sample, no neuron is dead or alive.
    samples = 10 if name == "dead" else 0
    assert (found.stage, found.sample, found.layer) == ("counters", samples, 0)
    assert (found.quantity, found.index, found.expected) == (name, (), found.got + 1)


def test_a_network_that_was_used_before(rtl):
    """What it had counted is of no matter to another pair."""
    for _ in rtl.train(*noise(SPEC, 5)):
        pass
    pair = Pair(rtl, IntegerNetwork(SPEC))
    weights = any_weights(SPEC, 1)
    pair.load(weights)
    pair.weights()
    before = [rtl.counters[i]["samples"] for i in COUNTING]
    for _ in pair.infer(*noise(SPEC, 4)):
        pass
    pair.weights()
    assert [rtl.counters[i]["samples"] for i in COUNTING] == before
    assert min(before) >= 5
