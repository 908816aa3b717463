# SPDX-License-Identifier: BSD-2-Clause
"""The paper's counts: its printed totals, and small networks counted one by one."""

import json
from collections import Counter
from itertools import pairwise, product

import numpy as np
import pytest

from golden import __main__ as cli
from golden import spec
from golden.commands import paper
from golden.data import Data
from golden.model import IntegerNetwork
from golden.order import order
from golden.paper.shapes import NETWORKS, Conv, Full, describe, translate
from golden.paper.traffic import (
    METHODS,
    SETTINGS,
    Counted,
    Traffic,
    backpropagation,
    count,
    counted,
    figure6,
    in_hardware,
    local_errors,
    methods,
    ours,
    table1,
)

MNIST, CONV5, CONV10 = NETWORKS
#: Sizes of small fully connected networks, the input first.
SIZES = ((1, 1), (3, 5, 2), (6, 4, 4, 7))


class Machine:
    """Counts, in nested loops, words read and written, and multiplications."""

    def __init__(self):
        self.traffic = Traffic(0, 0, 0)

    def read(self, *loops):
        for _ in product(*map(range, loops)):
            self.traffic = self.traffic._replace(reads=self.traffic.reads + 1)

    def write(self, *loops):
        for _ in product(*map(range, loops)):
            self.traffic = self.traffic._replace(writes=self.traffic.writes + 1)

    def multiply(self, *loops):
        for _ in product(*map(range, loops)):
            self.traffic = self.traffic._replace(macs=self.traffic.macs + 1)


def full(sizes, classes=3, frozen=()):
    stack = [Full(n, trained=i not in frozen) for i, n in enumerate(sizes[1:])]
    return describe("full", *stack, maps=sizes[0], classes=classes)


def train_by_backpropagation(sizes, batch):
    """Follow Figure 2A: weights come in twice, activations go out once and come in once."""
    machine = Machine()
    for below, here in pairwise(sizes):
        machine.read(here, below)
        machine.multiply(batch, here, below)
        machine.write(batch, here)
    for below, here in reversed(list(pairwise(sizes))):
        machine.read(batch, here)
        machine.read(here, below)
        # The gradient of the weights, and the errors of the layer below.
        machine.multiply(batch, here, below)
        machine.multiply(batch, below, here)
        machine.write(here, below)
    return machine.traffic


def train_by_local_errors(sizes, batch, classes):
    """Follow Figure 2B: there is one pass, in which everything happens."""
    machine = Machine()
    for below, here in pairwise(sizes):
        machine.read(here, below)
        machine.multiply(batch, here, below)
        # Scores, then local errors, then the gradient.
        machine.multiply(batch, classes, here)
        machine.multiply(batch, here, classes)
        machine.multiply(batch, here, below)
        machine.write(here, below)
    return machine.traffic


def train_as_we_do(sizes, frozen):
    """Meet all weights on the way forward, the bias among them, then update and write them."""
    machine = Machine()
    for i, (below, here) in enumerate(pairwise(sizes)):
        for turn in range(1 if i in frozen else 2):
            for _ in product(range(here), range(below + 1)):
                machine.read(1)
                machine.multiply(1)
                if turn:
                    machine.write(1)
    return machine.traffic


def test_printed_totals():
    assert [net.total("weights") for net in NETWORKS] == [2784000, 13716512, 9402048]
    assert [net.total("activations") for net in NETWORKS] == [3000, 40960, 156160]


def test_layers_of_the_convnets():
    # Maps shrink before they are counted, and a filter sees all maps below.
    assert [layer.inputs for layer in CONV5.layers] == [3072, 24576, 8192, 4096, 2048]
    assert [layer.positions for layer in CONV5.layers] == [1024, 256, 64, 1, 1]
    assert [layer.fan_out for layer in CONV5.layers] == [25 * 96, 25 * 128, 25 * 256, 2048, 2048]
    maps = (64, 64, 128, 128, 256, 256, 512, 512, 512, 512)
    assert [layer.fan_out for layer in CONV10.layers] == [9 * m for m in maps]
    sides = (32, 32, 16, 16, 8, 8, 4, 4, 2, 2)
    assert [layer.positions for layer in CONV10.layers] == [side**2 for side in sides]
    assert CONV10.layers[-1].activations == 512


def test_volumes_of_figure_6():
    # Table 1 with the numbers printed under the figure.
    for network, p, a in zip(
        NETWORKS, (2784000, 13716512, 9402048), (3000, 40960, 156160), strict=True
    ):
        assert count(backpropagation, network, batch=100)[:2] == (2 * p + 100 * a, p + 100 * a)
        assert count(local_errors, network, batch=100)[:2] == (p, p)


def test_steps_of_ours():
    # A thousand biases a layer; each weight twice per sample.
    assert count(ours, MNIST, batch=1, steps=100) == (557400000, 278700000, 557400000)
    for network, batch in ((MNIST, 100), (CONV5, 1)):
        with pytest.raises(ValueError, match="steps of one sample, and no convolutions"):
            count(ours, network, batch=batch)


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("batch", [1, 4])
def test_full_one_by_one(sizes, batch):
    network = full(sizes)
    assert count(backpropagation, network, batch=batch) == train_by_backpropagation(sizes, batch)
    assert count(local_errors, network, batch=batch) == train_by_local_errors(sizes, batch, 3)


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("frozen", [(), (0,)])
def test_ours_one_by_one(sizes, frozen):
    assert count(ours, full(sizes, frozen=frozen), batch=1) == train_as_we_do(sizes, frozen)


@pytest.mark.parametrize(("side", "below", "maps", "kernel"), [(4, 2, 3, 3), (5, 1, 2, 5)])
def test_conv_one_by_one(side, below, maps, kernel):
    # At borders the kernel goes on at the other side, so that every input has the full fan-out.
    reached, weights, neurons = Counter(), set(), Counter()
    for y, x, m, dy, dx, c in product(*map(range, (side, side, maps, kernel, kernel, below))):
        reached[(y + dy) % side, (x + dx) % side, c] += 1
        weights.add((m, dy, dx, c))
        neurons[y, x, m] += 1
    network = describe("conv", Conv(maps, kernel), side=side, maps=below, classes=7)
    (layer,) = network.layers
    assert layer.weights == len(weights)
    assert layer.activations == len(neurons)
    assert layer.inputs == len(reached)
    assert set(reached.values()) == {layer.fan_out}
    assert layer.products == sum(reached.values())

    batch, ahead = 3, sum(reached.values())
    assert count(backpropagation, network, batch=batch).macs == batch * 3 * ahead
    scores = 7 * len(neurons)
    assert count(local_errors, network, batch=batch).macs == batch * 2 * (ahead + scores)


def test_pooling_leaves_less():
    plain, pooled = (
        describe("conv", Conv(4, kernel=3, pool=pool), Full(5), side=6, maps=1, classes=2)
        for pool in (1, 2)
    )
    assert [layer.activations for layer in plain.layers] == [144, 5]
    assert [layer.activations for layer in pooled.layers] == [36, 5]
    # All is computed before it is pooled.
    assert plain.layers[0].products == pooled.layers[0].products == 36 * 9 * 4


@pytest.mark.parametrize(
    ("network", "condition"),
    [(MNIST, (30, 1500)), (CONV5, (50, 8048)), (CONV10, (100, 13248))],
    ids=lambda value: getattr(value, "name", None),
)
def test_condition(network, condition):
    assert network.condition == condition
    assert condition[0] < condition[1]
    assert network.total("classifier_products") < network.total("products")
    fewer, more = (count(way, network, batch=1).macs for way in (local_errors, backpropagation))
    assert more - fewer == network.total("products") - network.total("classifier_products")


def test_condition_is_exact_only_for_equal_layers():
    # A wide layer that goes to few neurons: by the paper's condition fewer MACs, in truth more.
    network = describe("uneven", Full(100), Full(1), maps=1, classes=10)
    assert network.condition[0] < network.condition[1]
    fewer, more = (count(way, network, batch=1).macs for way in (local_errors, backpropagation))
    assert fewer > more


def test_description():
    network = translate(spec.load(spec.find("mnist-wide")))
    assert network.name == "mnist-wide"
    assert network.layers == MNIST.layers
    assert in_hardware(network, 1)
    assert not in_hardware(network, 32)
    assert not in_hardware(CONV5, 1)


def test_description_of_convolutions():
    """That of the paper's network has the paper's sizes."""
    ours, (_, paper, _) = translate(spec.load(spec.CONFIGS / "cifar10.toml")), NETWORKS
    assert ours.layers == paper.layers


def test_frozen_description():
    layers = [{"neurons": 5, "rule": "frozen"}, {"neurons": 4}]
    network = translate(spec.parse({"inputs": 7, "classes": 3, "layer": layers}, "x.toml"))
    assert network.layers == full((7, 5, 4), frozen=(0,)).layers
    assert [ours(layer) for layer in network.layers] == [(40, 0, 40), (48, 24, 48)]


def test_trained_classifier_is_not_counted():
    layers = [{"neurons": 5, "rule": "tlc"}]
    with pytest.raises(
        spec.SpecError, match=r"^x\.toml: rule: tlc stores classifiers; they are not counted$"
    ):
        translate(spec.parse({"inputs": 7, "classes": 3, "layer": layers}, "x.toml"))


def rows(text):
    return [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("|")]


def test_what_can_be_trained_so():
    counts = {"MNIST": Counted(50, Traffic(500, 101, 500))}
    assert list(methods(MNIST, counts, batch=100, steps=1)) == [*METHODS][:2]
    assert list(methods(CONV5, counts, batch=1, steps=100)) == [*METHODS][:2]
    assert list(methods(MNIST, {}, batch=1, steps=100)) == [*METHODS]
    made = methods(MNIST, counts, batch=1, steps=30)
    assert list(made) == [*METHODS, "ours, counted"]
    assert made["ours, dense"] == count(ours, MNIST, batch=1, steps=30)
    assert made["ours, counted"] == (300, 61, 300)


def test_table():
    exhibit = table1(counts={"MNIST": Counted(5000, Traffic(5000 * 2787, 5000 * 300, 5000 * 2787))})
    shown = rows(exhibit.text)
    for words, (batch, steps) in SETTINGS.items():
        for network in NETWORKS:
            for name, method in METHODS.items():
                if name != "ours, dense" or (batch == 1 and network is MNIST):
                    traffic = count(method, network, batch=batch, steps=steps)
                    assert exhibit.data["counts"][words][network.name][name] == traffic._asdict()
                    expected = [network.name, name, *(f"{n:,}" for n in traffic)]
                    assert expected in [row[:5] for row in shown]
    assert ["MNIST", "2,784,000", "3,000", "30 < 1,500", "60,000 < 2,784,000"] in shown
    shares = ["100.1%", "100.0%", "66.7%"]
    words = ["557,400,000", "278,700,000", "557,400,000"]
    assert ["MNIST", "ours, dense", *words, *shares] in shown
    assert ["MNIST", "ours, counted", "278,700", "30,000", "278,700"] in [row[:5] for row in shown]
    # Of 2,787,000 weights.
    assert ["MNIST", "5,000", "0.001", "0.000", "0.001"] in shown
    assert exhibit.data["counted"]["MNIST"]["samples"] == 5000
    assert "lack the\nfactor N_b" in exhibit.text
    assert "**A step of\nthe hardware is one sample**" in exhibit.text
    assert len([row for row in shown if row[0] == "MNIST" and "ours" in row[1]]) == 2
    assert not [row for row in shown if row[0] == CONV5.name and "ours" in row[1]]


@pytest.mark.parametrize("counts", [None, {"MNIST": Counted(1, Traffic(9_000, 4_000, 9_000))}])
def test_figure(counts):
    exhibit = figure6(counts)
    (figure,) = exhibit.figures.values()
    assert [axes.get_title(loc="left") for axes in figure.axes] == [
        "One step of 100 samples",
        "100 steps of one sample",
    ]
    for axes, (batch, steps) in zip(figure.axes, SETTINGS.values(), strict=True):
        expected = [
            words / 1e6
            for network in NETWORKS
            for traffic in methods(network, counts or {}, batch=batch, steps=steps).values()
            for words in traffic[:2]
        ]
        bars = [bar for drawn in axes.containers for bar in drawn]
        assert [bar.get_height() for bar in bars] == expected
        # No bar is behind another.
        edges = sorted((bar.get_x(), bar.get_x() + bar.get_width()) for bar in bars)
        assert all(right <= left for (_, right), (left, _) in pairwise(edges))
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == [*METHODS, *(["ours, counted"] if counts else []), "read", "written"]


def test_counted():
    """Weight by weight, of a training whose order goes on into the next epoch."""
    layers = [{"neurons": 5, "lanes": 2}, {"neurons": 4, "lanes": 3, "rule": "scfb"}]
    table = {"inputs": 7, "classes": 3, "epochs": 2, "layer": layers}
    network, random = spec.parse(table, "x.toml"), np.random.default_rng(1)
    x, labels = random.integers(0, 3, (8, 7), np.uint8) * 100, random.integers(0, 3, 8)
    golden, reads, writes = IntegerNetwork(network), 0, 0
    for epoch, k in [*((0, k) for k in order(1, 0, 8)), *((1, k) for k in order(1, 1, 8)[:3])]:
        steps = golden.train(x[k : k + 1], labels[k : k + 1], epoch)
        for layer, values, step in zip(network.layers, (x[k], steps[0].y[0]), steps, strict=True):
            entries = sum(value != 0 for value in values.tolist()) + 1
            for first in range(0, layer.neurons, layer.lanes):
                group = step.g[0, first : first + layer.lanes]
                reads += entries * len(group)
                if group.any():
                    reads += entries * len(group)
                    writes += entries * len(group)
    data = Data(x, labels, x[:1], labels[:1])
    assert counted(network, data, 11) == Counted(11, Traffic(reads, writes, reads))
    assert counted(network, data, 99).samples == 16


def test_files(tmp_path):
    for exhibit in (table1(), figure6()):
        exhibit.write(tmp_path)
        assert json.loads((tmp_path / f"{exhibit.name}.json").read_text())["counts"]
    assert {path.name for path in tmp_path.iterdir()} == {
        *("table1.json", "table1.md"),
        *("figure6.json", "figure6.md", "figure6.svg", "figure6.png"),
    }


DESCRIPTION = """\
inputs = {}
classes = {}
name = "my"
{}
[[layer]]
neurons = 5
"""


def test_command_counts_a_description(tmp_path, capsys):
    config = tmp_path / "my.toml"
    config.write_text(DESCRIPTION.format(4, 3, ""))
    command = ["paper", "table1", "--config", str(config), "--out", str(tmp_path), "--count", "0"]
    assert cli.main(command) == 0
    # Five neurons of four weights and a bias, for 100 samples one by one.
    shown = "| my | ours, dense | 5,000 | 2,500 | 5,000 |"
    assert shown in capsys.readouterr().out
    assert shown in (tmp_path / "table1.md").read_text()

    assert cli.main([*command, "--config", "nowhere"]) == 2
    assert "there is no description 'nowhere'" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["table1", "figure6"])
def test_command_counts_a_training(tmp_path, capsys, monkeypatch, name):
    config = tmp_path / "my.toml"
    config.write_text(DESCRIPTION.format(64, 10, 'data = "digits"'))
    monkeypatch.setattr(paper, "WIDE", str(config))
    command = ["paper", name, "--config", str(config), "--out", str(tmp_path), "--count", "20"]
    assert cli.main(command) == 0
    made = json.loads((tmp_path / f"{name}.json").read_text())
    assert made["counted"]["MNIST"] == made["counted"]["my"]
    assert made["counted"]["my"]["samples"] == 20
    assert 0 < made["counted"]["my"]["writes"] < 20 * 65 * 5
    assert ("| my | 20 | " in capsys.readouterr().out) == (name == "table1")


def test_command_without_the_data(tmp_path, capsys, monkeypatch):
    config = tmp_path / "my.toml"
    config.write_text(DESCRIPTION.format(64, 10, 'data = "nowhere.npz"'))
    monkeypatch.setattr(paper, "WIDE", str(config))
    assert cli.main(["paper", "table1", "--out", str(tmp_path)]) == 2
    assert "; or give --count 0\n" in capsys.readouterr().err
