# SPDX-License-Identifier: BSD-2-Clause
"""Cases drawn by hypothesis, which makes those that fail as small as it can."""

from typing import Any

from hypothesis import assume
from hypothesis import strategies as st

from golden.errors import InputError
from hw.ports import Rule
from sim.stalled_layer import STREAMS

from .case import LOADS, SAMPLE_KINDS, Case, Run

__all__ = ["cases"]

#: The most weights of a network: as many clocks pass while they are initialised, and read.
WEIGHTS = 12000
#: The most lanes of a layer: what the compiler can do in a few seconds.
LANES = 16
#: Numbers of inputs: few, some, and such that zeros come in runs longer than an entry can count.
INPUTS = st.integers(1, 40) | st.integers(41, 300) | st.sampled_from([1023, 1024, 1025, 2100, 3500])
#: Keys of a layer that may be missing. What else a description may say, hardware does not do.
FORMATS = {
    "fy": st.integers(0, 8),
    "wb": st.integers(2, 18),
    "fw": st.integers(1, 14),
    "mb": st.integers(1, 4),
    "fe": st.integers(1, 12),
    "lr": st.integers(0, 14),
}
#: Rates of stalls, none first.
STALLS = st.sampled_from([0, 64, 160, 230])


@st.composite
def _networks(draw: st.DrawFn) -> dict[str, Any]:
    """Draw the table of a description."""
    inputs = draw(INPUTS)
    table: dict[str, Any] = {
        "name": "case",
        "inputs": inputs,
        "classes": draw(st.integers(2, 12)),
        "seed": draw(st.integers(0, 1000)),
        "epochs": draw(st.integers(1, 3)),
        "lr_step": 1,
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
            "lanes": draw(st.integers(1, min(neurons + 3, LANES))),
            "rule": draw(st.sampled_from([rule.name.lower() for rule in Rule])),
        }
        for key, values in FORMATS.items():
            if draw(st.integers(0, 3)) == 3:
                layer[key] = draw(values)
        table["layer"].append(layer)
        left -= neurons * (inputs + 1)
        inputs = neurons
    return table


def _packets() -> st.SearchStrategy[tuple[str, ...]]:
    """Draw packets: some of each kind in a row, so that there are streaks."""
    trained = [f"train {kind}" for kind in SAMPLE_KINDS]
    others = [*(f"infer {kind}" for kind in SAMPLE_KINDS), "read", *(f"load {k}" for k in LOADS)]
    kind = st.sampled_from(trained) | st.sampled_from([*trained, *others])
    streak = st.tuples(kind, st.integers(1, 6)).map(lambda drawn: [drawn[0]] * drawn[1])
    settled = st.integers(1, 12).map(lambda count: ["load settled", *["train favourite"] * count])
    parts = st.lists(streak | streak | settled, min_size=1, max_size=8)
    return parts.map(lambda parts: tuple(packet for part in parts for packet in part))


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Draw a case of which there can be hardware."""
    network = draw(_networks())
    runs = st.builds(Run, st.integers(0, network["epochs"] - 1), _packets())
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
