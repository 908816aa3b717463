# SPDX-License-Identifier: BSD-2-Clause
"""Schedules: whose turn it is, what learns in it, and where growing ends."""

from dataclasses import replace

import numpy as np
import pytest

from golden import events, training
from golden.cli import data_of
from golden.data import Data
from golden.model import IntegerNetwork
from golden.order import order
from golden.runs import Integer, perform
from golden.schedule import Growth, withhold
from golden.spec import SpecError, parse

LAYERS = [{"neurons": 6, "lr": 4}, {"neurons": 5, "rule": "scfb"}, {"neurons": 4}]
#: For images of one channel, 2 by 2.
CONVOLUTIONS = [
    {"kind": "conv", "maps": 3, "kernel": 3, "lr": 4},
    {"kind": "conv", "maps": 2, "kernel": 3, "pool": 2, "centred": True},
    {"neurons": 4},
]


def described(layers=LAYERS, **keys):
    table = {"inputs": 5, "classes": 3, "epochs": 2, "lr_step": 1, "schedule": "greedy"}
    return parse({**table, **keys, "layer": layers}, "t.toml")


def noise(count=12, inputs=5):
    random = np.random.default_rng(1)
    x, labels = random.integers(0, 256, (count, inputs), np.uint8), np.arange(count) % 3
    return Data(x, labels, x[:4], labels[:4])


def plan(network, epochs):
    """For each epoch, the rules and the rates of all layers."""
    return [
        [(network.rule_in(layer, p), network.lr_shift(layer, p)) for layer in network.layers]
        for p in epochs
    ]


def test_turns():
    network = described()
    assert (network.turns, network.passes, network.lr_growth) == ((0, 1, 2), 6, 1)
    assert plan(network, range(6)) == [
        [("sym", 4), ("frozen", 6), ("frozen", 6)],
        [("sym", 5), ("frozen", 6), ("frozen", 6)],
        [("frozen", 5), ("scfb", 6), ("frozen", 6)],
        [("frozen", 5), ("scfb", 7), ("frozen", 6)],
        [("frozen", 5), ("frozen", 7), ("sym", 6)],
        [("frozen", 5), ("frozen", 7), ("sym", 7)],
    ]


def test_the_first_layers_may_be_frozen():
    network = described([{"neurons": 6, "rule": "frozen"}, *LAYERS[1:]])
    assert (network.turns, network.passes) == ((1, 2), 4)
    assert [[rule for rule, _ in rules] for rules in plan(network, range(4))] == [
        ["frozen", "scfb", "frozen"],
        ["frozen", "scfb", "frozen"],
        ["frozen", "frozen", "sym"],
        ["frozen", "frozen", "sym"],
    ]


def test_all_at_once():
    network = described(schedule="all")
    assert network.passes == 2
    assert plan(network, [3]) == [[("sym", 7), ("scfb", 9), ("sym", 9)]]


@pytest.mark.parametrize(
    ("batch", "layers", "keys"),
    [(1, LAYERS, {}), (3, LAYERS, {}), (3, CONVOLUTIONS, {"inputs": 4, "shape": [1, 2, 2]})],
)
def test_a_turn_is_a_training_in_which_the_others_are_frozen(batch, layers, keys):
    """Each turn beside a network of its own, in which `frozen` is a rule."""
    network, at_once = (described(layers, batch=batch, **keys, schedule=schedule)
                        for schedule in ("greedy", "all"))  # fmt: skip
    samples = noise(inputs=network.inputs)
    golden = IntegerNetwork(network)
    weights, means = ([getattr(layer, name).clone() for layer in golden.layers] for name in "WA")
    for epoch, steps in training.epochs(golden, samples):
        turn, within = divmod(epoch, 2)
        rules = [x.rule if x.index == turn else "frozen" for x in network.layers]
        layers = [replace(x, rule=r) for x, r in zip(network.layers, rules, strict=True)]
        alone = IntegerNetwork(replace(at_once, layers=tuple(layers)))
        for layer, W, A in zip(alone.layers, weights, means, strict=True):
            layer.W.copy_(W)
            layer.A.copy_(A)
        assert sum(steps) == 12
        for part in order(1, epoch, 12).reshape(-1, batch):
            alone.train(samples.train_x[part], samples.train_y[part], within)
        before, weights = weights, [layer.W.clone() for layer in golden.layers]
        means = [layer.A.clone() for layer in golden.layers]
        assert all(a.equal(b.W) for a, b in zip(weights, alone.layers, strict=True))
        changed = [not a.equal(b) for a, b in zip(before, weights, strict=True)]
        assert changed == [index == turn for index in range(3)]
    assert epoch == 5


def test_what_is_frozen_learns_no_classifier_and_draws_only_for_dropout():
    keys = {"neurons": 6, "rule": "tlc", "dropout": 2, "wb": 10, "sr": True}
    golden = IntegerNetwork(described([keys, keys]))
    watch = golden.watch()
    for turn in range(2):
        before = [
            {key: v.clone() if hasattr(v, "clone") else v for key, v in layer.state().items()}
            for layer in golden.layers
        ]
        for k in range(12):
            golden.train(noise().train_x[k : k + 1], noise().train_y[k : k + 1], 2 * turn)
        for index, (then, layer) in enumerate(zip(before, golden.layers, strict=True)):
            now, learns = layer.state(), index == turn
            assert now["W"].equal(then["W"]) != learns
            assert now["Mc"].equal(then["Mc"]) != learns
            assert (now["rounding"] == then["rounding"]) != learns
            assert now["dropping"] != then["dropping"]
        assert [layer["updates"] > 0 for layer in golden.take_health(watch)] == [
            turn == 0,
            turn == 1,
        ]


def test_events_of_what_is_frozen():
    golden, x = IntegerNetwork(described()), noise().train_x[:1]
    steps = golden.train(x, [0], 2)
    assert all(step.e.any() for step in steps)
    counts = events.count(golden.spec, x, steps, 2)
    assert [int(layer["updates_skipped"][0]) for layer in counts] == [1, 0, 1]
    assert [layer["weight_writes"][0] > 0 for layer in counts] == [False, True, False]


def test_a_run_goes_on_in_the_middle_of_a_turn(tmp_path, monkeypatch):
    layers = [{"neurons": 4, "rule": "tlc", "dropout": 1}, {"neurons": 4, "wb": 10, "sr": True}]
    table = {"data": "digits", "classes": 10, "batch": 128, "epochs": 2, "schedule": "greedy"}
    run = Integer.of(parse({**table, "layer": layers}, "t.toml"), name="greedy")
    (whole,) = perform([run], tmp_path / "whole")
    assert len(whole.curve) == 4

    def train(network, x, labels, epoch):
        trained.append(epoch)
        if len(trained) == last:
            raise KeyboardInterrupt
        return kept(network, x, labels, epoch)

    kept, trained, last = IntegerNetwork.train, [], 11 * 3 + 5
    monkeypatch.setattr(IntegerNetwork, "train", train)
    with pytest.raises(KeyboardInterrupt):
        perform([run], tmp_path / "cut")
    trained.clear()
    (outcome,) = perform([run], tmp_path / "cut")
    assert trained == [3] * 11
    assert (outcome.curve, outcome.train) == (whole.curve, whole.train)


@pytest.mark.parametrize(
    ("shares", "over", "last", "text"),
    [
        ([], False, 2, ""),
        ([0.5], False, 1, "layer 1 50.00"),
        ([0.5, 0.6], False, 2, "layer 1 50.00, layer 2 60.00"),
        ([0.5, 0.5], True, 1, "layer 1 50.00, layer 2 50.00; layer 1 is the last that is of use"),
        ([0.5, 0.4], True, 1, "layer 1 50.00, layer 2 40.00; layer 1 is the last that is of use"),
    ],
)
def test_growth(shares, over, last, text):
    layers = [{"neurons": 6, "rule": "frozen"}, *LAYERS[1:]]
    growth = Growth(described(layers, schedule="grow"), shares)
    assert (growth.over, growth.last) == (over, last)
    assert str(growth) == f"right on samples held out, %: {text}"
    assert [growth.due(epoch) for epoch in range(4)] == [None, 1, None, 2]


def test_only_growing_holds_out():
    samples = noise()
    for schedule in "all", "greedy":
        network = described(schedule=schedule)
        assert withhold(network, samples) is samples
        assert [Growth(network).due(epoch) for epoch in range(2)] == [None, None]
    parts = withhold(described(schedule="grow"), samples)
    assert np.array_equal(parts.test_x, samples.test_x)
    assert (len(parts.train_x), len(parts.held_x)) == (9, 3)
    both = np.concatenate([parts.train_x, parts.held_x])
    assert sorted(map(bytes, both)) == sorted(map(bytes, samples.train_x))


@pytest.mark.parametrize(
    ("found", "seen"), [([3, 5, 4], 6), ([3, 3], 4), ([3, 2], 4), ([1, 2, 3], 6)]
)
def test_growing_ends(monkeypatch, found, seen):
    """Training ends after the first layer that is no better; each is judged by its own answers."""
    golden, shares = IntegerNetwork(described(schedule="grow")), iter(found)
    growth, samples = Growth(golden.spec), withhold(golden.spec, noise())

    def accuracy(model, x, labels):
        assert model is golden
        assert x is samples.held_x
        assert labels is samples.held_y
        answers = [0.0, 0.0, 0.0]
        answers[len(growth.shares)] = next(shares) / 10
        return answers

    monkeypatch.setattr(training, "accuracy", accuracy)
    assert len([sum(steps) for _, steps in training.epochs(golden, samples, None, growth)]) == seen
    assert growth.shares == [share / 10 for share in found]


def test_a_turn_that_is_cut_is_not_judged():
    golden = IntegerNetwork(described(schedule="grow"))
    growth = Growth(golden.spec)
    made = training.epochs(golden, withhold(golden.spec, noise()), 17, growth)
    assert [sum(steps) for _, steps in made] == [9, 8]
    assert growth.shares == []


def test_taken_up():
    grow, greedy, at_once = (described(schedule=name) for name in ("grow", "greedy", "all"))
    kept = Growth(grow, [0.5, 0.4]).progress
    assert kept == {"schedule": "grow", "epochs": 2, "held_out": [0.5, 0.4]}
    again = Growth.after(grow, kept, 5)
    assert (again.shares, again.over) == ([0.5, 0.4], True)
    assert Growth.after(greedy, Growth(greedy).progress, 3).shares == []
    assert Growth.after(at_once, {"accuracies": []}, 3).shares == []
    for network, progress, epochs, message in (
        (greedy, kept, 5, "was trained by the schedule 'grow' with epochs = 2, not 'greedy' "),
        (at_once, kept, 5, "schedule 'grow' with epochs = 2, not 'all'"),
        (greedy, {}, 1, "was trained by the schedule 'all', not 'greedy' with epochs = 2"),
        (greedy, {"schedule": "greedy", "epochs": 3}, 1, "'greedy' with epochs = 3, not 'greedy' "),
        (grow, kept, 3, "does not say how good each layer was on the samples held out"),
        (grow, {**kept, "held_out": ["a", 1]}, 5, "does not say how good each layer was"),
        (grow, {**kept, "held_out": 3}, 5, "does not say how good each layer was"),
    ):
        with pytest.raises(ValueError, match=message):
            Growth.after(network, progress, epochs)


def test_refused():
    with pytest.raises(SpecError) as caught:
        described(schedule="gready")
    assert str(caught.value) == ("t.toml: schedule: must be one of all, greedy, grow, not 'gready'")
    with pytest.raises(SpecError) as caught:
        described([{"neurons": 6, "rule": "frozen"}])
    assert str(caught.value) == (
        "t.toml: schedule: no layer can take its turn in 'greedy', for all are frozen; remove it, "
        "or take another rule"
    )
    table = {"data": "digits", "schedule": "grow", "layer": LAYERS}
    with pytest.raises(SpecError, match=r't.toml: schedule: "grow" is not for runs that are comp'):
        Integer.of(parse(table, "t.toml"), name="growing")


def test_digits_hold_out():
    table = {"data": "digits", "schedule": "grow", "layer": LAYERS}
    samples = data_of(parse(table, "t.toml"))
    assert (len(samples.train_x), len(samples.held_x), len(samples.test_x)) == (1198, 239, 360)
