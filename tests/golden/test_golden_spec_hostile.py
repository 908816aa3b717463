# SPDX-License-Identifier: BSD-2-Clause
"""Descriptions that are anything but: always one line that names the file, and soon."""

import datetime
import math
import time

import pytest

from golden.conv_spec import CONV_KEYS
from golden.layer_spec import LAYER_KEYS
from golden.spec import CONFIGS, SpecError, find, load, parse

TINY = {"inputs": 4, "classes": 10, "layer": [{"neurons": 2}]}
TEXT = 'inputs = 4\nclasses = 10\n[[layer]]\nneurons = 2\n'  # fmt: skip
#: Nothing of this is a whole number, a truth value, a name or a table.
WRONG = {
    "nan": math.nan,
    "inf": -math.inf,
    "a float": 1e308,
    "a date": datetime.date(2020, 1, 1),
    "a time": datetime.time(1, 2),
    "a list": [[1], 2],
    "a table": {"a": {"b": 1}},
    "a long text": "x" * 100_000,
    "lines and escape codes": "a\nb\x1b[31m\x07",
    "a large number": 10**40,
    "more digits than Python writes": 1 << 40_000,
    "a large negative number": -(1 << 40_000),
}


def line_of(error):
    text = str(error.value)
    assert text.isprintable()
    assert len(text) < 1000
    return text


@pytest.mark.parametrize("value", WRONG.values(), ids=WRONG)
@pytest.mark.parametrize(
    "key", ["inputs", "classes", "seed", "batch", "epochs", "lr_step", "name", "shape"]
)
def test_wrong_values(key, value):
    with pytest.raises(SpecError) as error:
        parse(TINY | {key: value}, "t.toml")
    assert line_of(error).startswith(f"t.toml: {key}: must be ")


@pytest.mark.parametrize("value", WRONG.values(), ids=WRONG)
@pytest.mark.parametrize("key", sorted({*LAYER_KEYS} - {*CONV_KEYS, "gs"}))
def test_wrong_values_in_a_layer(key, value):
    with pytest.raises(SpecError) as error:
        parse(TINY | {"layer": [{"neurons": 2, "rule": "tlc", key: value}]}, "t.toml")
    assert line_of(error).startswith(f"t.toml: layer 0: {key}: must be ")


@pytest.mark.parametrize("value", WRONG.values(), ids=WRONG)
@pytest.mark.parametrize("key", [*CONV_KEYS, "kind", "gs"])
def test_wrong_values_in_a_layer_of_convolutions(key, value):
    layer = {"kind": "conv", "maps": 2, "kernel": 1, key: value}
    with pytest.raises(SpecError) as error:
        parse(TINY | {"shape": [1, 2, 2], "layer": [layer]}, "t.toml")
    assert line_of(error).startswith(f"t.toml: layer 0: {key}: must be ")


@pytest.mark.parametrize("value", WRONG.values(), ids=WRONG)
def test_layers_that_are_none(value):
    for layers in (value, [value]):
        with pytest.raises(SpecError) as error:
            parse(TINY | {"layer": layers}, "t.toml")
        assert line_of(error).startswith("t.toml: layer")


@pytest.mark.parametrize("key", ["x" * 100_000, "a\nb", "\x1b[31m", "", "\u202e"])
def test_keys(key):
    with pytest.raises(SpecError) as error:
        parse(TINY | {key: 1}, "t.toml")
    assert "unknown key" in line_of(error)
    with pytest.raises(SpecError) as error:
        parse(TINY | {"layer": [{"neurons": 2, key: 1}]}, "t.toml")
    assert "unknown key" in line_of(error)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a = " + 2000 * b"[" + 2000 * b"]", "is not TOML that can be read: "),
        (b"a = " + 2000 * b"{b=" + b"1" + 2000 * b"}", "is not TOML that can be read: "),
        (b"inputs = " + 4301 * b"9", "is not TOML that can be read: "),
        (b"inputs = 0x" + 9999 * b"f", "inputs: must be from 1 to 65535, not a very large int"),
        (b"x = 3\nx = 4", "is not TOML that can be read: "),
        (b"\0", "is not TOML that can be read: "),
        (b"\xff\xfe\0", "is not a text in UTF-8"),
        (b"#" + (1 << 22) * b"x", "is larger than 4194304 bytes"),
        (b"", "data: is missing"),
        (b"[[layer]]\nneurons = 2020-01-01\n" + b"", "data: is missing"),
    ],
)  # fmt: skip
def test_files(tmp_path, content, message):
    path = tmp_path / "t.toml"
    path.write_bytes(content)
    with pytest.raises(SpecError) as error:
        load(path)
    assert line_of(error).startswith(f"{path}: {message}")


def test_a_byte_order_mark_and_ends_of_lines(tmp_path):
    path = tmp_path / "t.toml"
    path.write_bytes(b"\xef\xbb\xbf" + TEXT.replace("\n", "\r\n").encode())
    assert load(path).layers[0].neurons == 2


def test_names_of_files_with_control_characters(tmp_path):
    path = tmp_path / "a\n\x1b[31mb.toml"
    path.write_text("x = 3")
    with pytest.raises(SpecError) as error:
        load(path)
    assert r"a\n\x1b[31mb.toml" in line_of(error)
    path.write_text("= 3")
    with pytest.raises(SpecError, match="is not TOML"):
        load(path)
    with pytest.raises(SpecError) as error:
        load(path.with_name("\n.toml"))
    line_of(error)


@pytest.mark.parametrize(
    "config",
    ["", ".", "..", "/", ".toml", "studies/formats", "../configs/digits", "folder.toml", "a\nb",
     "a\0b", "a\0b.toml", "x" * 10_000, "x" * 10_000 + ".toml", "-", "digits.TOML"],
)  # fmt: skip
def test_no_such_description(config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.toml").mkdir()
    with pytest.raises(SpecError) as error:
        find(config)
    assert line_of(error).startswith("there is no description '")
    assert "give the path of a .toml file, or one of breast-cancer, cifar10, " in str(error.value)
    assert find("digits") == CONFIGS / "digits.toml"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"layer": 100_000 * [{"neurons": 2}]},
            "t.toml: layer: at most 64 layers, not 100000; remove some",
        ),
        (
            {"layer": 2 * [{"neurons": 65535}]},
            "t.toml: layer 1: neurons: up to here the network has 4296540135 weights, its "
            "classifiers' included, over the limit of 67108864; lower neurons, inputs or classes",
        ),
        ({"inputs": 65535, "layer": [{"neurons": 1024}]}, "layer 0: neurons: up to here the net"),
        ({"classes": 1024, "layer": [{"neurons": 65535}]}, "layer 0: neurons: up to here the net"),
        ({"layer": 64 * [{"neurons": 1200}]}, "layer 47: neurons: up to here the network has"),
        (
            {"batch": 65536, "layer": [{"neurons": 1025, "mb": 1}]},
            "layer 0: neurons: a batch has 67174400 inputs, activations or errors, over the limit "
            "of 67108864; lower batch, neurons, inputs or classes",
        ),
    ],
)
def test_too_large_as_a_whole(change, message):
    begin = time.process_time()
    with pytest.raises(SpecError) as error:
        parse(TINY | change, "t.toml")
    assert time.process_time() - begin < 1
    assert message in line_of(error)


def test_the_largest_that_is_allowed():
    layers = [{"neurons": 1023}, {"neurons": 10}]
    assert len(parse(TINY | {"inputs": 65000, "layer": layers}, "t").layers) == 2
    assert len(parse(TINY | {"layer": 64 * [{"neurons": 2}]}, "t").layers) == 64
