# SPDX-License-Identifier: BSD-2-Clause
"""The Verilog that goes out, seen by someone who has that file alone."""

import re
import subprocess
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from amaranth.hdl import Module
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

import hw
from golden.model import IntegerNetwork
from golden.spec import load, parse
from hw.datasheet import description, export
from hw.estimate import estimate
from hw.example import TRAINED
from hw.flat_ports import FlatPorts
from hw.network import Network
from hw.network_plan import NetworkPlan
from hw.ports import Command
from hw.primitives import ECP5, PORTABLE
from hw.verilog import module_name
from tests.verilator import verilator

PRIMITIVES = {form.name: form for form in (PORTABLE, ECP5)}
CELLS = Path(hw.__file__).parent / "primitives" / "ecp5_cells.v"
TINY = """\
name = "my-net.2"  # no identifier
inputs = 6
classes = 3
epochs = 3
lr_step = 1
[[layer]]
neurons = 7
lanes = 3
[[layer]]
neurons = 5
lanes = 2
rule = "scfb"
"""
#: Descriptions of all kinds of sizes.
NETWORKS = {
    "tiny": {},
    "one of everything": {"inputs": 1, "classes": 2, "layer": [{"neurons": 1, "lanes": 1}]},
    "wide": {"inputs": 40, "classes": 10, "layer": [{"neurons": 33, "lanes": 20, "wb": 16}]},
    "deep": {"inputs": 3, "layer": [{"neurons": 2 + n, "lanes": 2, "mb": 1} for n in range(4)]},
    "exits": {"layer": [{"neurons": 4, "lanes": 2, "margin": 0.5}, {"neurons": 4, "lanes": 3}]},
}
KEYWORDS = ("clk", "rst", "module", "begin", "reg", "1", "9to5", "a.b", "a-b", "a_b", "A_b")


def describe(**changes):
    table = {"name": "n", "inputs": 6, "classes": 3, "layer": [{"neurons": 7, "lanes": 3}]}
    return parse(table | changes, "some.toml")


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "tiny.toml"
    path.write_text(TINY)
    return path


def strict(folder, *arguments):
    """Run Verilator in a folder; it fails at every warning."""
    assert "%Warning" not in verilator(folder, *arguments)


def sources(folder, text, primitives):
    """Write an exported text, and the cells that it needs, into a folder; name the files."""
    (folder / "only.v").write_text(text)
    if primitives != "ecp5":
        return ["only.v"]
    (folder / "cells.v").write_text(CELLS.read_text())
    return ["only.v", "cells.v"]


def checksum(weights):
    """Compute what the example says of weights in their order."""
    total = 0
    for weight in np.asarray(weights).flat:
        total = (31 * total + int(weight)) % 2**32
    return total - (total >> 31 << 32)


@pytest.mark.parametrize("primitives", PRIMITIVES)
def test_example(config, tmp_path, primitives):
    """The example does what its file says, and what the golden model does with the same sample."""
    spec = load(config)
    files = sources(tmp_path, export(spec, PRIMITIVES[primitives]), primitives)
    name = f"{module_name(spec.name)}_example"
    flags = ["-CFLAGS", "-O0 -std=gnu++20 -fcoroutines"]
    flags += ["-MAKEFLAGS", "CFG_CXXFLAGS_PCH_I=-include", "--x-initial", "unique"]
    strict(tmp_path, "--binary", "-DLEL_EXAMPLE", "--top-module", name, *flags, *files)
    program = [tmp_path / "obj_dir" / f"V{name}", "+verilator+rand+reset+2", "+verilator+seed+1"]
    output = subprocess.run(program, capture_output=True, text=True, check=True).stdout

    records, accepted = defaultdict(list), []
    for line in output.splitlines():
        if found := re.match(r"clock (\d+): command \d+ accepted", line):
            accepted.append(int(found[1]))
        elif line.startswith("clock"):
            clock, layer, *values = map(int, re.findall(r"-?\d+", line))
            records[layer].append((clock, *values))

    golden = IntegerNetwork(spec)
    x, label = np.array([[(37 * j + 11) % 256 for j in range(spec.inputs)]], np.uint8), 1
    predictions = [
        [int(step.prediction) for step in golden.train(x, [label], 0)] for _ in range(TRAINED)
    ]
    predictions.append([int(step.prediction) for step in golden.infer(x)])
    for layer, model in enumerate(golden.layers):
        commands = [Command(record[1]).name for record in records[layer]]
        assert commands == ["TRAIN"] * TRAINED + ["INFER", "READ"]
        samples = [record for record in records[layer] if record[1] in (0, 1)]
        assert [record[3] for record in samples] == [step[layer] for step in predictions]
        assert all(record[2] == label for record in samples)
        assert all(record[4] == (record[3] == label) for record in samples)
        assert records[layer][-1][5:] == (model.W.numel(), checksum(model.W.numpy()))
        # What the head says of the time; samples that come before the weights wait for them.
        clocks, begin = estimate(spec).clocks, records[0][0][0]
        bound = sum(clocks * (plan.lists + 2) for plan in NetworkPlan(spec).layers[: layer + 1])
        for (clock, *_), before in zip(samples, accepted, strict=True):
            assert 0 < clock - max(before, begin - 1) <= 1.1 * bound
        steady = [record[0] for record in samples[:TRAINED]]
        assert 0 < steady[-1] - steady[-2] <= 1.1 * clocks


@pytest.mark.parametrize(
    ("network", "primitives"),
    [("tiny", "portable"), ("tiny", "ecp5"), ("wide", "ecp5"), ("deep", "portable"),
     ("one of everything", "portable")],
)  # fmt: skip
def test_lint(tmp_path, network, primitives):
    """Verilator's strictest look finds nothing, neither in the modules nor in the example."""
    spec = describe(**NETWORKS[network])
    files = sources(tmp_path, export(spec, PRIMITIVES[primitives]), primitives)
    name = module_name(spec.name)
    strict(tmp_path, "--lint-only", "-Wall", "--top-module", name, *files)
    if network == "tiny":
        flags = ["--lint-only", "-Wall", "--timing", "-DLEL_EXAMPLE"]
        strict(tmp_path, *flags, "--top-module", f"{name}_example", *files)


def test_same_file_everywhere(tmp_path, config):
    """It depends on what is described, not on where, nor on remarks and the order of keys."""
    first = export(load(config), PORTABLE)
    other = tmp_path / "a\n`include `x` endmodule\n" / "other.toml"
    other.parent.mkdir()
    other.write_text("# A remark.\nclasses = 3\n" + TINY.replace("classes = 3\n", ""))
    assert export(load(other), PORTABLE) == first
    assert str(tmp_path) not in first
    assert "include" not in first


def test_head_is_comment_and_remakes_the_file(tmp_path, config):
    """All before the example is comment; the description in it gives the same file again."""
    spec = load(config)
    text = export(spec, PORTABLE)
    head = text[: text.index("\n\n")].splitlines()
    assert all(re.fullmatch("//( [ -~]*)?", line) for line in head)
    start = next(k for k, line in enumerate(head) if line.endswith(" from the description below:"))
    toml = [line[7:] for line in head[start:] if re.match(r"//     |//$", line)]
    again = tmp_path / "again.toml"
    again.write_text("\n".join(line for line in toml if not line.startswith("python -m")))
    assert export(load(again), PORTABLE) == text
    assert description(load(again)) == description(spec)


def test_module_names():
    """They are plain identifiers, no keywords, and differ where the networks' names do."""
    names = [module_name(name) for name in KEYWORDS]
    assert len(set(names)) == len(KEYWORDS)
    assert all(re.fullmatch("lel_[A-Za-z0-9_]+", name) for name in names)


@pytest.mark.parametrize("name", ["clk", "module", "a.b"])
def test_network_of_a_strange_name(tmp_path, name):
    (tmp_path / "x.v").write_text(export(describe(name=name), PORTABLE))
    strict(tmp_path, "--lint-only", "-Wall", "--top-module", module_name(name), "x.v")


def test_ports_are_documented():
    """Each port is in the head with its direction and width, once, without double underscores."""
    spec = describe(**NETWORKS["deep"])
    text = export(spec, PORTABLE)
    head = text[: text.index("\n\n")]
    module = re.search(rf"^module {module_name('n')}\(.*?^endmodule", text, re.S | re.M)
    assert module
    declared = re.findall(r"^  (input|output) (\[.*?\])? ?(\S+) *;", module[0], re.M)
    assert len(declared) == 2 + len(FlatPorts(Network(spec=spec)).ports)
    assert len({name for *_, name in declared}) == len(declared)
    documented = defaultdict(list)
    owners = [""]
    for line in head.splitlines():
        if found := re.match(r"// Ports of (.*); the name of the layer", line):
            owners = [f"{owner}_" for owner in found[1].split(", ")]
        elif found := re.match(r"// (input|output) +(\[.*?\])? +(\w+)(.*)", line):
            assert found[4].strip(), f"{found[3]} is not explained"
            for owner in owners:
                documented[owner + found[3]].append((found[1], found[2]))
    for direction, bits, name in declared:
        assert "__" not in name
        assert documented[name] == [(direction, bits or None)]
    assert len(documented) == len(declared)


class Twins(wiring.Component):
    """A component whose ports would have one name."""

    def __init__(self):
        super().__init__(
            {
                "a_b": In(1),
                "a": Out(wiring.Signature({"b": Out(data.StructLayout({"c": 1}))})),
                "a_b_c": In(1),
            }
        )

    def elaborate(self, platform):
        return Module()


def test_two_ports_of_one_name():
    with pytest.raises(ValueError, match="two ports would have the name a_b_c; rename one"):
        FlatPorts(Twins())
