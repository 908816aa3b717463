# SPDX-License-Identifier: BSD-2-Clause
"""The estimate against the counters of the hardware; what it says of boards."""

import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pytest
from amaranth.back import rtlil
from amaranth.hdl import Value

from boards.build import tool
from golden.spec import parse
from hw.cells import layer_cells, list_cells
from hw.clocks import DENSE, Density, step_clocks, typical
from hw.devices import BOARDS, Resources
from hw.engine.lane import Lane
from hw.estimate import estimate
from hw.layer import Layer
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
    ],
)
def test_cells(tmp_path, layer, inputs, width):
    """Multipliers and blocks are exact, LUTs and flip-flops less than a fifth off."""
    plan = LayerPlan(describe(layer, inputs=inputs, classes=5).layers[0], 2)
    expected = layer_cells(plan) + list_cells(width)
    used = synthesised(Layer(plan=plan, width=width, primitives=ECP5), tmp_path)
    assert (used.dsp, used.ebr) == (expected.dsp, expected.ebr)
    assert PLACED * used.lut == pytest.approx(expected.lut, rel=0.2)
    assert used.ff == pytest.approx(expected.ff, rel=0.2)


@pytest.mark.parametrize("layer", [0, 1])
def test_lane_is_small(tmp_path, layer):
    """A lane of mnist takes at most 100 LUTs and one multiplier; its weights lie in the bank."""
    widths = {"inputs": 784, "lr_step": 4, "epochs": 10}
    spec = describe({"neurons": 128, "lanes": 128}, {"neurons": 128, "lanes": 26}, **widths)
    used = synthesised(Lane(plan=NetworkPlan(spec).layers[layer], primitives=ECP5), tmp_path)
    assert used.lut <= 100
    assert (used.dsp, used.ebr) == (1, 0)


def synthesised(component, folder):
    """Count the cells that Yosys makes of a component whose monitor is left open."""
    ports = [
        Value.cast(value)
        for path, _member, value in component.signature.flatten(component)
        if "monitor" not in path
    ]
    text = rtlil.convert(component, ports=ports, name="top", emit_src=False)
    (folder / "top.il").write_text(text)
    script = "read_rtlil top.il; synth_ecp5 -no-rw-check -top top; tee -o cells stat"
    command = [tool("YOSYS"), "-q", "-p", script]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    if done.returncode and "ERROR" not in said and "Traceback" not in said:
        # As WebAssembly, ABC dies of a few netlists, whatever they come from.
        pytest.skip("the ABC of this Yosys ended without a reason: name another in YOSYS")
    assert done.returncode == 0, said
    cells = {}
    for line in (folder / "cells").read_text().splitlines():
        words = line.split()
        if len(words) == 2 and words[0].isdecimal():
            cells[words[1]] = int(words[0])
    return Resources(
        lut=cells["LUT4"] + 2 * cells["CCU2C"] + 4 * cells.get("TRELLIS_DPR16X4", 0),
        ff=cells["TRELLIS_FF"],
        dsp=cells["MULT18X18D"],
        ebr=cells.get("DP16KD", 0),
    )


def test_multipliers_and_memory():
    """A multiplier a lane; banks of three lanes 12 x 1570 each, and three lists of 785 entries."""
    spec = describe({"neurons": 128, "lanes": 64}, inputs=784)
    resources = estimate(spec).layers[0].resources
    assert (resources.dsp, resources.ebr) == (64, 91)


def test_lacking():
    expected = estimate(describe({"neurons": 128, "lanes": 64}, inputs=784))
    devices = BOARDS["ulx3s"]
    assert expected.lacking(devices["85F"]) == ""
    assert expected.lacking(devices["12F"]) == "64 DSP of 28, 93 EBR of 56"
    assert "LUT of 10" in expected.lacking(Resources(10, 10**6, 10**6, 10**6))
