# SPDX-License-Identifier: BSD-2-Clause
"""The command `data`: what a description trains and tests on."""

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from golden import spec
from golden.cli import CONFIG_HELP, data_of
from golden.errors import quoted

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from golden.data import Data

__all__ = ["add", "summary"]

DESCRIPTION = """\
Show the data that a description trains and tests on: samples, inputs, classes and how many samples
each has, the range of the inputs, and the share of them that is zero."""
EPILOG = """\
examples:
  python -m golden data digits
  python -m golden data my.toml --json | jq .classes
  python -m golden data mnist --out build/data    a few samples as pictures as well
"""
#: Samples of a class that are drawn, and the most classes of which some are.
DRAWN, ROWS = 8, 20
#: The most classes and features that are listed in the text.
LISTED = 40


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]"):
    """Register the command."""
    parser = commands.add_parser(
        "data",
        help="show what a description trains and tests on",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("config", help=CONFIG_HELP)
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FOLDER",
        help="write NAME-data.md and .json there, and of images .svg and .png",
    )
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    network = spec.load(spec.find(arguments.config))
    data = data_of(network)
    facts = summary(network, data)
    text = _text(facts)
    print(json.dumps(facts) if arguments.json else text)
    if arguments.out:
        from golden.exhibit import Exhibit

        name = f"{network.name}-data"
        figures = {name: _figure(data)} if _drawable(data) else {}
        for file in Exhibit(name, facts, f"```\n{text}\n```", figures).write(arguments.out):
            print(file, file=sys.stderr)
    return 0


def summary(network: spec.NetworkSpec, data: "Data") -> dict[str, Any]:
    """Collect the facts on a data set, for JSON."""
    import numpy as np

    counts = [np.bincount(y, minlength=data.classes).tolist() for y in (data.train_y, data.test_y)]
    return {
        "data": str(network.data),
        "digest": data.digest,
        "train": len(data.train_x),
        "test": len(data.test_x),
        "inputs": data.inputs,
        "shape": list(data.shape) if data.shape else None,
        "classes": [
            {"name": name, "train": train, "test": test}
            for name, train, test in zip(data.labels, *counts, strict=True)
        ],
        "low": int(data.train_x.min()),
        "high": int(data.train_x.max()),
        "zeros": round(1 - np.count_nonzero(data.train_x) / data.train_x.size, 6),
        "features": list(data.features) if data.features else None,
        "scaling": None
        if data.scaling is None
        else {"low": data.scaling.low.tolist(), "high": data.scaling.high.tolist()},
        "warnings": list(data.warnings),
    }


def _text(facts: dict[str, Any]) -> str:
    shape = " (" + " x ".join(map(str, facts["shape"])) + ")" if facts["shape"] else ""
    lines = [
        f"data      {quoted(facts['data'])}",
        f"samples   {facts['train']} to train on, {facts['test']} to test on",
        f"inputs    {facts['inputs']}{shape}, 8 bits, from {facts['low']} to {facts['high']}",
        f"zeros     {facts['zeros']:.1%} of the inputs",
        f"classes   {len(facts['classes'])}",
    ]
    lines += [
        f"  {quoted(row['name']):24}{row['train']:8} to train on{row['test']:8} to test on"
        for row in facts["classes"][:LISTED]
    ]
    if len(facts["classes"]) > LISTED:
        lines.append("  ...")
    if facts["scaling"] is None:
        return "\n".join([*lines, "scaling   none: the inputs are 8-bit numbers already"])
    lines.append("scaling   each feature from the range that becomes 0 to 255")
    names = facts["features"] or [f"feature {i}" for i in range(facts["inputs"])]
    ranges = zip(names, facts["scaling"]["low"], facts["scaling"]["high"], strict=True)
    rows = [f"  {quoted(name):32}{low:16.8g}{high:16.8g}" for name, low, high in ranges]
    return "\n".join([*lines, *rows[:LISTED], *(["  ..."] if len(rows) > LISTED else [])])


def _drawable(data: "Data") -> bool:
    shape = data.shape or ()
    return len(shape) == 2 or (len(shape) == 3 and 3 in (shape[0], shape[2]))


def _figure(data: "Data") -> "Figure":
    """Draw the first training samples of each class, a row a class."""
    import numpy as np
    from matplotlib.figure import Figure

    from golden.exhibit import drawing

    shown = min(data.classes, ROWS)
    with drawing():
        figure = Figure(figsize=(0.7 * DRAWN + 1, 0.75 * shown), layout="constrained")
        for row, panels in enumerate(figure.subplots(shown, DRAWN, squeeze=False)):
            places = np.flatnonzero(data.train_y == row)[:DRAWN]
            for panel in panels:
                panel.set_axis_off()
            for panel, place in zip(panels, places, strict=False):
                image = data.train_x[place].reshape(data.shape)
                if image.ndim == 3 and data.shape and data.shape[0] == 3:
                    image = image.transpose(1, 2, 0)
                panel.imshow(image, cmap="gray_r" if image.ndim == 2 else None, vmin=0, vmax=255)
            # Names may hold anything; in mathtext a dollar would begin a formula.
            label = data.labels[row][:16]
            panels[0].text(
                -0.2, 0.5, label, ha="right", va="center", fontsize=8, parse_math=False,
                transform=panels[0].transAxes,
            )  # fmt: skip
    return figure
