# SPDX-License-Identifier: BSD-2-Clause
"""Methods of the paper, made again in floats and in integers, and set beside what it reports."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from math import ceil, floor
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from golden import runs
from golden.exhibit import COLOURS, table
from golden.paper.methods import Value
from golden.runs import Outcome, Run
from golden.schedule import last_of_use

__all__ = [
    "NEAR_CHANCE",
    "TOLERANCE",
    "Method",
    "Result",
    "bars",
    "comparison",
    "curves",
    "many",
    "measure",
    "reached",
    "runs_of",
    "stops",
    "summary",
]

#: Percent by which a test accuracy may be below the paper's and still reach it: the difference of
#: two networks of the same skill, as 10,000 samples show 98.5 % with a standard error of 0.12.
TOLERANCE = 0.2
#: Percent up to which an accuracy is near chance: twice what it is.
NEAR_CHANCE = 20.0
NONE = "–"


class Method(Protocol):
    """A row of one of the paper's tables."""

    @property
    def name(self) -> str:
        """What the paper calls it."""
        ...

    @property
    def train(self) -> tuple[Value, ...]:
        """The paper's values of each layer that predicts, on the training set."""
        ...

    @property
    def test(self) -> tuple[Value, ...]:
        """The same on the test set."""
        ...

    @property
    def layers(self) -> Sequence[object]:
        """Names of the layers that predict."""
        ...

    @property
    def float(self) -> Callable[..., Run]:
        """Makes the run in floats."""
        ...

    @property
    def integer(self) -> Callable[..., Run | None]:
        """Makes the run of the integer counterpart, if there is one."""
        ...


@dataclass(frozen=True)
class Result:
    """A method and what its runs came to; `integers` is empty if it has no integer counterpart."""

    row: Any
    floats: list[Outcome]
    integers: list[Outcome]


def runs_of(
    rows: Iterable[Method],
    *,
    epochs: int,
    seeds: int,
    data: str,
    integers: bool = True,
    **size: Any,
) -> dict[str, list[Run]]:
    """Make the runs of rows with the seeds 1, 2, ...; in floats, and perhaps in integers.

    `size` is what a row's runs take beside these: how large their networks are.

    Returns
    -------
    dict
        For each row's name its runs: all seeds in floats, then all in integers.
    """
    made: dict[str, list[Run]] = {}
    for row in rows:
        kinds = (row.float, row.integer) if integers else (row.float,)
        every = [
            kind(data=data, seed=seed, epochs=epochs, **size)
            for kind in kinds
            for seed in range(1, seeds + 1)
        ]
        made[row.name] = [run for run in every if run is not None]
    return made


def measure(
    rows: Sequence[Method],
    folder: Path,
    *,
    seeds: int,
    jobs: int = 1,
    **settings: Any,
) -> list[Result]:
    """Make all runs of rows; arguments are those of `runs_of` and of `golden.runs.perform`."""
    made = runs_of(rows, seeds=seeds, **settings)
    # One seed of every row after the other, so that there is something of each soon.
    every = sorted(chain(*made.values()), key=lambda run: run.seed)
    outcomes = dict(
        zip(
            (run.digest for run in every),
            runs.perform(every, folder, jobs=jobs),
            strict=True,
        )
    )
    results = []
    for row in rows:
        of_row = [outcomes[run.digest] for run in made[row.name]]
        results.append(Result(row, of_row[:seeds], of_row[seeds:]))
    return results


def reached(row: Method, test: Sequence[Value]) -> list[bool]:
    """Judge for each layer whether a mean test accuracy reaches the paper's.

    It does if it is above the paper's mean, or at most `TOLERANCE` percent below. Of the negative
    control the paper says "near-chance level": it is reached by at most `NEAR_CHANCE` percent.
    """
    if not row.test:
        return [ours.mean <= NEAR_CHANCE for ours in test]
    return [
        # The paper gives one digit: what differs by less than a hundredth of it is no difference.
        ours.mean - theirs.mean >= -TOLERANCE - 1e-3
        for ours, theirs in zip(test, row.test, strict=True)
    ]


def _per_layer(accuracies: Sequence[Sequence[float]]) -> list[Value]:
    """Take the accuracies of some runs, each a share for each layer; give a value per layer."""
    return [Value.of(shares) for shares in zip(*accuracies, strict=True)]


def summary(row: Method, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Sum up the runs of a row in floats, or in integers."""
    test = _per_layer([outcome.test for outcome in outcomes])
    return {
        "test": test,
        "train": _per_layer([outcome.train for outcome in outcomes]),
        "reached": reached(row, test) if outcomes else [],
        "curves": [outcome.curve for outcome in outcomes],
    }


def comparison(
    results: Sequence[Result],
    kinds: Sequence[str],
    *,
    layers: Sequence[object] | None = None,
    judged: bool = True,
) -> tuple[list[dict], str]:
    """Set results beside the paper: as data, and as a table in Markdown.

    The table has some of the layers, or all; `judged` says whether it tells what is reached.
    """
    data, lines = [], []
    for result in results:
        row = result.row
        sums = {"float": summary(row, result.floats), "integer": summary(row, result.integers)}
        paper = {"test": row.test, "train": row.train}
        shown = [k for k, layer in enumerate(row.layers) if layers is None or layer in layers]
        for k in shown:
            cells = [row.name if k == shown[0] else "", str(row.layers[k])]
            for part in ("test", "train"):
                cells.append(paper[part][k].text(1) if paper[part] else NONE)
                cells += [
                    sums[kind][part][k].text() if sums[kind][part] else NONE for kind in kinds
                ]
            cells += judged * [
                {True: "yes", False: "**no**"}[sums[kind]["reached"][k]]
                if sums[kind]["reached"]
                else NONE
                for kind in kinds
            ]
            lines.append(cells)
        data.append({"name": row.name, "layers": list(row.layers), "paper": _plain(paper)})
        data[-1] |= {kind: _plain(sums[kind]) for kind in kinds if sums[kind]["test"]}
    head = ["method", "layer"]
    for part in ("test", "train"):
        head += [f"{part}: {kind}" for kind in ("paper", *kinds)]
    head += judged * [f"{kind} reaches" for kind in kinds]
    return data, table(head, lines)


def _plain(sums: Mapping[str, Any]) -> dict[str, Any]:
    """Write values as dictionaries, for JSON."""
    return {
        key: [value._asdict() if isinstance(value, Value) else value for value in values]
        for key, values in sums.items()
    }


def stops(results: Sequence[Result], kinds: Sequence[str]) -> tuple[list[dict], str]:
    """Find where methods would stop to add layers: as data, and as a table in Markdown.

    A method stops at the last layer before the first that is no better on the samples held out
    (the paper's section 5.2); the accuracy there is on the test set. Methods of one layer and runs
    without samples held out are passed over.
    """
    data, lines = [], []
    for result in results:
        places: dict[str, list[tuple[str, float, float]]] = {}
        for kind, outcomes in (("float", result.floats), ("integer", result.integers)):
            places[kind] = [
                (str(result.row.layers[k]), 100 * outcome.test[k], 100 * max(outcome.test))
                for outcome in outcomes
                if len(outcome.held) > 1
                for k in [last_of_use(outcome.held)]
            ]
        if not any(places.values()):
            continue
        data.append({"name": result.row.name, **{kind: places[kind] for kind in kinds}})
        cells = [result.row.name]
        for kind in kinds:
            columns = [*zip(*places[kind], strict=True)] or [(), (), ()]
            cells.append(", ".join(columns[0]) or NONE)
            cells += [", ".join(f"{share:.2f}" for share in c) or NONE for c in columns[1:]]
        lines.append(cells)
    head = ["method"]
    for kind in kinds:
        head += [f"{kind} stops at", "test there", "best test"]
    return data, table(head, lines)


def many(count: int, what: str) -> str:
    """Write a count of things.

    >>> many(1, "run"), many(2, "run")
    ('1 run', '2 runs')
    """
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def curves(
    results: Sequence[Result],
    mark: Callable[[Axes, Any, int], tuple[str, Any]],
    *,
    layers: Sequence[object] | None = None,
    columns: int,
) -> Figure:
    """Draw the test accuracy over the epochs: a panel for each layer of each method.

    Parameters
    ----------
    results
        Of all methods.
    mark
        Draws what a panel is compared with, of a method's k-th layer; gives its name and the line.
    layers
        Those that are shown; all by default.
    columns
        Panels side by side.
    """
    panels = [
        (result, k, layer)
        for result in results
        for k, layer in enumerate(result.row.layers)
        if layers is None or layer in layers
    ]
    height = ceil(len(panels) / columns)
    figure = Figure(figsize=(3 * columns, 0.9 + 1.35 * height), layout="constrained")
    axes = list(figure.subplots(height, columns, sharex=True, squeeze=False).flat)
    handles = {}
    for axis, (result, k, layer) in zip(axes, panels, strict=False):
        for name, colour, outcomes in (
            ("float", COLOURS[0], result.floats),
            ("integer", COLOURS[1], result.integers),
        ):
            if outcomes:
                handles[name] = _curve(axis, k, outcomes, colour)
        name, line = mark(axis, result.row, k)
        handles[name] = line
        where = layer if isinstance(layer, str) else f"layer {layer}"
        axis.set_title(f"{result.row.name}, {where}", fontsize=9, loc="left")
        axis.tick_params(labelsize=8)
        axis.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    for axis in axes[len(panels) :]:
        axis.remove()
    figure.supxlabel("epoch", fontsize=9)
    figure.supylabel("test accuracy in percent", fontsize=9)
    figure.legend(
        list(handles.values()),
        list(handles),
        loc="outside upper center",
        ncols=len(handles),
        frameon=False,
    )
    return figure


def _curve(axis: Axes, k: int, outcomes: Sequence[Outcome], colour: str) -> Any:
    """Draw the mean of some runs' curves for their k-th layer, and a band of all; give the line."""
    curves = 100 * np.array([outcome.curve for outcome in outcomes])[:, :, k]
    epochs = np.arange(1, curves.shape[1] + 1)
    axis.fill_between(epochs, curves.min(0), curves.max(0), color=colour, alpha=0.25, lw=0)
    # So that a single epoch is seen too.
    marker = "o" if len(epochs) < 3 else ""
    (line,) = axis.plot(epochs, curves.mean(0), color=colour, lw=1.3, marker=marker, markersize=3)
    return line


def bars(
    results: Sequence[Result], line: Method, layers: Sequence[object], *, lowest: float = 100.0
) -> Figure:
    """Draw a group of bars for each method, a bar for each layer.

    Parameters
    ----------
    results
        Of all methods.
    line
        That method becomes a line.
    layers
        All that there are, as methods name them.
    lowest
        The axis begins below this, and below all bars.
    """
    figure = Figure(figsize=(9, 4.6), layout="constrained")
    axis = figure.subplots()
    names = {layer: layer if isinstance(layer, str) else f"layer {layer}" for layer in layers}
    colours = COLOURS
    if len(names) > len(colours):
        colours = [colormaps["viridis"](k / len(names)) for k in range(len(names))]
    # In the order of the legend.
    handles: dict[Any, Any] = dict.fromkeys([*names.values(), "training set"])
    ticks, step = [], 0.81 / len(names)
    for place, result in enumerate(r for r in results if r.row != line):
        sums, row = summary(result.row, result.floats), result.row
        for k, layer in enumerate(row.layers):
            index = [*names].index(layer)
            middle = (len(names) - 1) / 2 if len(row.layers) > 1 else index
            x = place + step * (index - middle)
            test, train = sums["test"][k].mean, sums["train"][k].mean
            lowest = min(lowest, test, train)
            width = 0.85 * step
            handles[names[layer]] = axis.bar(x, test, width, color=colours[index])
            handles["training set"] = axis.bar(x, max(0, train - test), width, test, color="black")
            for part, value, marker in (
                ("test", row.test[k], "D"),
                ("training", row.train[k], "o"),
            ):
                handles[f"paper: {part} set"] = axis.scatter(
                    x,
                    value.mean,
                    marker=marker,
                    color="white",
                    edgecolors="black",
                    s=90 * step,
                    zorder=3,
                    clip_on=False,
                )
        ticks.append(row.name.replace(" + ", "\n+ "))
    for result in (r for r in results if r.row == line):
        (ours,) = summary(result.row, result.floats)["test"]
        handles["BP: test set"] = axis.axhline(ours.mean, color="#d62728", lw=1.4)
        handles["paper: BP"] = axis.axhline(
            result.row.test[0].mean, color="#d62728", lw=1.2, ls=(0, (4, 3))
        )
    axis.set_ylim(floor(2 * lowest - 0.5) / 2, 100.2)
    axis.set_xticks(range(len(ticks)), ticks)
    axis.tick_params(axis="x", length=0)
    axis.set_ylabel("accuracy in percent")
    # None of a layer that no method shows.
    shown = {name: handle for name, handle in handles.items() if handle is not None}
    figure.legend(
        list(shown.values()), list(shown), loc="outside upper center", ncols=4, frameon=False
    )
    return figure
