# SPDX-License-Identifier: BSD-2-Clause
"""Table 2 and Figure 3 of the paper: MNIST in floats and in integers, beside what it reports."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from golden import runs
from golden.exhibit import COLOURS, Exhibit, drawing, table
from golden.paper.methods import (
    BATCH,
    CONTROL,
    DROPOUT,
    INTEGER_BATCH,
    LAYERS,
    LINE,
    Row,
    Value,
)
from golden.paper.rules import CLASSES
from golden.runs import Outcome, Run

__all__ = ["Result", "figure3", "measure", "reached", "runs_of", "table2"]

#: Percent by which a test accuracy may be below the paper's and still reach it: the difference of
#: two networks of the same skill, as 10,000 samples show 98.5 % with a standard error of 0.12.
TOLERANCE = 0.2
#: Percent up to which an accuracy is near chance: twice what it is.
NEAR_CHANCE = 20.0
NONE = "–"


@dataclass(frozen=True)
class Result:
    """A row and what its runs came to; `integers` is empty if it has no integer counterpart."""

    row: Row
    floats: list[Outcome]
    integers: list[Outcome]


def runs_of(
    rows: Iterable[Row],
    *,
    epochs: int,
    seeds: int,
    integers: bool = True,
    data: str = "mnist",
    neurons: int = 1000,
) -> dict[str, list[Run]]:
    """Make the runs of rows with the seeds 1, 2, ...; in floats, and perhaps in integers.

    Returns
    -------
    dict
        For each row's name its runs: all seeds in floats, then all in integers.
    """
    made: dict[str, list[Run]] = {}
    for row in rows:
        kinds = (row.float, row.integer) if integers else (row.float,)
        every = [
            kind(data=data, seed=seed, epochs=epochs, neurons=neurons)
            for kind in kinds
            for seed in range(1, seeds + 1)
        ]
        made[row.name] = [run for run in every if run is not None]
    return made


def measure(
    rows: Sequence[Row],
    folder: Path,
    *,
    epochs: int,
    seeds: int,
    jobs: int = 1,
    integers: bool = True,
) -> list[Result]:
    """Make all runs of rows; arguments are those of `runs_of` and of `golden.runs.perform`."""
    made = runs_of(rows, epochs=epochs, seeds=seeds, integers=integers)
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


def reached(row: Row, test: Sequence[Value]) -> list[bool]:
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


def _summary(row: Row, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Sum up the runs of a row in floats, or in integers."""
    test = _per_layer([outcome.test for outcome in outcomes])
    return {
        "test": test,
        "train": _per_layer([outcome.train for outcome in outcomes]),
        "reached": reached(row, test) if outcomes else [],
        "curves": [outcome.curve for outcome in outcomes],
    }


def _comparison(results: Sequence[Result], kinds: Sequence[str]) -> tuple[list[dict], str]:
    """Set results beside the paper: as data, and as a table in Markdown."""
    data, lines = [], []
    for result in results:
        row = result.row
        sums = {"float": _summary(row, result.floats), "integer": _summary(row, result.integers)}
        paper = {"test": row.test, "train": row.train}
        for k, layer in enumerate(row.layers):
            cells = [row.name if k == 0 else "", str(layer)]
            for part in ("test", "train"):
                cells.append(paper[part][k].text(1) if paper[part] else NONE)
                cells += [
                    sums[kind][part][k].text() if sums[kind][part] else NONE for kind in kinds
                ]
            cells += [
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
    head += [f"{kind} reaches" for kind in kinds]
    return data, table(head, lines)


def _plain(sums: Mapping[str, Any]) -> dict[str, Any]:
    """Write values as dictionaries, for JSON."""
    return {
        key: [value._asdict() if isinstance(value, Value) else value for value in values]
        for key, values in sums.items()
    }


def table2(results: Sequence[Result]) -> Exhibit:
    """Show all results beside Table 2; `reached` says what is called reached."""
    first = results[0].floats
    epochs, count = len(first[0].curve), len(first)
    data, lines = _comparison(results, ("float", "integer"))
    text = f"""\
**Table 2: accuracy on MNIST in percent**, of three layers of 1000 neurons, after
{_many(epochs, "epoch")}, mean ± standard deviation over {_many(count, "run")} (the paper:
100 epochs, 4 runs). *float* is the paper's method in float32, *integer* this project's integer
model, with the arithmetic of its hardware.

{lines}

- A test accuracy reaches the paper's if it is above the paper's mean, or at most {TOLERANCE} below.
  Of {CONTROL.name} the paper says that it stays near chance, without numbers; here that is up to
  {NEAR_CHANCE:.0f} %.
- Dropout (DO) drops {DROPOUT / 8:.0%} of each layer's neurons. The paper does not give its rate;
  with half of them, the third layer of LEL(SCFB) diverges.
- Gaussian classifier weights (GI) are sums of a few uniform odd numbers in integers
  (docs/contract.md, Gaussian classifiers). Feedback alignment (FA) and backpropagation (BP) have no
  integer counterpart: they need a backward pass. FA has batch normalisation, as section 3.1 says.
- Rates fall after every quarter of the epochs: by 5 in floats, by 2 in integers. Batches are of
  {BATCH} samples in floats, of {INTEGER_BATCH} in integers."""
    with drawing():
        figures = {"table2-curves": _curves(results)}
    numbers = {"epochs": epochs, "runs": count, "tolerance": TOLERANCE, "rows": data}
    return Exhibit("table2", numbers, text, figures)


def _many(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _curves(results: Sequence[Result]) -> Figure:
    """Draw the test accuracy over the epochs: three panels side by side, one for each layer."""
    panels = [(result, k, layer) for result in results for k, layer in enumerate(result.row.layers)]
    height = math.ceil(len(panels) / LAYERS)
    figure = Figure(figsize=(9, 0.9 + 1.35 * height), layout="constrained")
    axes = list(figure.subplots(height, LAYERS, sharex=True, squeeze=False).flat)
    lowest = min(
        (outcome.test[k] for result, k, _ in panels if result.row.test
         for outcome in (*result.floats, *result.integers)),
        default=1.0,
    )  # fmt: skip
    bottom = min(96.8, math.floor(100 * lowest))
    handles = {}
    for axis, (result, k, layer) in zip(axes, panels, strict=False):
        for name, colour, outcomes in (
            ("float", COLOURS[0], result.floats),
            ("integer", COLOURS[1], result.integers),
        ):
            if outcomes:
                handles[name] = _curve(axis, k, outcomes, colour)
        if not result.row.test:
            axis.set_ylim(0, 100)
            handles["chance"] = axis.axhline(100 / CLASSES, color="black", lw=0.9, ls=":")
        else:
            value = result.row.test[k]
            handles["paper"] = axis.axhline(value.mean, color="black", lw=0.9, ls="--")
            spread = value.deviation or 0
            axis.axhspan(value.mean - spread, value.mean + spread, color="black", alpha=0.18, lw=0)
            axis.set_ylim(bottom, 99.2)
        axis.set_title(f"{result.row.name}, layer {layer}", fontsize=9, loc="left")
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


def figure3(results: Sequence[Result]) -> Exhibit:
    """Show results like Figure 3: a bar for each layer of each method, a line for BP."""
    first = results[0].floats
    epochs, count = len(first[0].curve), len(first)
    data, lines = _comparison(results, ("float",))
    text = f"""\
**Figure 3: training and test accuracy on MNIST** of the paper's methods in float32, after
{_many(epochs, "epoch")}, mean over {_many(count, "run")} (the paper: 100 epochs, 4 runs).
Coloured bars are the accuracy on the test set, black bars above them that on the training set, the
red line is the test accuracy of backpropagation (BP); the paper's values are the white marks and
the broken line.

{lines}"""
    with drawing():
        figures = {"figure3": _bars(results)}
    return Exhibit("figure3", {"epochs": epochs, "runs": count, "rows": data}, text, figures)


def _bars(results: Sequence[Result]) -> Figure:
    """Draw the bars of all rows but `LINE`, which becomes a line."""
    bars = [result for result in results if result.row != LINE]
    lines = [result for result in results if result.row == LINE]
    figure = Figure(figsize=(9, 4.6), layout="constrained")
    axis = figure.subplots()
    # In the order of the legend.
    names = [f"layer {layer}" for layer in range(1, LAYERS + 1)]
    handles: dict[str, Any] = dict.fromkeys([*names, "training set"])
    ticks, lowest = [], 97.5
    for place, result in enumerate(bars):
        sums, row = _summary(result.row, result.floats), result.row
        for k, layer in enumerate(row.layers):
            x = place + 0.27 * (layer - 2 if len(row.layers) > 1 else 0)
            test, train = sums["test"][k].mean, sums["train"][k].mean
            lowest = min(lowest, test, train)
            handles[f"layer {layer}"] = axis.bar(x, test, 0.23, color=COLOURS[layer - 1])
            handles["training set"] = axis.bar(x, max(0, train - test), 0.23, test, color="black")
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
                    s=30,
                    zorder=3,
                    clip_on=False,
                )
        ticks.append(row.name.replace(" + ", "\n+ "))
    for result in lines:
        (ours,) = _summary(result.row, result.floats)["test"]
        handles["BP: test set"] = axis.axhline(ours.mean, color="#d62728", lw=1.4)
        handles["paper: BP"] = axis.axhline(
            result.row.test[0].mean, color="#d62728", lw=1.2, ls=(0, (4, 3))
        )
    axis.set_ylim(math.floor(2 * lowest - 0.5) / 2, 100.2)
    axis.set_xticks(range(len(ticks)), ticks)
    axis.tick_params(axis="x", length=0)
    axis.set_ylabel("accuracy in percent")
    figure.legend(
        list(handles.values()),
        list(handles),
        loc="outside upper center",
        ncols=4,
        frameon=False,
    )
    return figure
