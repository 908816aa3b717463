# SPDX-License-Identifier: BSD-2-Clause
"""Cases drawn by hypothesis, which makes those that fail as small as it can."""

from typing import Any

from hypothesis import assume
from hypothesis import strategies as st

from golden.errors import InputError
from golden.layer_spec import ROUNDED_BITS, SOURCES
from hw.ports import Rule
from sim.stalled_layer import STREAMS

from .case import LOADS, SAMPLE_KINDS, Case, Run

__all__ = ["RULES", "cases"]

#: The most weights of a network: as many clocks pass while they are initialised, and read.
WEIGHTS = 12000
#: Lanes of a layer: few, of which one is drained a clock; and more, up to what the compiler can
#: do in a few seconds.
LANES = st.integers(1, 16) | st.integers(17, 27)
#: Lanes of a trained classifier, for one class or for all; and the rules.
V_LANES = st.integers(1, 30) | st.integers(1, 4)
RULES = [*(rule.name.lower() for rule in Rule), "tlc"]
#: Numbers of inputs: few, some, and such that zeros come in runs longer than an entry can count.
INPUTS = st.integers(1, 40) | st.integers(41, 300) | st.sampled_from([1023, 1024, 1025, 2100, 3500])
#: Keys of a layer that may be missing: the usual ones, and all that there are.
FORMATS = {
    "fx": st.integers(0, 8),
    "fy": st.integers(0, 8),
    "yb": st.integers(1, 8),
    "wb": st.integers(2, 18),
    "fw": st.integers(1, 14) | st.integers(1, 24),
    "mb": st.integers(1, 4) | st.integers(1, 8),
    "ms": st.integers(0, 8) | st.integers(-8, 24),
    "fe": st.integers(1, 12) | st.integers(1, 16),
    "lr": st.integers(0, 14),
    "init_bits": st.integers(1, 17),
    "dropout": st.integers(1, 7),
    "loss": st.just("ce"),
    "init": st.just("gauss"),
}
#: From which margin on samples leave a layer.
MARGINS = st.sampled_from([0, 0, 0.25]) | st.sampled_from([1, 4, 1000]) | st.floats(0, 8, width=16)
#: Rates of stalls, none first.
STALLS = st.sampled_from([0, 64, 160, 230])


@st.composite
def _networks(draw: st.DrawFn) -> dict[str, Any]:
    """Draw the table of a description."""
    inputs, classes = draw(INPUTS), draw(st.integers(2, 12))
    table: dict[str, Any] = {
        "name": "case",
        "inputs": inputs,
        "classes": classes,
        "seed": draw(st.integers(0, 1000)),
        "epochs": draw(st.integers(1, 3)),
        "lr_step": 1,
        "schedule": draw(st.sampled_from(["all", "all", "greedy"])),
        "layer": [],
    }
    left = WEIGHTS
    for _ in range(draw(st.integers(1, 4))):
        most = max(min(left // (inputs + 1), 200), 1)
        neurons = draw(
            st.integers(1, min(most, 30)) | st.integers(1, min(most, 30)) | st.integers(1, most)
        )
        layer = {
            "neurons": neurons,
            "lanes": min(draw(LANES), neurons + 3),
            "rule": draw(st.sampled_from(RULES) | st.sampled_from(RULES) | st.just("tlc")),
            "source": draw(st.sampled_from(SOURCES)),
        }
        if layer["rule"] == "tlc":
            layer["v_lanes"] = draw(V_LANES) * draw(st.sampled_from([1, classes]))
            layer["lrv"] = draw(st.integers(0, 12))
        for key, values in FORMATS.items():
            if draw(st.integers(0, 3)) == 3:
                layer[key] = draw(values)
        if layer.get("loss") == "ce":
            layer.pop("fe", None)
        if draw(st.integers(0, 3)) == 3:
            layer |= {"sr": True, "wb": draw(st.integers(2, ROUNDED_BITS))}
        if draw(st.booleans()):
            layer["health"] = True
        if table["layer"]:
            layer.pop("fx", None)
        if draw(st.integers(0, 3)) > 0:
            layer["margin"] = draw(MARGINS)
        if "init_bits" in layer:
            layer["init_bits"] = min(layer["init_bits"], layer.get("wb", 12) - 1)
        table["layer"].append(layer)
        left -= neurons * (inputs + 1)
        inputs = neurons
    table["layer"][-1].pop("margin", None)
    return table


def _packets() -> st.SearchStrategy[tuple[str, ...]]:
    """Draw packets: some of each kind in a row, so that there are streaks."""
    trained = [f"train {kind}" for kind in SAMPLE_KINDS]
    loads = [f"load {kind}" for kind in LOADS]
    others = [*(f"infer {kind}" for kind in SAMPLE_KINDS), "read", *loads, *loads]
    kind = st.sampled_from(trained) | st.sampled_from(others)
    streak = st.tuples(kind, st.integers(1, 6)).map(lambda drawn: [drawn[0]] * drawn[1])
    settled = st.integers(1, 12).map(lambda count: ["load settled", *["train favourite"] * count])
    parts = st.lists(streak | streak | settled, min_size=1, max_size=8)
    return parts.map(lambda parts: tuple(packet for part in parts for packet in part))


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Draw a case of which there can be hardware."""
    network = draw(_networks())
    turns = 1 if network["schedule"] == "all" else len(network["layer"])
    runs = st.builds(Run, st.integers(0, turns * network["epochs"] - 1), _packets())
    case = Case(
        network=network,
        seed=draw(st.integers(0, 1000)),
        stalls={name: draw(STALLS) for name in STREAMS},
        sparse=draw(st.booleans()),
        runs=tuple(draw(st.lists(runs, min_size=1, max_size=3))),
    )
    try:
        assert case.spec
    except InputError:
        assume(False)
    return case
