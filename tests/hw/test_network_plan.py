# SPDX-License-Identifier: BSD-2-Clause
"""What is refused: by everything that is made of a network, at once, with the mend."""

import re
import time

import pytest

from boards.ulx3s import ULX3STop
from golden.errors import InputError
from golden.spec import parse
from hw.estimate import BOARDS, estimate
from hw.fit import fit
from hw.network import Network
from hw.network_plan import NetworkPlan
from hw.plan import PlanError

#: What is made of a description.
MADE = {
    "network": lambda spec: Network(spec=spec),
    "plan": NetworkPlan,
    "estimate": estimate,
    "board": lambda spec: ULX3STop(spec, frequency=50_000_000, baud=1_000_000),
}
#: What the golden model alone does: keys of the network, keys of its upper layer, the message.
GOLDEN_ONLY = {
    "batch": (
        {"batch": 8}, {},
        "batch: the hardware trains on one sample at a time, not on 8; set batch = 1",
    ),
}  # fmt: skip
#: What is too large: keys of the network, keys of the layer, the message.
TOO_LARGE = {
    "lanes and classes": (
        {"classes": 1024}, {"neurons": 1024, "lanes": 1024},
        "layer 0: lanes, classes or mb: the network has 131,072 bits of classifier weights a "
        "clock, 131,072 of them in this layer, and the hardware has at most 4,096; lower lanes, "
        "classes or mb",
    ),
    "memory": (
        {"inputs": 4095}, {"neurons": 2048},
        "layer 0: neurons, lanes or wb: the network has 100,663,296 bits of weight memory",
    ),
    "multipliers of classifiers": (
        {
            "classes": 256,
            "layer": [{"neurons": 64, "lanes": 64, "rule": "tlc", "fe": 4, "v_lanes": 1024}] * 3,
        },
        {},
        "layer 0: v_lanes: the network has 3,072 multipliers of trained classifiers, 1,024 of them "
        "in this layer, and the hardware has at most 2,048; lower v_lanes",
    ),
    "lanes of all layers": (
        {"layer": [{"neurons": 9, "lanes": n} for n in (700, 800, 701)]}, {},
        "layer 1: lanes: the network has 2,201 lanes, 800 of them in this layer, and the hardware "
        "has at most 2,048; lower lanes",
    ),
}  # fmt: skip


def describe(network, layer, layers):
    below = [{"neurons": 3, "lanes": 8}] * (layers - 1)
    table = {"inputs": 4, "classes": 3, "layer": [*below, {"lanes": 8, **layer}]}
    return parse(table | network, "some.toml")


@pytest.mark.parametrize("case", GOLDEN_ONLY)
@pytest.mark.parametrize("made", MADE)
def test_what_only_the_golden_model_does(made, case):
    """It is refused by what is built, whoever builds it, in one line."""
    network, layer, message = GOLDEN_ONLY[case]
    spec = describe(network, {"neurons": 3, **layer}, 2)
    with pytest.raises(InputError, match="^some.toml: " + re.escape(message)) as caught:
        MADE[made](spec)
    assert isinstance(caught.value, PlanError)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("made", MADE)
def test_lanes_that_are_not_chosen(made):
    """Whoever makes hardware has them chosen first."""
    spec = parse({"inputs": 4, "classes": 3, "layer": [{"neurons": 3}]}, "some.toml")
    message = "^some.toml: layer 0: lanes: are not chosen; hw.fit chooses them, or give a number$"
    with pytest.raises(PlanError, match=message):
        MADE[made](spec)
    MADE[made](fit(spec).spec)


@pytest.mark.parametrize("case", TOO_LARGE)
@pytest.mark.parametrize("made", MADE)
def test_what_is_too_large(made, case):
    """It is refused before anything is made: in less than a second, with the number."""
    network, layer, message = TOO_LARGE[case]
    spec = describe(network, layer, 1)
    begin = time.process_time()
    with pytest.raises(PlanError, match="^some.toml: " + re.escape(message)):
        MADE[made](spec)
    assert time.process_time() - begin < 1


def test_large_networks_that_are_made():
    """The limits leave room for what a large device holds, and for the paper's networks."""
    for lanes, classes in ((1024, 10), (64, 100), (8, 1024)):
        NetworkPlan(describe({"classes": classes}, {"neurons": 1024, "lanes": lanes}, 1))
    wide = [{"neurons": 1000, "lanes": 8}] * 3
    NetworkPlan(parse({"inputs": 784, "classes": 10, "layer": wide}, "x.toml"))


def test_path_in_a_message():
    """A file's name may hold anything; the message is one line all the same."""
    layer = {"neurons": 3, "lanes": 8}
    table = {"name": "n", "inputs": 4, "classes": 3, "batch": 2, "layer": [layer]}
    with pytest.raises(PlanError, match=r"^'a\\nb\\x1b\.toml': batch: "):
        NetworkPlan(parse(table, "a\nb\x1b.toml"))


@pytest.mark.parametrize("make", [*MADE.values(), fit], ids=[*MADE, "fit"])
def test_convolution_is_for_the_golden_model(make):
    layer = {"kind": "conv", "maps": 2, "kernel": 3, "pool": 2}
    table = {"name": "n", "shape": [1, 4, 4], "classes": 3, "layer": [layer, {"neurons": 3}]}
    message = (
        "x.toml: layer 0: kind: conv layers are golden only, for no hardware computes them yet;"
    )
    with pytest.raises(PlanError, match=f"^{message} train with python -m golden$"):
        make(parse(table, "x.toml"))


@pytest.mark.parametrize("make", [*MADE.values(), fit], ids=[*MADE, "fit"])
def test_centred_inputs_are_for_the_golden_model(make):
    message = (
        "some.toml: layer 1: centred: centred inputs are golden only, for no hardware computes "
        "them yet; train with python -m golden"
    )
    with pytest.raises(PlanError, match=f"^{message}$"):
        make(describe({}, {"neurons": 3, "centred": True}, 2))


@pytest.mark.parametrize(
    ("network", "layer", "message"),
    [
        ({"classes": 300}, {}, "classes: the link carries at most 256, not 300"),
        ({}, {"wb": 17}, "layer 1: wb: the link carries at most 16 bits, not 17"),
        ({"inputs": 40000}, {}, "inputs: the link carries at most 32,766 a layer, not 40,000"),
    ],
)
def test_link(network, layer, message):
    """The estimate says of a board what the board's own top says."""
    spec = describe(network, {"neurons": 3, **layer}, 2)
    assert estimate(spec).lacking(BOARDS["ulx3s"]["85F"]).split("; ")[-1] == message
    with pytest.raises(PlanError, match=f"^{message}$"):
        ULX3STop(spec, frequency=50_000_000, baud=1_000_000)
