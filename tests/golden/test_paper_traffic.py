# SPDX-License-Identifier: BSD-2-Clause
"""The paper's counts: its printed totals, and small networks counted one by one."""

import json
from collections import Counter
from itertools import pairwise, product

import pytest

from golden import __main__ as cli
from golden import spec
from golden.paper.traffic import (
    METHODS,
    NETWORKS,
    SETTINGS,
    Conv,
    Full,
    Traffic,
    backpropagation,
    count,
    describe,
    figure6,
    in_hardware,
    local_errors,
    ours,
    table1,
    translate,
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
    """Pass once over all weights, the bias among them: update, write, use for the next sample."""
    machine = Machine()
    for i, (below, here) in enumerate(pairwise(sizes)):
        for _ in product(range(here), range(below + 1)):
            machine.read(1)
            if i not in frozen:
                machine.multiply(1)
                machine.write(1)
            machine.multiply(1)
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
    # A thousand biases a layer; each weight once per sample.
    assert count(ours, MNIST, batch=1, steps=100) == (278700000, 278700000, 557400000)
    assert count(ours, MNIST, batch=100) == (2787000, 2787000, 557400000)


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
    # Ours has a bias in every neuron, at every position.
    own = len(weights) + maps
    assert count(ours, network, batch=1) == (own, own, 2 * (ahead + len(neurons)))


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


def test_frozen_description():
    layers = [{"neurons": 5, "rule": "frozen"}, {"neurons": 4}]
    network = translate(spec.parse({"inputs": 7, "classes": 3, "layer": layers}, "x.toml"))
    assert network.layers == full((7, 5, 4), frozen=(0,)).layers
    assert [ours(layer, 1) for layer in network.layers] == [(40, 0, 40), (24, 24, 48)]


def test_trained_classifier_is_not_counted():
    layers = [{"neurons": 5, "rule": "tlc"}]
    with pytest.raises(
        spec.SpecError, match=r"^x\.toml: rule: tlc stores classifiers; they are not counted$"
    ):
        translate(spec.parse({"inputs": 7, "classes": 3, "layer": layers}, "x.toml"))


def rows(text):
    return [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("|")]


def test_table():
    exhibit = table1()
    shown = rows(exhibit.text)
    for words, (batch, steps) in SETTINGS.items():
        for network in NETWORKS:
            for name, method in METHODS.items():
                traffic = count(method, network, batch=batch, steps=steps)
                assert exhibit.data["counts"][words][network.name][name] == traffic._asdict()
                star = "*" if name == "ours" and (batch > 1 or network is not MNIST) else ""
                expected = [network.name, name + star, *(f"{n:,}" for n in traffic)]
                assert expected in [row[:5] for row in shown]
    assert ["MNIST", "2,784,000", "3,000", "30 < 1,500", "60,000 < 2,784,000"] in shown
    shares = ["47.5%", "90.4%", "66.7%"]
    assert ["MNIST", "ours*", "2,787,000", "2,787,000", "557,400,000", *shares] in shown
    assert "lack the\nfactor N_b" in exhibit.text
    assert "a step of the hardware is one sample" in exhibit.text


def test_figure():
    exhibit = figure6()
    (figure,) = exhibit.figures.values()
    assert [axes.get_title(loc="left") for axes in figure.axes] == [
        "One step of 100 samples",
        "100 steps of one sample",
    ]
    for axes, (batch, steps) in zip(figure.axes, SETTINGS.values(), strict=True):
        expected = [
            words / 1e6
            for network in NETWORKS
            for method in METHODS.values()
            for words in count(method, network, batch=batch, steps=steps)[:2]
        ]
        bars = [bar for drawn in axes.containers for bar in drawn]
        assert [bar.get_height() for bar in bars] == expected
        # Ours on MNIST, one sample a step, is in hardware.
        dashed = [bar.get_linestyle() in ("--", "dashed") for bar in bars]
        here = [True, True] if batch > 1 else [False, False]
        assert dashed == [False] * 4 + here + ([False] * 4 + [True] * 2) * 2


def test_files(tmp_path):
    for exhibit in (table1(), figure6()):
        exhibit.write(tmp_path)
        assert json.loads((tmp_path / f"{exhibit.name}.json").read_text())["counts"]
    assert {path.name for path in tmp_path.iterdir()} == {
        *("table1.json", "table1.md"),
        *("figure6.json", "figure6.md", "figure6.svg", "figure6.png"),
    }


def test_command_counts_a_description(tmp_path, capsys):
    config = tmp_path / "my.toml"
    config.write_text('inputs = 4\nclasses = 3\nname = "my"\n[[layer]]\nneurons = 5\n')
    command = ["paper", "table1", "--config", str(config), "--out", str(tmp_path)]
    assert cli.main(command) == 0
    # Five neurons of four weights and a bias, for 100 samples one by one.
    shown = "| my | ours | 2,500 | 2,500 | 5,000 |"
    assert shown in capsys.readouterr().out
    assert shown in (tmp_path / "table1.md").read_text()

    assert cli.main([*command, "--config", "nowhere"]) == 2
    assert "there is no description 'nowhere'" in capsys.readouterr().err
