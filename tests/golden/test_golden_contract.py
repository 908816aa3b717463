# SPDX-License-Identifier: BSD-2-Clause
"""The page of the arithmetic: its check values hold, and what the code cites is there."""

import re
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch

from golden import lfsr, loss
from golden.layer_spec import splitmix64
from golden.model import IntegerNetwork
from golden.order import order, stride
from golden.spec import parse
from hw.parts.lfsr import bits

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "contract.md").read_text(encoding="utf-8")
VALUES = tomllib.loads("\n".join(re.findall(r"^```toml\n(.*?)^```$", PAGE, re.M | re.S)))
SECTIONS = re.findall(r"^## (.*)$", PAGE, re.M)
#: Where the code says (contract, "Section").
CITATION = re.compile(r'\bcontract,\s+"([^"]*)"', re.I)


def network(batch=1, **layer):
    described = {"inputs": 4, "classes": 10, "batch": batch, "layer": [{"neurons": 2} | layer]}
    return IntegerNetwork(parse(described, "check"))


@pytest.mark.parametrize("value", VALUES["splitmix64"])
def test_splitmix64(value):
    assert splitmix64(value["x"]) == value["is"]


def test_generator():
    seed, expected = VALUES["lfsr"]["seed"], [int(bit) for bit in VALUES["lfsr"]["bits"]]
    assert len(expected) == 68
    assert lfsr.Stream(seed).bits(68).tolist() == expected
    assert [bits(seed, 0, 68) >> k & 1 for k in range(68)] == expected


@pytest.mark.parametrize("value", VALUES["order"])
def test_order(value):
    of = value["seed"], value["epoch"], value["n"]
    assert stride(*of) == (value["start"], value["step"])
    assert order(*of)[: len(value["samples"])].tolist() == value["samples"]


@pytest.mark.parametrize("value", VALUES["default"])
def test_defaults(value):
    table = {"inputs": value["M"], "classes": value["C"]}
    keys = {key: value[key] for key in ("wb", "mb", "init") if key in value}
    (layer,) = parse(table | {"layer": [{"neurons": value["N"]} | keys]}, "check").layers
    for key in value.keys() & {"fw", "ms", "init_bits", "terms"}:
        assert getattr(layer, key) == value[key]


@pytest.mark.parametrize("value", VALUES["training"], ids=lambda value: str(value["layer"]))
def test_training(value):
    net = network(**value["layer"])
    (layer,) = net.layers
    if "start" in value:
        assert layer.W.tolist() == value["start"]
    for key in value.keys() & {"Mc", "K"}:
        assert getattr(layer, key).tolist() == value[key]
    for x, label in zip(VALUES["samples"]["x"], VALUES["samples"]["label"], strict=True):
        net.train(torch.tensor([x], dtype=torch.uint8), [label])
    assert layer.W.tolist() == value["W"]
    assert layer.Mc.tolist() == value.get("V", layer.Mc.tolist())
    assert ("V" in value) == (layer.spec.rule == "tlc")


def test_first_step():
    x, label = VALUES["samples"]["x"][:1], VALUES["samples"]["label"][:1]
    net = network(**VALUES["training"][0]["layer"])
    (step,) = net.train(torch.tensor(x, dtype=torch.uint8), label)
    assert {key: getattr(step, key)[0].tolist() for key in "yseg"} == VALUES["first_step"]


def test_cross_entropy():
    value = VALUES["cross_entropy"]
    for name in ("TE", "TP"):
        made, expected = getattr(loss, name), value[name]
        assert list(made[: len(expected["entries"])]) == expected["entries"]
        assert (len(made), sum(made)) == (256, expected["sum"])
    made, expected = loss.tl(10), value["TL"]
    first, entries = expected["first"], expected["entries"]
    assert list(made[first : first + len(entries)]) == entries
    assert (len(made), made[-1]) == (321, expected["last"])
    s, right = torch.tensor([value["s"]]), torch.arange(10) == value["label"]
    assert loss.cross_entropy(s, right, value["point"]).tolist() == [value["e"]]


def test_batch():
    net = network(3, **VALUES["training"][0]["layer"])
    x = torch.tensor(VALUES["samples"]["x"], dtype=torch.uint8)
    net.train(x, VALUES["samples"]["label"])
    assert net.layers[0].W.tolist() == VALUES["batch"]["W"]


@pytest.mark.parametrize("value", VALUES["convolution"], ids=lambda value: str(value["shape"]))
def test_convolution(value):
    channels, size, _ = value["shape"]
    b, c, r, q = np.mgrid[:3, :channels, :size, :size]
    x = torch.from_numpy(((37 * r + 91 * q + 53 * c + 29 * b) % 256).astype(np.uint8)).flatten(1)
    labels = VALUES["samples"]["label"]
    layer = {"kind": "conv", "maps": 2, "kernel": 3, "pool": 2, "loss": "ce"}
    table = {"shape": value["shape"], "classes": 10, "seed": 1, "layer": [layer]}
    one, whole = (IntegerNetwork(parse(table | {"batch": n}, "check")) for n in (1, 3))
    assert one.layers[0].W.tolist() == value["start"]
    steps = [one.train(x[k : k + 1], labels[k : k + 1])[0] for k in range(3)]
    assert all(getattr(steps[0], key)[0].tolist() == value[key] for key in "yseg")
    assert one.layers[0].W.tolist() == value["W"]
    whole.train(x, labels)
    assert whole.layers[0].W.tolist() == value["batch"]


def test_every_kind_of_value_is_looked_at():
    assert VALUES.keys() == {
        "splitmix64", "lfsr", "order", "default", "samples", "training", "first_step", "batch",
        "cross_entropy", "convolution",
    }  # fmt: skip


def cited():
    """Find what the code cites of the page: file and section."""
    for folder in ("golden", "hw", "sim", "boards", "tests"):
        for file in sorted((ROOT / folder).rglob("*.py")):
            if file != Path(__file__).resolve():
                # A citation may run over the end of a line, of a comment too.
                text = re.sub(r"\n\s*(#:?)?\s*", " ", file.read_text(encoding="utf-8"))
                for section in CITATION.findall(text):
                    yield f"{file.relative_to(ROOT)}: {section}", section


def test_what_the_code_cites_is_there():
    found = list(cited())
    assert len(found) >= 15
    sections = {section.lower() for section in SECTIONS}
    assert [where for where, section in found if section.lower() not in sections] == []


def test_the_page_leads_to_its_sections():
    links = re.findall(r"\[([^]]*)\]\(#([^)]*)\)", PAGE)
    assert [name for name, _ in links] == SECTIONS
    assert all(name.lower().replace(" ", "-") == link for name, link in links)
