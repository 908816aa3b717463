# SPDX-License-Identifier: BSD-2-Clause
"""What choices cost: the table, what it is made of, and what is said of wrong arguments."""

import json

import pytest

from golden.model import IntegerNetwork
from golden.spec import load
from golden.training import accuracy, epochs
from hw.cells import layer_cells
from hw.devices import Resources
from hw.network_plan import NetworkPlan
from sim import __main__ as cli
from sim import cost
from sim.cost import CHOICES, Choice, Cost, described, report, with_others

TINY = """\
data = "digits"
epochs = 1
seed = 5

[[layer]]
neurons = 6
lanes = "auto"
lr = 5

[[layer]]
neurons = 7
"""


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "tiny.toml"
    path.write_text(TINY)
    return str(path)


def test_choices_can_be_made():
    """Each of them is the description's network but for what it says, and is made of gates."""
    names = [choice.name for choice in CHOICES]
    assert len(set(names)) == len(names)
    for k, choice in enumerate(CHOICES):
        assert choice.beside in names[: k + 1]
        network = described("digits", choice)
        assert [layer.neurons for layer in network.layers] == [64, 64]
        for layer in network.layers[: 1 if choice.below else 2]:
            assert {key: getattr(layer, key) for key in choice.keys} == choice.keys
        alone = described("digits", choice, lanes=8)
        plan, *above = NetworkPlan(alone).layers
        assert len(above) == choice.below
        assert all(getattr(plan.layer, key) == value for key, value in choice.keys.items())
        assert (plan.layer.inputs, plan.layer.neurons, plan.lanes) == (64, 64, 8)
        assert plan.layer.wb == network.layers[0].wb


def test_choices_differ():
    layers = [described("digits", choice, lanes=8).layers[0] for choice in CHOICES]
    assert len(set(layers)) == len(layers)


def test_margin_of_a_network_of_one_layer(tmp_path):
    """Nothing leaves there; the layer that is made has one above it all the same."""
    path = tmp_path / "one.toml"
    path.write_text('data = "digits"\n[[layer]]\nneurons = 6\n')
    (choice,) = (choice for choice in CHOICES if choice.below)
    (layer,) = described(str(path), choice).layers
    below, above = described(str(path), choice, lanes=2).layers
    assert (layer.margin, below.margin, above.rule) == (None, 2, "frozen")


def test_seeds(config):
    assert described(config, CHOICES[0]).seed == 5
    assert described(config, CHOICES[0], seed=9).seed == 9


def test_what_is_compared_comes_along():
    assert with_others([]) == CHOICES
    assert [choice.name for choice in with_others(["sym"])] == ["sym"]
    assert [choice.name for choice in with_others(["wb 10, sr"])] == ["wb 10", "wb 10, sr"]


def test_report():
    first, second = Choice("sym"), Choice("b|c", {}, "sym")
    made = {
        first: Cost(4000, 300, 8, 7, 512.4, (0.5, 0.75)),
        second: Cost(5200, 290, 8, 9, 511.6, (0.75, 0.875)),
    }
    assert report(made).splitlines()[2:] == [
        "| sym | 4,000 | 300 | 8 | 7 | 512 | 62.50 | 50.00 | 75.00 |",
        "| b\\|c | 5,200 (+1,200) | 290 (-10) | 8 | 9 (+2) | 512 | 81.25 | 75.00 | 87.50 |",
    ]


def test_command(config, capsys):
    """One row, of a layer of two lanes, beside what it is compared with: itself."""
    command = ["cost", config, "--choice", "sym", "--lanes", "2", "--samples", "20"]
    assert cli.main([*command, "--seeds", "2", "--jobs", "1", "--json"]) == 0
    printed = capsys.readouterr()
    (row,) = json.loads(printed.out)
    assert (row["name"], row["keys"], row["beside"]) == ("sym", {}, "sym")
    alone = described(config, CHOICES[0], lanes=2)
    expected = layer_cells(NetworkPlan(alone).layers[0])
    used = Resources(*(row[key] for key in ("lut", "ff", "dsp", "ebr")))
    assert (used.dsp, used.ebr) == (expected.dsp, expected.ebr) == (2, used.ebr)
    assert 1000 < used.ff < used.lut * 2 < 10_000
    # Three groups, each past half of 64 inputs twice, at most all of them.
    assert 100 < row["clocks"] < 2 * 3 * 65 + 200
    shares = []
    for seed in 5, 6:
        network = IntegerNetwork(load(config, seed=seed))
        samples = cli.data_of(network.spec)
        for _, steps in epochs(network, samples):
            assert sum(steps) > 1000
        shares.append(accuracy(network, samples.test_x, samples.test_y)[-1])
    assert row["accuracy"] == shares


def test_a_table_goes_to_the_output(config, capsys, monkeypatch):
    """Nothing else does, so that it can be piped."""
    asked = []

    def costs(path, choices, **settings):
        asked.append((path, [choice.name for choice in choices], settings["lanes"]))
        settings["progress"](choices[0].name)
        return {choice: Cost(1, 2, 3, 4, 5, (0.5,)) for choice in choices}

    monkeypatch.setattr(cost, "costs", costs)
    assert cli.main(["cost", config, "--choice", "loss ce"]) == 0
    assert asked == [(config, ["sym", "loss ce"], 8)]
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("| choice | LUT | FF | DSP | EBR | clocks | accuracy, % |")
    assert lines[2:] == [
        f"| {name} | 1 | 2 | 3 | 4 | 5 | 50.00 | 50.00 | 50.00 |" for name in ("sym", "loss ce")
    ]


def complaint(capsys, *arguments):
    try:
        status = cli.main(["cost", *arguments])
    except SystemExit as exit:
        status = exit.code
    assert status == 2
    return capsys.readouterr().err


def test_unknown_choice(capsys, config):
    message = "error: --choice: there is no 'cross'; give one of sym; scfb; random; tlc; "
    assert message in complaint(capsys, config, "--choice", "cross")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (('"digits"', '"digits"\nbatch = 4'), "tiny.toml, sym: batch: the hardware trains on one"),
        (("lr = 5", "lrv = 5"), "tiny.toml: layer 0: lrv: is for rule = \"tlc\" only, not 'sym'"),
        (('"auto"', '"auto"\nfe = 6'), "tiny.toml, loss ce: layer 0: fe: must be 8 for loss"),
        (('data = "digits"', "inputs = 4\nclasses = 3"), "data: nothing to train on; name a data"),
    ],
)
def test_what_cannot_be_made(capsys, tmp_path, change, message):
    """It is refused before anything is made."""
    path = tmp_path / "tiny.toml"
    path.write_text(TINY.replace(*change))
    assert message in complaint(capsys, str(path))


def test_too_many_samples(capsys, config):
    message = "--samples: 1 epochs have 1437 samples, not 1438; lower it"
    assert message in complaint(capsys, config, "--samples", "1438")


def test_too_many_lanes(capsys, config):
    assert "lanes: must be from 1 to 1024, not 4000" in complaint(capsys, config, "--lanes", "4000")


def test_yosys_is_missing(capsys, config, monkeypatch):
    monkeypatch.setenv("YOSYS", "no-such-yosys")
    assert cli.main(["cost", config, "--choice", "sym"]) == 1
    assert "error: no-such-yosys is not installed: " in capsys.readouterr().err
