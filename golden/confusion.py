# SPDX-License-Identifier: BSD-2-Clause
"""What a trained network takes for what: accuracy and confusion matrix of each layer."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from golden.exhibit import COLOURS, Exhibit, drawing

__all__ = ["exhibit"]

#: The most classes whose matrix is written as text, and whose counts and names are in the picture.
WRITTEN, NUMBERED, NAMED = 30, 20, 50
#: Pairs of classes that are named where the matrix is not written.
PAIRS = 20
#: Characters of a class's name.
NAME = 12
COLUMNS = 3


def exhibit(
    name: str, counts: np.ndarray, labels: Sequence[str], *, network: str, weights: str
) -> Exhibit:
    """Show what the layers of a network take for what.

    Parameters
    ----------
    name
        Of the exhibit and its files.
    counts
        Samples by layer, label and prediction: int64 (layers, C, C).
    labels
        The names of the classes.
    network, weights
        What was tested, for the heading.
    """
    shares = [_share(matrix) for matrix in counts]
    total = int(counts[0].sum())
    data = {
        "network": network,
        "weights": weights,
        "samples": total,
        "labels": list(labels),
        "accuracy": [round(share, 6) for share in shares],
        "confusion": counts.tolist(),
    }
    names = [_name(label) for label in labels]
    head = f"{network}: {total} test samples, weights of {weights}"
    blocks = [head, "\n".join(_summary(counts, shares))]
    blocks += [_matrix(f"layer {i}", matrix, names) for i, matrix in enumerate(counts)]
    with drawing():
        figure = _figure(counts, shares, names)
    text = "```\n" + "\n\n".join(blocks) + "\n```"
    return Exhibit(name, data, text, {name: figure})


def _share(matrix: np.ndarray) -> float:
    return float(np.trace(matrix) / matrix.sum())


def _name(label: str) -> str:
    """Shorten a name, and leave nothing in it that moves a cursor."""
    text = "".join(c if c.isprintable() else "?" for c in label)
    return text if len(text) <= NAME else f"{text[: NAME - 1]}…"


def _summary(counts: np.ndarray, shares: Sequence[float]) -> list[str]:
    lines = [f"{'':9}{'right':>9}{'of':>9}{'accuracy':>11}"]
    for layer, (matrix, share) in enumerate(zip(counts, shares, strict=True)):
        right, total = int(np.trace(matrix)), int(matrix.sum())
        lines.append(f"{f'layer {layer}':9}{right:9}{total:9}{100 * share:10.2f}%")
    return lines


def _matrix(title: str, matrix: np.ndarray, names: Sequence[str]) -> str:
    """Write a confusion matrix, or the worst of one with very many classes."""
    if len(names) > WRITTEN:
        return _pairs(title, matrix, names)
    width = max(max(map(len, names)), len(str(matrix.max())), 2) + 1
    first = max(*map(len, names), len("label"))
    rows = [[name, *map(str, row)] for name, row in zip(names, matrix.tolist(), strict=True)]
    lines = [f"{title}: what each label (row) is taken for (column)"]
    lines.append(f"{'label':{first}}" + "".join(f"{name:>{width}}" for name in names) + "   right")
    for row, cells in zip(rows, matrix, strict=True):
        at = len(lines) - 2
        share = f"{100 * cells[at] / cells.sum():7.1f}%" if cells.sum() else f"{'none':>8}"
        lines.append(f"{row[0]:{first}}" + "".join(f"{_cell(c):>{width}}" for c in row[1:]) + share)
    return "\n".join(lines)


def _cell(count: str) -> str:
    # What is wrong stands out among points.
    return "." if count == "0" else count


def _pairs(title: str, matrix: np.ndarray, names: Sequence[str]) -> str:
    wrong = matrix.copy()
    np.fill_diagonal(wrong, 0)
    worst = np.argsort(wrong, axis=None, kind="stable")[::-1][:PAIRS]
    lines = [f"{title}: what is mistaken most often, of {len(names)} classes"]
    for label, prediction in zip(*np.unravel_index(worst, wrong.shape), strict=True):
        if count := wrong[label, prediction]:
            lines.append(
                f"{names[label]:{NAME}} for {names[prediction]:{NAME}}{count:6} "
                f"of {matrix[label].sum()}"
            )
    return "\n".join(lines)


def _figure(counts: np.ndarray, shares: Sequence[float], names: Sequence[str]) -> Figure:
    """Draw the matrices of all layers: each row's shares as colours, the counts as numbers."""
    layers, classes = len(counts), len(names)
    columns = 2 if layers == 4 else min(layers, COLUMNS)
    rows = math.ceil(layers / columns)
    side = min(max(0.42 * classes, 2.6), 7)
    figure = Figure((columns * (side + 0.9) + 0.4, rows * (side + 1.1)), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).flat
    for layer, place in enumerate(axes):
        if layer >= layers:
            place.set_axis_off()
            continue
        _draw(place, counts[layer], names)
        place.set_title(f"layer {layer}: {100 * shares[layer]:.2f} % right", fontsize=11, pad=8)
    return figure


def _draw(place: Axes, matrix: np.ndarray, names: Sequence[str]):
    classes = len(names)
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    right = np.eye(classes, dtype=bool)
    # Two scales: a mistake of a hundredth is to be seen beside 97 % that are right.
    for shown, colour, gamma in ((~right, COLOURS[1], 0.45), (right, COLOURS[0], 1)):
        shades = LinearSegmentedColormap.from_list("shades", ["white", colour])
        part = np.ma.masked_array(share**gamma * 0.85, ~shown)
        place.imshow(part, cmap=shades, vmin=0, vmax=1)
    if classes <= NUMBERED:
        for label, prediction in np.argwhere(matrix):
            strong = label == prediction and share[label, prediction] > 0.6
            place.text(
                prediction,
                label,
                str(matrix[label, prediction]),
                ha="center",
                va="center",
                fontsize=8,
                color="white" if strong else "#1d2530",
            )
    place.set_xlabel("prediction")
    place.set_ylabel("label")
    place.spines[:].set_visible(False)
    place.tick_params(length=0)
    if classes <= NAMED:
        longest = max(map(len, names))
        turned = {"rotation": 60, "ha": "right", "rotation_mode": "anchor"} if longest > 3 else {}
        # Names are no mathematics, whatever signs they hold.
        place.set_xticks(range(classes), names, fontsize=8, parse_math=False, **turned)
        place.set_yticks(range(classes), names, fontsize=8, parse_math=False)
    if classes <= NUMBERED:
        place.set_xticks(np.arange(classes + 1) - 0.5, minor=True)
        place.set_yticks(np.arange(classes + 1) - 0.5, minor=True)
        place.grid(which="minor", color="#e3e8ee", linewidth=0.6)
        place.tick_params(which="minor", length=0)
