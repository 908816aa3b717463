# SPDX-License-Identifier: BSD-2-Clause
"""The lanes that are chosen, against all that could be; what is said where nothing fits."""

import itertools
import math
import random
import time
from dataclasses import replace

import pytest

from golden.spec import CONFIGS, load, parse
from hw import devices
from hw.devices import BOARDS, Resources
from hw.estimate import estimate
from hw.fit import LUT_SHARE, SLACK, FitError, fit
from hw.plan import PlanError


def describe(*layers, **network):
    table = {"inputs": 20, "classes": 3, "name": "n", "layer": list(layers)}
    return parse(table | network, "some.toml")


def lanes(spec):
    return tuple(layer.lanes for layer in spec.layers)


def every(spec):
    """Give the descriptions with all numbers of lanes that there are."""
    counts = [
        [layer.lanes] if layer.lanes else range(1, layer.neurons + 1) for layer in spec.layers
    ]
    for chosen in itertools.product(*counts):
        layers = zip(spec.layers, chosen, strict=True)
        yield replace(spec, layers=tuple(replace(layer, lanes=count) for layer, count in layers))


@pytest.mark.parametrize("seed", range(12))
def test_all_lanes(seed, monkeypatch):
    """None that fit the device are faster, and none as fast take fewer LUTs."""
    rng = random.Random(seed)
    sizes = [rng.randint(1, 12) for _ in range(rng.randint(1, 3))]
    spec = describe(*({"neurons": size} for size in sizes), inputs=rng.randint(5, 300))
    if seed % 3 == 0:
        spec = replace(spec, layers=(replace(spec.layers[0], lanes=2), *spec.layers[1:]))
    needed = [estimate(other) for other in every(spec)]
    # As much as some combination takes of each, so that some fit and some do not.
    most = [rng.choice(needed).total for _ in range(4)]
    room = Resources(
        lut=math.ceil(most[0].lut / LUT_SHARE) + 1, ff=most[1].ff, dsp=most[2].dsp, ebr=most[3].ebr
    )
    monkeypatch.setitem(devices.BOARDS, "ulx3s", {"85F": room})
    limit = replace(room, lut=int(LUT_SHARE * room.lut))
    fitting = [each for each in needed if not each.total.over(limit)]
    if not fitting:
        with pytest.raises(FitError):
            fit(spec)
        return
    found = estimate(fit(spec).spec)
    assert not found.total.over(limit)
    least = min(each.typical for each in fitting)
    # Clocks are rounded where they are said.
    assert found.typical <= SLACK * least + 1
    fewest = min(each.total.lut for each in fitting if each.typical <= SLACK * least - 1)
    assert found.total.lut <= fewest + len(sizes)


def test_shipped():
    """What is known to be good from a model of real trainings, or as good."""
    found = {}
    for name, size in (("mnist", "85F"), ("mnist", "45F"), ("digits", "12F"), ("digits", "25F")):
        spec = fit(load(CONFIGS / f"{name}.toml", size=size)).spec
        found[name, size] = lanes(spec)
        assert estimate(spec).lacking(BOARDS["ulx3s"][size]) == ""
    assert found["mnist", "85F"] == (128, 26)
    assert found["mnist", "45F"] == (45, 12)
    assert found["digits", "12F"] == found["digits", "25F"]
    assert 24 <= sum(found["digits", "12F"]) <= 28


@pytest.mark.parametrize("name", ["digits", "breast-cancer"])
def test_shipped_for_a_12f(name):
    spec = load(CONFIGS / f"{name}.toml")
    assert spec.size == "12F"
    assert estimate(fit(spec).spec).lacking(BOARDS["ulx3s"]["12F"]) == ""


def test_density_decides():
    """Where layer 0 has many zeros, the layers above get more of the lanes."""
    spec = load(CONFIGS / "digits.toml")
    sparse, dense = (
        lanes(fit(spec, replace(estimate(fit(spec).spec).density, inputs=share)).spec)
        for share in (0.1, 1)
    )
    assert sparse[0] < dense[0]
    assert sparse[1] > dense[1]


def test_given_lanes_stay():
    """Those that are given are kept, also where all are; the others take what is left."""
    spec = describe({"neurons": 60, "lanes": 7}, {"neurons": 60}, size="12F")
    found = fit(spec)
    assert lanes(found.spec)[0] == 7
    assert found.limits[0] == "given"
    assert fit(found.spec).spec == found.spec
    assert fit(found.spec).limits == ("given", "given")
    assert fit(spec).spec == found.spec


def test_why_there_are_no_more():
    """A resource that is short, a slower layer, or nothing that more lanes would gain."""
    assert fit(load(CONFIGS / "mnist.toml")).limits == ("layer 1 is slower", "DSP")
    assert fit(load(CONFIGS / "mnist.toml", size="45F")).limits == ("DSP", "layer 0 is slower")
    alone = describe({"neurons": 8}, {"neurons": 8, "lanes": 1}, size="12F")
    assert fit(alone).limits == ("layer 1 is slower", "given")
    assert fit(describe({"neurons": 8})).limits == ("as fast as can be",)
    large = describe({"neurons": 200}, inputs=1200)
    assert fit(large).limits == ("DSP, EBR",)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            describe({"neurons": 128}, inputs=784, size="12F"),
            r"some.toml: lanes: no number of them makes the network fit ulx3s 12F: it takes at "
            r"least \d+ EBR of 56, \d+ too many; take size 45F or fewer neurons, inputs or layers",
        ),
        (
            describe({"neurons": 1000}, inputs=784),
            r"makes the network fit ulx3s 85F: it takes at least \d+ EBR of 208, \d+ too many; "
            r"take fewer neurons, inputs or layers",
        ),
        (
            describe({"neurons": 30, "lanes": 28}, {"neurons": 30}, size="12F"),
            r"at least 29 DSP of 28, 1 too many; take size 45F or fewer lanes where they are given "
            r"or fewer neurons, inputs or layers",
        ),
        (
            describe(*[{"neurons": 2}] * 40, size="25F"),
            r"at least [\d,]+ LUT of 20,644, [\d,]+ too many, [\d,]+ FF of 24,288, .*, 40 DSP of "
            r"28, 12 too many",
        ),
    ],
)
def test_nothing_fits(spec, message):
    """The error says what is short, by how much, and the mend."""
    with pytest.raises(FitError, match=message) as error:
        fit(spec)
    assert "\n" not in str(error.value)
    assert error.value.lacking in str(error.value)


@pytest.mark.parametrize(
    ("network", "message"),
    [
        ({"board": "x"}, "some.toml: board: must be one of ulx3s, not 'x'"),
        ({"size": "5F"}, "some.toml: size: must be one of 12F, 25F, 45F, 85F for ulx3s, not '5F'"),
        ({"size": "\x1b"}, "for ulx3s, not '\\x1b'"),
        ({"batch": 8}, "some.toml: batch: the hardware trains on one sample at a time, not on 8"),
    ],
)
def test_no_such_hardware(network, message):
    with pytest.raises(PlanError) as error:
        fit(describe({"neurons": 3}, **network))
    assert message in str(error.value)
    assert str(error.value).isprintable()


def test_many_layers(monkeypatch):
    """It takes little time, also on a device that holds them."""
    room = Resources(lut=300_000, ff=300_000, dsp=156, ebr=600)
    monkeypatch.setitem(devices.BOARDS, "ulx3s", {"85F": room})
    rng = random.Random(1)
    spec = describe(*({"neurons": rng.randint(5, 200)} for _ in range(64)))
    begin = time.process_time()
    found = fit(spec)
    assert time.process_time() - begin < 10
    assert estimate(found.spec).lacking(room) == ""
