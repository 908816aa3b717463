# SPDX-License-Identifier: BSD-2-Clause
"""The network description: defaults, check values and every message."""

import math
from pathlib import Path

import pytest

from golden.layer_spec import splitmix64
from golden.spec import CONFIGS, SpecError, find, load, parse

TINY = {"inputs": 4, "classes": 10, "seed": 1, "layer": [{"neurons": 2, "lanes": 1}]}


def test_splitmix64():
    assert splitmix64(1024) == 0x4426ACBA529F17CC
    assert splitmix64(1025) == 0x98FD4A3EBA5761F5


def test_defaults():
    (layer,) = parse(TINY, "tiny").layers
    assert (layer.ms, layer.init_bits, layer.fx, layer.one, layer.columns) == (2, 9, 8, 128, 5)
    assert layer.seeds[:2] == (0x4426ACBA529F17CC, 0x98FD4A3EBA5761F5)


@pytest.mark.parametrize(
    ("inputs", "wb", "fw"),
    [
        (4, 12, 9), (6, 12, 10), (7, 12, 10), (24, 12, 11), (25, 12, 11), (64, 12, 11),
        (96, 12, 12), (784, 12, 12), (65535, 18, 12), (784, 8, 9), (64, 8, 7), (4, 4, 1),
        (1, 2, 1),
    ],
)  # fmt: skip
def test_range_of_the_weights(inputs, wb, fw):
    table = TINY | {"inputs": inputs, "layer": [{"neurons": 2, "wb": wb, "fy": 0}]}
    (layer,) = parse(table, "tiny").layers
    assert layer.fw == fw
    if fw > 1:
        assert 2 ** (wb - 1 - fw) >= 2 * (6 / inputs) ** 0.5


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
        ({"data": "mnist"}, "t.toml: inputs: must be 784 for mnist, not 4"),
        ({"data": "digits", "inputs": 64, "classes": 9}, "must be 10 for digits, not 9"),
        ({"classes": True}, "t.toml: classes: must be a whole number, not True"),
        ({"classes": 1025}, "t.toml: classes: must be from 2 to 1024, not 1025"),
        ({"inputs": 0}, "t.toml: inputs: must be from 1 to 65535, not 0"),
        ({"seed": -1}, "t.toml: seed: must be from 0 to 9007199254740992, not -1"),
        ({"batch": 0}, "t.toml: batch: must be from 1 to 65536, not 0"),
        ({"epochs": 1.0}, "t.toml: epochs: must be a whole number, not 1.0"),
        ({"lr_step": 0}, "t.toml: lr_step: must be from 1 to 100000, not 0"),
        (
            {"epochs": 20, "lr_step": 1},
            "t.toml: lr_step: lr would grow to 25, over 24; raise lr_step or lower epochs",
        ),
        ({"name": 3}, "t.toml: name: must be at most 64 letters, digits, '-', '_' and '.', begin"),
        ({"name": 65 * "a"}, "with a letter or digit, not 'aaa"),
        ({"name": ""}, "with a letter or digit, not ''"),
        ({"name": "../up"}, "with a letter or digit, not '../up'"),
        ({"name": "a/b"}, "with a letter or digit, not 'a/b'"),
        ({"name": "-o"}, "with a letter or digit, not '-o'"),
        ({"name": "a\n"}, "with a letter or digit, not 'a\\n'"),
        ({"layer": {"neurons": 2}}, "t.toml: layer: is missing; give one [[layer]] table"),
        ({"zzz": 1}, "t.toml: zzz: unknown key; known: name, data, label, test, scale,"),
        ({"layer": []}, "t.toml: layer: is missing"),
        ({"layer": [3]}, "t.toml: layer: must be tables"),
        ({"layer": [{}]}, "t.toml: layer 0: neurons: is missing"),
        ({"layer": [{"neurons": 3.5}]}, "layer 0: neurons: must be a whole number, not 3.5"),
        ({"layer": [{"neurons": 0}]}, "layer 0: neurons: must be from 1 to 65535, not 0"),
        ({"layer": [{"neurons": 2, "lane": 2}]}, "layer 0: lane: unknown key; did you mean 'lan"),
        ({"layer": [{"neurons": 2}, {"neurons": 2, "lanes": 1025}]}, "layer 1: lanes: must be fro"),
        ({"layer": [{"neurons": 2, "wb": 19}]}, "layer 0: wb: must be from 2 to 18, not 19"),
        ({"layer": [{"neurons": 2, "fy": 2, "ms": -3}]}, "layer 0: ms: must be at least -fy = -2"),
        (
            {"classes": 1024, "layer": [{"neurons": 2, "mb": 8, "fe": 16, "fy": 8, "ms": -8}]},
            "layer 0: fe: the accumulator of the update would need 51 bits, over the limit of 48; "
            "lower fe or the batch",
        ),
        (
            {"classes": 1024, "batch": 65536, "layer": [{"neurons": 2, "fe": 15, "ms": 0}]},
            "layer 0: fe: the accumulator of the update would need 52 bits",
        ),
        ({"layer": [{"neurons": 2, "rule": ["sym"]}]}, "layer 0: rule: must be one of sym"),
        ({"layer": [{"neurons": 2, "rule": "hebb"}]}, "layer 0: rule: must be one of sym"),
        (
            {"layer": [{"neurons": 2, "rule": "tlc", "mb": 1, "ms": -3, "fy": 0}]},
            "layer 0: ms: must be from -2 to 12 for mb = 1 in tlc, not -3",
        ),
        (
            {"layer": [{"neurons": 2, "init": "normal"}]},
            "layer 0: init: must be one of uniform, gauss, not 'normal'",
        ),
        (
            # Seven odd numbers of 8 bits have a sum of 11 bits.
            {"layer": [{"neurons": 2, "rule": "tlc", "init": "gauss", "mb": 8, "ms": 7}]},
            "layer 0: ms: must be from 8 to 12 for mb = 8 in tlc, not 7",
        ),
        ({"layer": [{"neurons": 2, "loss": "l2"}]}, "loss: must be one of hinge, ce, not 'l2'"),
        (
            {"layer": [{"neurons": 2, "loss": "ce", "fe": 9}]},
            'layer 0: fe: must be 8 for loss = "ce", not 9; remove it',
        ),
        ({"layer": [{"neurons": 2, "sr": 1, "wb": 8}]}, "sr: must be true or false, not 1"),
        (
            {"layer": [{"neurons": 2, "margin": "1"}, {"neurons": 2}]},
            "layer 0: margin: must be a number, not '1'",
        ),
        (
            {"layer": [{"neurons": 2, "margin": True}, {"neurons": 2}]},
            "layer 0: margin: must be a number, not True",
        ),
        (
            {"layer": [{"neurons": 2, "margin": -1}, {"neurons": 2}]},
            "layer 0: margin: must be from 0 to 1,000,000, not -1",
        ),
        (
            {"layer": [{"neurons": 2, "margin": math.nan}, {"neurons": 2}]},
            "layer 0: margin: must be from 0 to 1,000,000, not nan",
        ),
        (
            {"layer": [{"neurons": 2}, {"neurons": 2, "margin": 1}]},
            "layer 1: margin: from the last layer all samples leave; remove it, or add a layer",
        ),
        ({"layer": [{"neurons": 2, "health": 1}]}, "layer 0: health: must be true or false, not 1"),
        ({"layer": [{"neurons": 2, "sr": True}]}, "sr: is for weights of at most 10 bits, not 12"),
        ({"layer": [{"neurons": 2, "dropout": 8}]}, "layer 0: dropout: must be from 0 to 7, not 8"),
        ({"layer": [{"neurons": 2, "yb": 9}]}, "layer 0: yb: must be from 1 to 8, not 9"),
        ({"layer": [{"neurons": 2, "lrv": 8}]}, "lrv: is for rule = \"tlc\" only, not 'sym'"),
        (
            {"layer": [{"neurons": 2, "rule": "tlc", "mb": 8, "ms": 4}]},
            "layer 0: ms: must be from 5 to 12 for mb = 8 in tlc, not 4",
        ),
        ({"layer": [{"neurons": 2, "lanes": 0}]}, "layer 0: lanes: must be from 1 to 1024, not 0"),
        (
            {"layer": [{"neurons": 2, "lanes": "all"}]},
            "layer 0: lanes: must be a whole number or \"auto\", not 'all'",
        ),
        ({"layer": [{"neurons": 2, "lanes": 2.0}]}, "lanes: must be a whole number, not 2.0"),
        ({"board": 3}, "t.toml: board: must be a text, not 3"),
        ({"size": ""}, "t.toml: size: must be a text, not ''"),
        ({"layer": [{"neurons": 2, "wb": 4, "init_bits": 4}]}, "init_bits: must be at most"),
        ({"layer": [{"neurons": 2}, {"neurons": 2, "fx": 5}]}, "layer 1: fx: must be 4"),
        ({"layer": [{"neurons": 2, "fx": 0, "fw": 2}]}, "layer 0: fy: must be at most"),
    ],
)
def test_messages(change, message):
    with pytest.raises(SpecError) as error:
        parse(TINY | change, "t.toml")
    assert message in str(error.value)


def test_data_or_inputs_must_be_there():
    with pytest.raises(SpecError, match=r"t: data: is missing; give one of digits, mnist, "):
        parse({"classes": 10, "layer": [{"neurons": 2}]}, "t")


def test_the_accumulator_limit_is_a_guard(monkeypatch):
    # The ranges of the keys keep z, s and g below it.
    for limit, layer, message in (
        (20, {"neurons": 2}, "wb: the accumulator of z would need 23 bits, over the limit of 20; "),
        (23, {"neurons": 9999}, "mb: the accumulator of s would need 24 bits, over"),
        (24, {"neurons": 2, "fe": 16, "mb": 8}, "fe: the accumulator of g would need 29 bits"),
    ):
        monkeypatch.setattr("golden.layer_spec.ACCUMULATOR_LIMIT", limit)
        with pytest.raises(SpecError) as error:
            parse(TINY | {"layer": [layer]}, "t.toml")
        assert message in str(error.value)


def test_lanes():
    """They are a number, also above that of the neurons, or left to the hardware's generator."""
    layers = [{"neurons": 2, "lanes": 5}, {"neurons": 2, "lanes": "auto"}, {"neurons": 2}]
    network = parse(TINY | {"layer": layers}, "t")
    assert [layer.lanes for layer in network.layers] == [5, None, None]


def test_what_a_description_is_for():
    """Two texts: which boards there are is known elsewhere."""
    network = parse(TINY, "t")
    assert (network.board, network.size) == ("ulx3s", "85F")
    network = parse(TINY | {"board": "mine", "size": "large"}, "t")
    assert (network.board, network.size) == ("mine", "large")


def test_largest_magnitudes_hold():
    # Odd integers of mb bits, errors of fe bits, weights and pixels, all at their limits.
    (layer,) = parse(TINY | {"layer": [{"neurons": 3, "ms": 3}]}, "t").layers
    assert layer.z_bound == 2048 * (4 * 255 + 128)
    assert layer.s_bound == 3 * 3 * 255
    assert layer.feedback_bound == 10 * 3 * 255
    assert layer.g_bound == (10 * 3 * 255 + 4) >> 3
    assert layer.update_bound(7) == 7 * 255 * layer.g_bound
    assert layer.update_shift(9) == 8 + 8 - 9 + 9


def test_largest_magnitudes_of_a_classifier_that_is_trained():
    (layer,) = parse(TINY | {"layer": [{"neurons": 3, "rule": "tlc", "yb": 6}]}, "t").layers
    assert (layer.scale, layer.ms) == (12, 3)
    assert layer.s_bound == 3 * 32768 * 63
    assert layer.feedback_bound == 10 * 32768 * 255
    assert layer.g_bound == (10 * 32768 * 255 + 2048) >> 12
    assert layer.classifier_update_bound(7) == 7 * 255 * 63
    assert layer.classifier_shift == 8 + 4 - 12 + 9


def test_find(tmp_path, monkeypatch):
    assert find("digits") == CONFIGS / "digits.toml"
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my.toml").write_text("")
    assert find("my.toml") == Path("my.toml")
    for config in ("my", "none.toml"):
        message = (
            rf"no description '{config}'.* one of breast-cancer, cifar10, cifar10-small, digits, "
        )
        with pytest.raises(SpecError, match=message):
            find(config)


def test_overrides():
    assert load(CONFIGS / "digits.toml", epochs=3, seed=9).epochs == 3
    with pytest.raises(SpecError, match=r"digits\.toml: epochs: must be from 1"):
        load(CONFIGS / "digits.toml", epochs=0)


def test_files(tmp_path):
    with pytest.raises(SpecError, match="cannot be read"):
        load(tmp_path / "none.toml")
    with pytest.raises(SpecError, match=r"cannot be read: Is a directory; give a \.toml file"):
        load(tmp_path)
    (tmp_path / "bad.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(SpecError, match="is not a text in UTF-8"):
        load(tmp_path / "bad.toml")
    (tmp_path / "bad.toml").write_text("= 3")
    with pytest.raises(SpecError, match="is not TOML"):
        load(tmp_path / "bad.toml")
