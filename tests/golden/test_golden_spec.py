# SPDX-License-Identifier: BSD-2-Clause
"""The network description: defaults, check values and every message."""

from pathlib import Path

import pytest

from golden.spec import SpecError, load, parse, splitmix64

CONFIGS = Path(__file__).parents[2] / "configs"
TINY = {"inputs": 4, "classes": 10, "seed": 1, "layer": [{"neurons": 2, "lanes": 1}]}


def test_splitmix64():
    assert splitmix64(1024) == 0x4426ACBA529F17CC
    assert splitmix64(1025) == 0x98FD4A3EBA5761F5


def test_defaults():
    (layer,) = parse(TINY, "tiny").layers
    assert (layer.ms, layer.init_bits, layer.fx, layer.one, layer.columns) == (2, 11, 8, 128, 5)
    assert layer.seeds[:2] == (0x4426ACBA529F17CC, 0x98FD4A3EBA5761F5)


@pytest.mark.parametrize("name", ["digits", "mnist", "mnist-wide"])
def test_shipped(name):
    spec = load(CONFIGS / f"{name}.toml")
    assert spec.name == name
    assert [a.neurons for a in spec.layers[:-1]] == [b.inputs for b in spec.layers[1:]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"clases": 10}, "t.toml: clases: unknown key; did you mean 'classes'?"),
        ({"classes": 1}, "t.toml: classes: must be from 2 to 1024, not 1"),
        ({"classes": "ten"}, "t.toml: classes: must be a whole number, not 'ten'"),
        ({"data": "cifar"}, "t.toml: data: must be one of digits, mnist, not 'cifar'"),
        ({"data": "mnist"}, "t.toml: inputs: must be 784 for mnist, not 4"),
        ({"data": "digits", "inputs": 64, "classes": 9}, "must be 10 for digits, not 9"),
        ({"name": 3}, "t.toml: name: must be a text, not 3"),
        ({"layer": []}, "t.toml: layer: is missing"),
        ({"layer": [3]}, "t.toml: layer: must be tables"),
        ({"layer": [{}]}, "t.toml: layer 0: neurons: is missing"),
        ({"layer": [{"neurons": 2, "rule": "hebb"}]}, "layer 0: rule: must be one of sym"),
        ({"layer": [{"neurons": 2, "lanes": 0}]}, "layer 0: lanes: must be from 1 to 1024, not 0"),
        ({"layer": [{"neurons": 2, "wb": 4, "init_bits": 4}]}, "init_bits: must be at most"),
        ({"layer": [{"neurons": 2}, {"neurons": 2, "fx": 5}]}, "layer 1: fx: must be 4"),
        ({"layer": [{"neurons": 2, "fx": 0, "fw": 2}]}, "layer 0: fy: must be at most"),
    ],
)
def test_messages(change, message):
    with pytest.raises(SpecError) as error:
        parse(TINY | change, "t.toml")
    assert message in str(error.value)


def test_files(tmp_path):
    with pytest.raises(SpecError, match="cannot be read"):
        load(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("= 3")
    with pytest.raises(SpecError, match="is not TOML"):
        load(tmp_path / "bad.toml")
