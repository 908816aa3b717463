# SPDX-License-Identifier: BSD-2-Clause
"""Studies: how a network's accuracy follows from what its description says.

A study is a TOML file (configs/studies/formats.toml explains its keys): a description, and axes
along which it is varied, a point at a time. It is made on samples held out of the training set, so
that what is chosen by it can still be tested.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from golden import spec
from golden.exhibit import COLOURS, Exhibit, drawing, plain, table
from golden.layer_spec import LAYER_KEYS
from golden.runs import Integer, Outcome, Run
from golden.tables import Table, read

__all__ = ["STUDIES", "Axis", "Point", "Study", "exhibit", "load", "runs"]

#: Where studies live that are named without a path.
STUDIES = spec.CONFIGS / "studies"
#: Keys of a description that a study, or a point of it, may replace as a whole.
TOP_KEYS = ("batch", "epochs", "lr_step", "schedule")
STUDY_KEYS = ("network", "seeds", "axis", *TOP_KEYS)
AXIS_KEYS = ("name", "points")
POINT_KEYS = ("at", "series", "momentum", *TOP_KEYS, *LAYER_KEYS)
#: Panels of the figure side by side.
COLUMNS = 3
#: The longest labels that are written level.
LEVEL = 5
#: Percent below the best point at which a panel ends; what lies lower is written there.
DEPTH = 6


@dataclass(frozen=True)
class Point:
    """A network with each seed, the label `at` it, and the `series` it belongs to.

    It is `base` if it is the network that is varied. Its `momentum` is in 256ths.
    """

    at: str
    series: str
    base: bool
    networks: tuple[spec.NetworkSpec, ...]
    momentum: int = 0


@dataclass(frozen=True)
class Axis:
    """What is varied, and its points."""

    name: str
    points: tuple[Point, ...]


@dataclass(frozen=True)
class Study:
    """Axes around a network."""

    name: str
    network: spec.NetworkSpec
    axes: tuple[Axis, ...]


def load(path: str | Path, **overrides: int) -> Study:
    """Read a study from a TOML file; `overrides` replace top-level keys.

    Raises
    ------
    SpecError
        If the file cannot be read, or a key of it is wrong, or the description of a point.
    """
    top = Table(read(path) | overrides, str(path), "", STUDY_KEYS)
    config = top.table.get("network")
    if not isinstance(config, str):
        raise top.error("network", "is missing; name the description that is varied")
    try:
        varied = spec.find(config)
    except spec.SpecError as error:
        raise top.error("network", str(error)) from None
    base = read(varied) | {key: top.table[key] for key in TOP_KEYS if key in top.table}
    network = spec.parse(base, f"{path}: network {varied}", varied.parent)
    seeds = range(network.seed, network.seed + top.integer("seeds", 1, 1000, 1))
    tables = top.table.get("axis")
    if not isinstance(tables, list) or not tables:
        raise top.error("axis", "is missing; give one [[axis]] table for each axis")

    axes = []
    for number, entry in enumerate(tables):
        where = f"axis {number}: "
        if not isinstance(entry, dict):
            raise top.error("axis", "must be tables; write [[axis]]")
        keys = Table(entry, str(path), where, AXIS_KEYS)
        name, given = entry.get("name"), entry.get("points")
        if not isinstance(name, str):
            raise keys.error("name", "is missing; say what is varied")
        if not isinstance(given, list) or not given or not all(isinstance(p, dict) for p in given):
            raise keys.error("points", 'is missing; give points such as [{ at = "8", wb = 8 }]')
        points = [
            _point(described, base, varied.parent, seeds)
            for described in (
                Table(point, str(path), f"{where}point {place}: ", POINT_KEYS)
                for place, point in enumerate(given)
            )
        ]
        axes.append(Axis(name, tuple(points)))
    return Study(Path(path).stem, network, tuple(axes))


def _point(given: Table, base: dict, folder: Path, seeds: range) -> Point:
    at, series = given.table.get("at"), given.table.get("series", "")
    if not isinstance(at, str) or not isinstance(series, str):
        raise given.error("at", "and series must be text; at labels the point")
    varied, where = _vary(base, given), f"{given.path}: {given.where}".removesuffix(": ")
    networks = tuple(spec.parse({**varied, "seed": seed}, where, folder) for seed in seeds)
    momentum = given.integer("momentum", 0, 255, 0)
    if momentum and any(layer.sr for layer in networks[0].layers):
        raise given.error("momentum", "is not for layers with sr; remove either")
    # By what decides the result: lanes may differ.
    unvaried = spec.parse({**base, "seed": seeds[0]}, where, folder)
    first = Integer.of(networks[0], name=at, momentum=momentum)
    same = first.digest == Integer.of(unvaried, name=at).digest
    return Point(at, series, same, networks, momentum)


def _vary(base: dict, point: Table) -> dict:
    """Set what a point sets in a description: keys of layers in all of them, a list one by one."""
    given = point.table
    layers, neurons = base["layer"], given.get("neurons")
    if neurons is not None:
        if not isinstance(neurons, list) or not neurons:
            raise point.error("neurons", "must be a list: those of each layer")
        layers = [{**layers[0], "neurons": count} for count in neurons]
    layers = [*layers]
    for key in LAYER_KEYS:
        if key not in given or key == "neurons":
            continue
        values = given[key] if isinstance(given[key], list) else [given[key]] * len(layers)
        if len(values) != len(layers):
            raise point.error(
                key, f"must have a value for each of the {len(layers)} layers, not {len(values)}"
            )
        layers = [{**layer, key: value} for layer, value in zip(layers, values, strict=True)]
    top = {key: given[key] for key in TOP_KEYS if key in given}
    return {**base, **top, "layer": layers}


def runs(study: Study) -> list[Run]:
    """Give the runs of all points, those of each in the order of its seeds."""
    return [
        Integer.of(
            network,
            name=f"{axis.name} {point.at} {point.series}".strip(),
            held_out=True,
            momentum=point.momentum,
        )
        for axis in study.axes
        for point in axis.points
        for network in point.networks
    ]


def exhibit(study: Study, outcomes: Sequence[Outcome]) -> Exhibit:
    """Set the accuracy of all points side by side.

    Parameters
    ----------
    study
        What was run.
    outcomes
        Of `runs(study)`.
    """
    left, data, parts = iter(outcomes), [], [_head(study)]
    for axis in study.axes:
        rows = [_row(point, [next(left) for _ in point.networks]) for point in axis.points]
        data.append({"name": axis.name, "points": rows})
        head = [plain(axis.name), "last layer, %", "from", "to", "best layer, %", "weights, bits"]
        parts.append(table(head, [_cells(row) for row in rows]))
    text = "\n\n".join(parts)
    return Exhibit(study.name, {"axes": data}, text, {study.name: _draw(data)})


def _head(study: Study) -> str:
    network, (first, *_) = study.network, study.axes[0].points
    made = [network for axis in study.axes for point in axis.points for network in point.networks]
    epochs, batch = (
        " or ".join(str(number) for number in sorted({getattr(one, key) for one in made}))
        for key in ("epochs", "batch")
    )
    return (
        f"{network.name} ({network.sizes}) varied, {epochs} epochs in batches of {batch}, "
        f"runs of each point: {len(first.networks)}; tested on samples held out of the training "
        "set. Bold: as it is described. From, to: the worst and the best run."
    )


def _row(point: Point, outcomes: list[Outcome]) -> dict[str, Any]:
    """Sum up the runs of a point: shares of the samples held out."""
    last = [outcome.test[-1] for outcome in outcomes]
    layers = [
        sum(shares) / len(outcomes) for shares in zip(*(o.test for o in outcomes), strict=True)
    ]
    return {
        "at": point.at,
        "series": point.series,
        "base": point.base,
        "last": sum(last) / len(last),
        "from": min(last),
        "to": max(last),
        "layers": layers,
        "weight_bits": sum(layer.weights * layer.wb for layer in point.networks[0].layers),
    }


def _cells(row: dict[str, Any]) -> list[str]:
    label = plain(f"{row['at']} {row['series']}".strip())
    shares = [f"{100 * row[key]:.2f}" for key in ("last", "from", "to")]
    return [
        f"**{label}**" if row["base"] else label,
        *shares,
        f"{100 * max(row['layers']):.2f}",
        f"{row['weight_bits']:,}",
    ]


def _draw(data: list[dict[str, Any]]) -> Figure:
    with drawing():
        lines = -(-len(data) // COLUMNS)
        figure = Figure(figsize=(3.6 * min(COLUMNS, len(data)), 2.9 * lines), layout="constrained")
        panels = list(figure.subplots(lines, min(COLUMNS, len(data)), squeeze=False).flat)
        for axis, panel in zip(data, panels, strict=False):
            _draw_axis(axis, panel)
        for panel in panels[len(data) :]:
            panel.set_axis_off()
    return figure


def _draw_axis(axis: dict[str, Any], panel: Axes):
    labels = list(dict.fromkeys(row["at"] for row in axis["points"]))
    series = list(dict.fromkeys(row["series"] for row in axis["points"]))
    # Labels of words have no order, so a line would say nothing.
    words = max(map(len, labels)) > LEVEL
    for name, colour in zip(series, COLOURS, strict=False):
        rows = [row for row in axis["points"] if row["series"] == name]
        panel.errorbar(
            [labels.index(row["at"]) for row in rows],
            [100 * row["last"] for row in rows],
            [
                [100 * (row["last"] - row["from"]) for row in rows],
                [100 * (row["to"] - row["last"]) for row in rows],
            ],
            color=colour,
            linestyle="" if words else "-",
            marker="o",
            markersize=4,
            capsize=3,
            label=name or "as described",
        )
    highest = 100 * max(row["to"] for row in axis["points"])
    lowest = max(100 * min(row["from"] for row in axis["points"]), highest - DEPTH)
    margin = 0.06 * (highest - lowest) or 0.1
    panel.set_ylim(lowest - margin, highest + margin)
    for row in axis["points"]:
        x, y = labels.index(row["at"]), 100 * row["last"]
        if row["base"]:
            panel.plot(x, y, "o", markersize=10, fillstyle="none", color="#3d4852")
        if y < lowest:
            panel.text(x, lowest, f"{y:.0f}\n▼", ha="center", va="center", fontsize=8)
    turned = {"rotation": 30, "ha": "right", "rotation_mode": "anchor"} if words else {}
    panel.set_xticks(range(len(labels)), labels, **turned)
    panel.set_xlabel(axis["name"])
    panel.set_ylabel("accuracy, %")
    panel.grid(axis="y", color="#e6eaee")
    if any(series):
        panel.legend(frameon=False, fontsize=8)
