# SPDX-License-Identifier: BSD-2-Clause
"""Early exit: what is sure leaves a network at a lower layer (contract, "Early exit").

It costs the layers above nothing. What it would cost them is counted in products of weights with
inputs that are not 0, each of which takes one multiplier for one clock.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from golden import events, training
from golden.exhibit import COLOURS, Exhibit, drawing
from golden.model import IntegerNetwork
from golden.spec import NetworkSpec

__all__ = ["Answers", "Point", "answers", "at", "exhibit", "leaving", "margins", "sweep"]

#: Points of a sweep, besides that in which nothing leaves early.
POINTS = 24


@dataclass(frozen=True)
class Answers:
    """What each layer would answer, to each of n samples.

    Parameters
    ----------
    network
        The description.
    prediction, margin
        Of each layer: int64 (n, layers). See `margins`.
    products
        Of weights with inputs that are not 0, in each layer: int64 (n, layers).
    labels
        What is right: int64 (n,).
    """

    network: NetworkSpec
    prediction: np.ndarray
    margin: np.ndarray
    products: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class Point:
    """What a threshold for each layer leads to.

    Parameters
    ----------
    margin
        The threshold of each layer below the last, 1 being the margin of the hinge loss; None where
        nothing leaves.
    thresholds
        The same in units of the layer's scores, as hardware compares it.
    leaves
        Share of the samples that leave at each layer.
    layers, products
        That a sample takes, in the mean.
    accuracy
        Share of the samples whose answer is right.
    """

    margin: tuple[float | None, ...]
    thresholds: tuple[int | None, ...]
    leaves: tuple[float, ...]
    layers: float
    products: float
    accuracy: float


def margins(scores: np.ndarray) -> np.ndarray:
    """Compute how sure scores (..., C) are: the largest less the second largest.

    >>> margins(np.array([[3, -4, 1], [2, 2, 0]])).tolist()
    [2, 0]
    """
    two = np.partition(scores, -2)
    return two[..., -1] - two[..., -2]


def leaving(margin: np.ndarray, thresholds: Sequence[int | None]) -> np.ndarray:
    """Find the layer at which each sample leaves: int64 (n,).

    It is the lowest whose margin, of `margin` (n, layers), is at least its threshold; all that is
    left leaves at the last layer, which has no threshold.

    >>> leaving(np.array([[5, 9], [4, 0]]), [5]).tolist()
    [0, 1]
    """
    sure = np.ones(margin.shape, bool)
    for layer, threshold in enumerate(thresholds):
        sure[:, layer] = False if threshold is None else margin[:, layer] >= threshold
    return sure.argmax(axis=1)


def answers(network: IntegerNetwork, x: np.ndarray, labels: np.ndarray) -> Answers:
    """Ask all layers for their answers to samples (n, M)."""
    prediction, margin, products = [], [], []
    for part in training.parts(x):
        steps = network.infer(part)
        inputs = [part, *(step.y.numpy() for step in steps[:-1])]
        prediction.append(np.stack([step.prediction.numpy() for step in steps], axis=1))
        margin.append(np.stack([margins(step.s.numpy()) for step in steps], axis=1))
        products.append(np.stack([*map(events.products, network.spec.layers, inputs)], axis=1))
    return Answers(
        network.spec,
        prediction=np.concatenate(prediction),
        margin=np.concatenate(margin),
        products=np.concatenate(products),
        labels=labels,
    )


def at(answers: Answers, margin: Sequence[float | None]) -> Point:
    """Say what thresholds lead to, one for each layer below the last; see `Point`."""
    thresholds = tuple(
        None if value is None else answers.network.layers[layer].threshold(value)
        for layer, value in enumerate(margin)
    )
    layer = leaving(answers.margin, thresholds)
    rows, count = np.arange(len(layer)), answers.margin.shape[1]
    right = answers.prediction[rows, layer] == answers.labels
    return Point(
        margin=tuple(margin),
        thresholds=thresholds,
        leaves=tuple((np.bincount(layer, minlength=count) / len(layer)).tolist()),
        layers=float(layer.mean() + 1),
        products=float(answers.products.cumsum(axis=1)[rows, layer].mean()),
        accuracy=float(right.mean()),
    )


def sweep(answers: Answers) -> list[Point]:
    """Raise the same threshold for all layers, from 0, where all leaves at the first, to none.

    The steps between have about as many samples each.
    """
    below = answers.margin.shape[1] - 1
    points = np.array([_point(answers.network, layer) for layer in range(below)])
    real = answers.margin[:, :below] * 2.0**-points
    values = np.unique(np.quantile(real, np.arange(1, POINTS) / POINTS, method="nearest"))
    wanted = [0.0, *(value for value in values.tolist() if value > 0), None]
    return [at(answers, [value] * below) for value in wanted]


def _point(network: NetworkSpec, layer: int) -> int:
    """Fraction bits of a layer's scores."""
    return network.layers[layer].fy + network.layers[layer].scale


def exhibit(name: str, answers: Answers, points: Sequence[Point], *, weights: str) -> Exhibit:
    """Show accuracy and cost at each of some points.

    Parameters
    ----------
    name
        Of the exhibit and its files.
    answers, points
        What was tested, and what thresholds lead to.
    weights
        Where they came from, for the heading.
    """
    network = answers.network
    alone = (answers.prediction == answers.labels[:, None]).mean(axis=0).tolist()
    whole = float(answers.products.sum(axis=1).mean())
    data = {
        "network": network.name,
        "weights": weights,
        "samples": len(answers.labels),
        "accuracy": alone,
        "products": answers.products.mean(axis=0).tolist(),
        "points": [vars(point) for point in points],
    }
    head = f"{network.name}: {len(answers.labels)} test samples, weights of {weights}"
    columns = "".join(f"{f'layer {i}':>9}" for i in range(len(alone)))
    lines = [f"{'margin':>9}{'accuracy':>10}{'products':>10}{'layers':>8}{columns}"]
    for point in points:
        leaves = "".join(f"{100 * share:9.2f}" for share in point.leaves)
        cost = f"{100 * point.products / whole:10.2f}{point.layers:8.2f}"
        lines.append(f"{_margin(point):>9}{100 * point.accuracy:10.2f}{cost}{leaves}")
    with drawing():
        figure = _figure(points, alone, answers.products.mean(axis=0).cumsum() / whole, whole)
    text = "```\n" + "\n\n".join([head, "\n".join(lines)]) + "\n```"
    return Exhibit(name, data, text, {name: figure})


def _margin(point: Point) -> str:
    """Write thresholds: one, if it is that of all layers."""
    values = ["none" if value is None else f"{value:.4g}" for value in point.margin]
    return values[0] if len(set(values)) == 1 else ",".join(values)


def _figure(
    points: Sequence[Point], alone: Sequence[float], share: np.ndarray, whole: float
) -> Figure:
    figure = Figure((9.6, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    cost = [100 * point.products / whole for point in points]
    left.plot(
        cost,
        [100 * point.accuracy for point in points],
        color="#3d4852",
        marker="o",
        markersize=3.5,
        linewidth=1.4,
        label="early exit",
    )
    for layer, (accuracy, upto) in enumerate(zip(alone, share.tolist(), strict=True)):
        left.plot(
            [100 * upto],
            [100 * accuracy],
            color=COLOURS[layer % len(COLOURS)],
            marker="D",
            markersize=6,
            linestyle="",
            label=f"all to layer {layer}",
        )
    left.set_xlabel("products a sample, % of all layers'")
    left.set_ylabel("right answers, %")
    left.grid(color="#e4e8ec")
    left.legend(frameon=False)
    _draw_leaves(right, points)
    return figure


def _draw_leaves(axes: Axes, points: Sequence[Point]):
    """Draw at which layer samples leave, over the threshold."""
    labels, rows = [_margin(point) for point in points], np.arange(len(points))
    bottom = np.zeros(len(points))
    for layer, share in enumerate(np.array([point.leaves for point in points]).T):
        colour = COLOURS[layer % len(COLOURS)]
        axes.bar(rows, 100 * share, 0.86, bottom, color=colour, label=f"leave at layer {layer}")
        bottom += 100 * share
    # All labels of a sweep would run into each other.
    shown = rows if len(rows) < 8 else rows[:: math.ceil(len(rows) / 8)]
    axes.set_xticks(shown, [labels[row] for row in shown])
    axes.set_xlabel("margin from which on a sample leaves")
    axes.set_ylabel("samples, %")
    axes.set_ylim(0, 100)
    axes.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3)
