# SPDX-License-Identifier: BSD-2-Clause
"""Table 2 and Figure 3 of the paper: MNIST in floats and in integers, beside what it reports."""

import math
from collections.abc import Callable, Sequence
from typing import Any

from matplotlib.axes import Axes

from golden.exhibit import Exhibit, drawing
from golden.paper.comparison import (
    NEAR_CHANCE,
    TOLERANCE,
    Result,
    bars,
    comparison,
    curves,
    many,
)
from golden.paper.methods import BATCH, CONTROL, DROPOUT, INTEGER_BATCH, LAYERS, LINE, Row
from golden.paper.rules import CLASSES

__all__ = ["figure3", "table2"]


def table2(results: Sequence[Result]) -> Exhibit:
    """Show all results beside Table 2; `reached` says what is called reached."""
    first = results[0].floats
    epochs, count = len(first[0].curve), len(first)
    data, lines = comparison(results, ("float", "integer"))
    text = f"""\
**Table 2: accuracy on MNIST in percent**, of three layers of 1000 neurons, after
{many(epochs, "epoch")}, mean ± standard deviation over {many(count, "run")} (the paper:
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
        mark = _paper(_lowest(results))
        figures = {"table2-curves": curves(results, mark, columns=LAYERS)}
    numbers = {"epochs": epochs, "runs": count, "tolerance": TOLERANCE, "rows": data}
    return Exhibit("table2", numbers, text, figures)


def _paper(lowest: float) -> Callable[[Axes, Row, int], tuple[str, Any]]:
    """Make what marks the paper's value in a panel that begins at `lowest`, or chance."""

    def mark(axis: Axes, row: Row, k: int) -> tuple[str, Any]:
        if not row.test:
            axis.set_ylim(0, 100)
            return "chance", axis.axhline(100 / CLASSES, color="black", lw=0.9, ls=":")
        value = row.test[k]
        spread = value.deviation or 0
        axis.axhspan(value.mean - spread, value.mean + spread, color="black", alpha=0.18, lw=0)
        axis.set_ylim(lowest, 99.2)
        return "paper", axis.axhline(value.mean, color="black", lw=0.9, ls="--")

    return mark


def _lowest(results: Sequence[Result]) -> float:
    """Find where panels begin: below all curves' ends."""
    ends = [
        share
        for result in results
        if result.row.test
        for outcome in (*result.floats, *result.integers)
        for share in outcome.test
    ]
    return min(96.8, math.floor(100 * min(ends, default=1.0)))


def figure3(results: Sequence[Result]) -> Exhibit:
    """Show results like Figure 3: a bar for each layer of each method, a line for BP."""
    first = results[0].floats
    epochs, count = len(first[0].curve), len(first)
    data, lines = comparison(results, ("float",))
    text = f"""\
**Figure 3: training and test accuracy on MNIST** of the paper's methods in float32, after
{many(epochs, "epoch")}, mean over {many(count, "run")} (the paper: 100 epochs, 4 runs).
Coloured bars are the accuracy on the test set, black bars above them that on the training set, the
red line is the test accuracy of backpropagation (BP); the paper's values are the white marks and
the broken line.

{lines}"""
    with drawing():
        figures = {"figure3": bars(results, LINE, range(1, LAYERS + 1), lowest=97.5)}
    return Exhibit("figure3", {"epochs": epochs, "runs": count, "rows": data}, text, figures)
