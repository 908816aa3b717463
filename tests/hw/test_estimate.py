# SPDX-License-Identifier: BSD-2-Clause
"""The estimate against the counters of the hardware; what it says of boards."""

import pytest

from hw.estimate import BOARDS, Resources, estimate
from sim.measure import use
from tests.sim.networks import describe, noise

NETWORKS = {
    "several groups": ({"neurons": 12, "lanes": 4}, 40, 10),
    "groups shorter than their local errors take": ({"neurons": 40, "lanes": 20}, 5, 3),
    "one group": ({"neurons": 13, "lanes": 16, "mb": 3}, 30, 4),
    "many classes": ({"neurons": 13, "lanes": 16, "mb": 1}, 30, 26),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_clocks_of_a_step(name):
    """They are exact where nothing outside keeps the layer waiting."""
    layer, inputs, classes = NETWORKS[name]
    spec = describe(layer, inputs=inputs, classes=classes)
    (counted,) = use(spec, *noise(spec, 15), skip=5)
    expected = estimate(spec)
    assert counted.clocks == expected.clocks == expected.layers[0].clocks
    assert counted.utilisation == pytest.approx(expected.utilisation)


def test_network_is_as_slow_as_its_slowest_layer():
    spec = describe({"neurons": 8, "lanes": 8}, {"neurons": 30, "lanes": 1}, inputs=9)
    expected = estimate(spec)
    assert expected.clocks == expected.layers[1].clocks > expected.layers[0].clocks
    weights = 8 * 10 + 30 * 9
    assert expected.utilisation == pytest.approx(weights / 9 / expected.clocks)


def test_multipliers_and_memory():
    """Two multipliers a lane; a bank of 12 x 1570 and three buffers of 784 bytes each."""
    spec = describe({"neurons": 128, "lanes": 64}, inputs=784)
    resources = estimate(spec).layers[0].resources
    assert (resources.dsp, resources.ebr) == (128, 64 * 2 + 3)


def test_lacking():
    expected = estimate(describe({"neurons": 128, "lanes": 64}, inputs=784))
    devices = BOARDS["ulx3s"]
    assert expected.lacking(devices["85F"]) == ""
    assert expected.lacking(devices["12F"]) == "128 DSP of 28, 133 EBR of 56"
    assert "LUT of 10" in expected.lacking(Resources(10, 10**6, 10**6, 10**6))
