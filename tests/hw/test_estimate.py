# SPDX-License-Identifier: BSD-2-Clause
"""The estimate against the counters of the hardware; what it says of boards."""

import tempfile
from pathlib import Path

import numpy as np
import pytest

from boards.build import BuildError
from boards.synthesis import synthesise
from golden.spec import parse
from hw.cells import layer_cells, list_cells
from hw.clocks import DENSE, Density, step_clocks, typical
from hw.devices import BOARDS, Resources
from hw.engine.lane import Lane
from hw.estimate import estimate
from hw.layer import Layer
from hw.local_error.random_weights import ClassifierWeights
from hw.network_plan import NetworkPlan
from hw.plan import LayerPlan
from hw.ports import COUNTERS
from hw.primitives import ECP5
from sim.rtl import Rtl
from tests.sim.networks import describe

#: LUTs of a layer as placed, for each as synthesised: see `hw.cells`.
PLACED = 1.1
#: Samples before the chain is full.
SKIPPED = 4
#: Keys of a layer, inputs, classes.
NETWORKS = {
    "several groups": ({"neurons": 64, "lanes": 13}, 40, 10),
    "groups shorter than their local errors take": ({"neurons": 40, "lanes": 20}, 5, 3),
    "groups shorter than their drain": ({"neurons": 60, "lanes": 16}, 6, 10),
    "one beat": ({"neurons": 40, "lanes": 17}, 12, 5),
    "one group, many classes": ({"neurons": 13, "lanes": 16, "mb": 1}, 30, 26),
    "cross-entropy, Gaussian": (
        {"neurons": 40, "lanes": 20, "loss": "ce", "init": "gauss"},
        *(30, 10),
    ),
    "stochastic rounding": ({"neurons": 64, "lanes": 13, "wb": 10, "sr": True}, 40, 10),
    "frozen": ({"neurons": 30, "lanes": 7, "rule": "frozen"}, 60, 10),
}


def count(spec, density, samples=30):
    """Train on random samples; give the differences of counters, and the activations."""
    random = np.random.default_rng(0)
    x = random.integers(1, 256, (samples, spec.inputs)).astype(np.uint8)
    x[random.random(x.shape) >= density] = 0
    labels = random.integers(0, spec.classes, samples)
    with tempfile.TemporaryDirectory() as folder, Rtl(spec, folder=Path(folder), quick=True) as rtl:
        parts = [layers[0] for layers in rtl.train(x, labels)]
    records = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    counted = {name: np.diff(records[f"counters.{name}"][SKIPPED:]) for name in COUNTERS}
    return counted, x[SKIPPED + 1 :], records["y"][SKIPPED + 1 :]


@pytest.mark.parametrize("name", NETWORKS)
def test_clocks_of_a_dense_step(name):
    """They are right where nothing outside keeps the layer waiting."""
    layer, inputs, classes = NETWORKS[name]
    spec = describe(layer, inputs=inputs, classes=classes)
    counted, _x, _y = count(spec, 1)
    dense = counted["groups_skipped"] == 0
    if spec.layers[0].rule != "frozen":
        dense &= counted["updates_skipped"] == 0
    assert dense.sum() > 10
    expected = estimate(spec)
    assert expected.clocks == expected.layers[0].clocks
    assert np.min(counted["cycles"][dense]) == pytest.approx(expected.clocks, rel=0.02)
    # Where the first local errors of a group are 0, clocks are lost until others come.
    assert np.mean(counted["cycles"][dense]) == pytest.approx(expected.clocks, rel=0.04)


@pytest.mark.parametrize(
    ("layer", "inputs", "share"),
    [
        ({"neurons": 60, "lanes": 26}, 100, 0.2),
        # Most groups are left out.
        ({"neurons": 30, "lanes": 1}, 20, 1),
        # A beat takes as many clocks as neurons are active.
        ({"neurons": 60, "lanes": 60, "rule": "tlc", "v_lanes": 10}, 40, 0.5),
    ],
)
def test_clocks_of_a_sparse_step(layer, inputs, share):
    """They are nearly right, for shares as they were counted."""
    spec = describe(layer, inputs=inputs, classes=10)
    counted, x, y = count(spec, share)
    updates = 1 - np.mean(counted["updates_skipped"])
    density = Density(np.mean(x != 0), np.mean(y != 0), updates)
    expected = estimate(spec, density)
    assert expected.typical == pytest.approx(np.mean(counted["cycles"]), rel=0.06)
    assert expected.typical < 0.9 * expected.clocks
    assert expected.density == density


def test_fewer_events_take_fewer_clocks():
    """What is 0 is left out: inputs, groups, whole updates."""
    plan = LayerPlan(describe({"neurons": 64, "lanes": 3}, inputs=50).layers[0])
    dense = step_clocks(plan, DENSE)
    sparser = [Density(0.5, 1, 1), Density(1, 0.2, 1), Density(1, 1, 0.5), Density(0, 0, 1)]
    assert all(step_clocks(plan, density) < dense for density in sparser)


def test_fields_are_drawn_for_no_group():
    """Where no neuron is active, a list goes past once more for stochastic rounding."""
    plans = [
        LayerPlan(describe({"neurons": 8, "wb": 8, "sr": sr}, inputs=50).layers[0])
        for sr in (False, True)
    ]
    silent, dense = ([step_clocks(plan, d) for plan in plans] for d in (Density(1, 0, 1), DENSE))
    assert silent[1] - silent[0] == plans[0].layer.columns
    assert dense[0] == dense[1]


def test_typical_density():
    """The inputs are those of the data; of other data nothing is known."""
    layer = [{"neurons": 3}]
    assert typical(parse({"data": "mnist", "layer": layer}, "x.toml")).inputs == 0.19
    assert typical(parse({"data": "wine", "layer": layer}, "x.toml")).inputs == 1
    assert typical(parse({"inputs": 4, "classes": 3, "layer": layer}, "x.toml")).inputs == 1
    assert str(typical(parse({"data": "digits", "layer": layer}, "x.toml"))) == (
        "51% of the inputs and 30% of the activations are not 0, 50% of the samples update"
    )


def test_network_is_as_slow_as_its_slowest_layer():
    spec = describe({"neurons": 8, "lanes": 8}, {"neurons": 30, "lanes": 1}, inputs=9)
    expected = estimate(spec)
    assert expected.clocks == expected.layers[1].clocks > expected.layers[0].clocks
    assert expected.typical == expected.layers[1].typical > expected.layers[0].typical
    products = 2 * (8 * 10 + 30 * 9)
    assert expected.utilisation == pytest.approx(products / 9 / expected.typical)


@pytest.mark.parametrize(
    ("layer", "inputs", "width"),
    [
        ({"neurons": 30, "lanes": 8}, 40, 8),
        ({"neurons": 17, "lanes": 17, "wb": 8, "mb": 1}, 20, 3),
        ({"neurons": 40, "lanes": 6, "wb": 16, "rule": "scfb"}, 200, 1),
        ({"neurons": 20, "lanes": 5, "loss": "ce", "dropout": 1, "yb": 6}, 20, 8),
        ({"neurons": 20, "lanes": 5, "init": "gauss", "mb": 3, "fe": 16, "ms": 3}, 20, 8),
        ({"neurons": 30, "lanes": 8, "wb": 8, "sr": True}, 40, 8),
        ({"neurons": 30, "lanes": 8, "rule": "tlc"}, 40, 8),
        ({"neurons": 30, "lanes": 8, "health": True}, 40, 8),
        ({"neurons": 90, "lanes": 40, "margin": 1.0}, 40, 8),
    ],
)
def test_cells(layer, inputs, width):
    """Multipliers and blocks are exact, LUTs and flip-flops less than a fifth off."""
    spec = describe(layer, {"neurons": 1}, inputs=inputs, classes=5)
    plan = LayerPlan(spec.layers[0], 2)
    expected = layer_cells(plan) + list_cells(width)
    used = synthesised(Layer(plan=plan, width=width, primitives=ECP5))
    assert (used.dsp, used.ebr) == (expected.dsp, expected.ebr)
    assert PLACED * used.lut == pytest.approx(expected.lut, rel=0.2)
    assert used.ff == pytest.approx(expected.ff, rel=0.2)


#: What Yosys 0.70 made of the layer below when there was nothing to choose but the rules sym, scfb,
#: random and frozen, `netlist(layer).gates` at commit 075d99c; and an AND and a NOT, by which
#: activations have since been kept waiting while the command before them has not left, and a
#: flip-flop, behind which the counters see that the output is blocked.
BEFORE = {
    "$_AND_": 957,
    "$_MUX_": 1325,
    "$_NOT_": 360,
    "$_OR_": 1147,
    "$_XOR_": 591,
    "CCU2C": 1148,
    "DP16KD": 7,
    "MULT18X18D": 8,
    "TRELLIS_DPR16X4": 44,
    "TRELLIS_FF": 4546,
}
#: `.cells` of it: what ABC leaves alone, and how many LUTs and carries it then chose at most, with
#: the gates in the order that they had and in five others, into which they were shuffled.
BEFORE_LEFT = ("DP16KD", "MULT18X18D", "TRELLIS_DPR16X4", "TRELLIS_FF")
BEFORE_LUT4, BEFORE_CCU2C = 2491, 1145


def test_cells_without_what_is_optional():
    """A layer that takes none of it has the gates that it had, one for one.

    The LUTs that ABC makes of them depend on their order too: there are no more than those orders
    come to.
    """
    spec = describe({"neurons": 64, "lanes": 8}, inputs=64, epochs=12, lr_step=4)
    network = NetworkPlan(spec)
    layer = Layer(plan=network.layers[0], width=network.widths[0], primitives=ECP5)
    made = netlist(layer)
    assert {name: n for name, n in made.gates.items() if name != "$scopeinfo"} == BEFORE
    assert all(made.cells[name] == BEFORE[name] for name in BEFORE_LEFT)
    assert made.cells["LUT4"] <= BEFORE_LUT4
    assert made.cells["CCU2C"] <= BEFORE_CCU2C


@pytest.mark.parametrize("layer", [0, 1])
def test_lane_is_small(layer):
    """A lane of mnist takes at most 100 LUTs and one multiplier; its weights lie in the bank."""
    widths = {"inputs": 784, "lr_step": 4, "epochs": 10}
    spec = describe({"neurons": 128, "lanes": 128}, {"neurons": 128, "lanes": 26}, **widths)
    used = synthesised(Lane(plan=NetworkPlan(spec).layers[layer], primitives=ECP5))
    assert used.lut <= 100
    assert (used.dsp, used.ebr) == (1, 0)


def test_array_is_small():
    """320 bits a clock: less than half of the flip-flops of an LFSR that leaps, no more LUTs."""
    size = {"seed": 1, "neurons": 16, "classes": 10, "width": 2}
    lfsr, array = (
        synthesised(ClassifierWeights(source=source, **size)) for source in ("lfsr", "array")
    )
    assert lfsr.ff == 320
    assert array.ff == 144
    assert array.lut <= lfsr.lut


def synthesised(component):
    """Count the cells that Yosys makes of a component, by what a device has."""
    return netlist(component).resources


def netlist(component):
    """Let Yosys make a netlist of a component; skip where it cannot."""
    try:
        return synthesise(component)
    except BuildError as error:
        if "without a reason" in str(error):
            # As WebAssembly, ABC dies of a few netlists, whatever they come from.
            pytest.skip("the ABC of this Yosys ended without a reason: name another in YOSYS")
        raise


def test_multipliers_and_memory():
    """A multiplier a lane; banks of three lanes 12 x 1570 each, and three lists of 785 entries."""
    spec = describe({"neurons": 128, "lanes": 64}, inputs=784)
    resources = estimate(spec).layers[0].resources
    assert (resources.dsp, resources.ebr) == (64, 91)


def test_trained_classifier():
    """It says what of the layer is its own: here four units of ten classes, and the samples."""
    shape = {"neurons": 128, "lanes": 128}
    trained, fixed = (
        estimate(describe({**shape, "rule": rule}, inputs=784)).layers[0] for rule in ("tlc", "sym")
    )
    assert fixed.classifier is None
    assert trained.classifier.multipliers == trained.resources.dsp - fixed.resources.dsp == 40
    assert trained.classifier.blocks == trained.resources.ebr - fixed.resources.ebr == 23
    assert trained.classifier.clocks - 61 == trained.clocks - fixed.clocks
    assert trained.classifier.typical < trained.classifier.clocks


def test_lacking():
    expected = estimate(describe({"neurons": 128, "lanes": 64}, inputs=784))
    devices = BOARDS["ulx3s"]
    assert expected.lacking(devices["85F"]) == ""
    assert expected.lacking(devices["12F"]) == "64 DSP of 28, 93 EBR of 56"
    assert "LUT of 10" in expected.lacking(Resources(10, 10**6, 10**6, 10**6))
