# SPDX-License-Identifier: BSD-2-Clause
"""Where the hardware is joined: what imports what, and how long it takes to read."""

import ast
from pathlib import Path

import pytest

import hw

HW = Path(hw.__file__).parent
#: Rooms whose components are short, as paths beside hw/.
ROOMS = ("hw", "boards")
#: What each half of a layer may import besides the standard library and Amaranth.
SHARED = (
    "hw.parts", "hw.primitives", "hw.plan", "hw.ports", "golden.layer_spec", "golden.errors",
)  # fmt: skip
HALVES = ("engine", "local_error")


def imported(path):
    """Name the modules that a file imports, relative ones resolved."""
    package = ["hw", *path.relative_to(HW).parts[:-1]]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            module = [*above, *([node.module] if node.module else [])]
            # `from . import x` names modules, not what is in one.
            names = [""] if node.module else [alias.name for alias in node.names]
            yield from (".".join([*module, *([name] if name else [])]) for name in names)


def within(module, package):
    return module == package or module.startswith(f"{package}.")


@pytest.mark.parametrize("half", HALVES)
def test_halves_do_not_know_each_other(half):
    allowed = (*SHARED, f"hw.{half}")
    files = sorted((HW / half).rglob("*.py"))
    ours = {(path.name, m) for path in files for m in imported(path) if m.split(".")[0] in
            ("hw", "golden", "sim", "boards")}  # fmt: skip
    assert len(ours) > len(files)
    assert [(n, m) for n, m in sorted(ours) if not any(within(m, a) for a in allowed)] == []


@pytest.mark.parametrize("room", ["parts", "primitives"])
def test_what_is_shared_knows_no_half(room):
    for path in (HW / room).rglob("*.py"):
        assert not any(within(m, f"hw.{half}") for m in imported(path) for half in HALVES), path


def test_engine_knows_no_classes_labels_or_rules():
    """Whatever is named so belongs to the local error; headers only pass through the engine."""
    for path in (HW / "engine").rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        names |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        foreign = {"classes", "label", "Rule", "rule", "lr", "mb", "ms", "TRAIN"}
        assert not names & foreign, path


def elaborates(room):
    """Yield the name and the lines of each `elaborate` in a room."""
    for path in (HW.parent / room).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.name == "elaborate":
                assert node.end_lineno
                yield f"{path.name}:{node.lineno}", node.end_lineno - node.lineno + 1


def test_components_are_short():
    lengths = {name: lines for room in ROOMS for name, lines in elaborates(room)}
    assert len(lengths) > 20
    assert {name: lines for name, lines in lengths.items() if lines > 100} == {}
    assert sorted(lengths.values())[int(0.9 * len(lengths))] <= 60


def test_layer_is_one_connect_per_arrow():
    ((_, lines),) = [e for e in elaborates("hw") if e[0].startswith("layer.py")]
    assert lines <= 40
