# SPDX-License-Identifier: BSD-2-Clause
"""Tables 3 to 5 and Figures 4 and 5 of the paper: CIFAR10, in floats and in integers."""

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes

from golden.exhibit import Exhibit, drawing
from golden.paper.comparison import Result, bars, comparison, curves, many, stops
from golden.paper.conv_methods import (
    CELL_ROWS,
    CELLS,
    FEW_BITS,
    FIVE_LAYERS,
    FULL_EIGHTHS,
    HALVINGS,
    HALVINGS_TRAINED,
    LAST,
    LAYERS,
    LINE,
    MANY,
    POOLED_EIGHTHS,
    SHARE_TRAINED,
    SMALLER,
    TEN_LAYERS,
    TRAINED_RATE,
    ConvRow,
)
from golden.paper.convnets import FULL, INPUT, POOLED
from golden.paper.methods import BATCH, INTEGER_BATCH

__all__ = ["SHOWN", "exhibit"]

#: What each exhibit shows: its network's methods, and some of the layers.
SHOWN: dict[str, tuple[tuple[ConvRow, ...], Sequence[str]]] = {
    "table3": (FIVE_LAYERS, LAYERS["five"]),
    "table4": (TEN_LAYERS, LAYERS["ten"][:5]),
    "table5": (TEN_LAYERS, LAYERS["ten"][5:]),
    "figure4": (FIVE_LAYERS, LAYERS["five"]),
    "figure5": (TEN_LAYERS, LAYERS["ten"]),
}
#: Panels of the curves side by side.
COLUMNS = 5


def exhibit(name: str, results: Sequence[Result], *, width: float) -> Exhibit:
    """Show results like one of the paper's tables, or one of its figures.

    Parameters
    ----------
    name
        "table3", "table4", "table5", "figure4" or "figure5".
    results
        Of its methods.
    width
        Share of the paper's maps and neurons that the networks have.
    """
    _, layers = SHOWN[name]
    first = results[0].floats
    epochs, count = len(first[0].curve), len(first)
    table = name.startswith("table")
    integers = any(result.integers for result in results)
    kinds = ("float", "integer") if table and integers else ("float",)
    data, lines = comparison(results, kinds, layers=layers, judged=False)
    title = f"{name[:-1].capitalize()} {name[-1]}"
    over = "mean ± standard deviation over " if count > 1 else ""
    text = f"""\
**{title}: accuracy on CIFAR10 in percent**, of the paper's network with {width:.0%} of its maps and
neurons, after {many(epochs, "epoch")}, {over}{many(count, "run")} (the
paper: all maps, 100 epochs, mean ± standard deviation over 4 runs).

{lines}

{_notes(table, integers, dense="FC1" in layers)}"""
    stopped, table_of_stops = stops(results, kinds)
    if stopped:
        text += f"""

A sixth of the training set was held out. By it, training would stop to add layers at:

{table_of_stops}"""
    with drawing():
        if table:
            figures = {f"{name}-curves": curves(results, _paper, layers=layers, columns=COLUMNS)}
        else:
            (line,) = (row for row in SHOWN[name][0] if row.name == LINE)
            figures = {name: bars(results, line, layers, lowest=0.25)}
    numbers = {"epochs": epochs, "runs": count, "width": width, "rows": data, "stops": stopped}
    return Exhibit(name, numbers, text, figures)


def _notes(table: bool, integers: bool, *, dense: bool) -> str:
    """Say how things were made; `dense`: in a network that has fully connected layers."""
    notes = [
        f"Dropout (DO) takes {INPUT:.0%} of the inputs, {POOLED:.0%} behind pooling and {FULL:.0%} "
        "behind fully connected layers, as in the network that the paper's is made after; the "
        "paper does not say.",
        f"Batches are of {BATCH} images; rates are divided by 5 after every quarter of the epochs. "
        f"Where classifiers learn (TLC) they begin at {TRAINED_RATE}: with the paper's 0.1 such "
        "classifiers diverge here.",
    ]
    if table and integers:
        notes += [
            "*integer* is this project's integer model, as its hardware would compute it: "
            "centred inputs instead of batch normalisation, pixels less 128 instead of "
            f"standardised ones, batches of {INTEGER_BATCH}, rates halved {HALVINGS} times (in few "
            f"epochs at most once in {LAST}), and above the first layer initial weights "
            f"2^-{SMALLER} of what they are by default. Where classifiers learn (TLC) it takes "
            f"only {SHARE_TRAINED:.0%} of the epochs, with {HALVINGS_TRAINED} halvings. Dropout "
            f"takes {POOLED_EIGHTHS}/8 behind pooling, none of the inputs. Without what normalises "
            "batches, a layer that is fixed (Fix) learns nothing at all.",
            "Feedback alignment (FA) and backpropagation (BP) have no integer counterpart: they "
            "need a backward pass.",
        ]
    if table and integers and not dense:
        notes.append(
            f"In integers the classifiers of {' and '.join(CELL_ROWS)} see cells instead of single "
            f"features: half as many in a row, and {CELLS} at most."
        )
    if table and integers and dense:
        notes.append(
            f"Of fully connected layers, dropout in integers takes {FULL_EIGHTHS}/8, and weights "
            "stay within half of the range of initial weights that is the default; under fixed "
            f"classifiers and more than {MANY:,} inputs they have {FEW_BITS} bits at most."
        )
    if not table:
        notes.append(
            "Coloured bars are the accuracy on the test set, black bars above them that on the "
            "training set, the red line is the test accuracy of backpropagation (BP); the paper's "
            "values are the white marks and the broken line."
        )
    return "\n".join(f"- {note}" for note in notes)


def _paper(axis: Axes, row: ConvRow, k: int) -> tuple[str, Any]:
    """Mark the paper's value in a panel."""
    axis.set_ylim(0, 100)
    return "paper, at the end", axis.axhline(row.test[k].mean, color="black", lw=0.9, ls="--")
