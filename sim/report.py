# SPDX-License-Identifier: BSD-2-Clause
"""A run as one HTML page that needs nothing else."""

import io
import math
from collections.abc import Mapping, Sequence
from html import escape
from string import Template
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from golden.exhibit import COLOURS, drawing
from golden.health import SIGNS, shares
from hw.ports import COUNTERS, LEFT, Activity

from .outcome import Outcome, percent

__all__ = ["render"]

#: What a clock is spent on: words and colour of each activity.
CLOCKS = {
    Activity.FORWARD: ("forward", "#2a9d6f"),
    Activity.UPDATE: ("updating weights", "#2f6db3"),
    Activity.GAP: ("the pipeline runs empty", "#8fc7b0"),
    Activity.STALL_INPUT: ("waiting for a sample", "#c9d1d9"),
    Activity.STALL_ERROR: ("waiting for the error", "#e9a23b"),
    Activity.STALL_OUTPUT: ("waiting for the reader", "#c95f4a"),
    Activity.OTHER: ("initialising, commands", "#8d99a6"),
}
#: Points of the curve of running accuracy.
POINTS = 80
#: First-layer neurons that are drawn.
NEURONS = 128
#: Fields of a layer that the table of the network shows.
FIELDS = (
    *("index", "inputs", "neurons", "classes", "lanes", "rule"),
    *("fx", "fy", "fw", "wb", "mb", "fe", "lr", "init_bits", "ms"),
)
PAGE = Template("""\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$name: trained in RTL</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; color: #1f2933; background: #f5f7f9; margin: 0; }
main { max-width: 860px; margin: 0 auto; padding: 32px 24px 64px; }
h1 { font-size: 26px; margin: 0 0 16px; }
h2 { font-size: 18px; margin: 36px 0 8px; }
p { margin: 4px 0 12px; max-width: 70ch; }
figure, .card { background: #fff; border: 1px solid #dde3e8; border-radius: 8px; margin: 0; }
figure { padding: 12px; }
figure svg { display: block; width: 100%; height: auto; }
.verdict { border-radius: 8px; padding: 12px 18px; border-left: 6px solid; background: #fff; }
.verdict b { font-size: 18px; }
.good { border-color: #2a9d6f; }
.bad { border-color: #c9302c; background: #fdf0ef; }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 12px;
  margin-top: 16px; }
.card { padding: 10px 14px; }
.card b { display: block; font-size: 20px; }
.chain { display: flex; flex-wrap: wrap; align-items: center; gap: 8px; margin-top: 16px; }
.chain small { display: block; color: #66727f; }
.layer, .end { background: #fff; border: 2px solid #dde3e8; border-radius: 8px; padding: 8px 14px;
  text-align: center; font-size: 14px; }
.layer b { display: block; }
.arrow { color: #8d99a6; font-size: 20px; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; background: #fff; font-size: 13px; margin-top: 8px; }
th, td { border: 1px solid #dde3e8; padding: 4px 9px; text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
th { background: #eef2f5; font-weight: 600; }
.left th, .left td { text-align: left; }
.words td:first-child { white-space: normal; min-width: 30ch; text-wrap: pretty; }
</style>
</head>
<body><main>
<h1>$name, trained in RTL</h1>
<div class="verdict $state"><b>$verdict</b><br>$words</div>
<div class="facts">
<div class="card">trained on<b>$samples</b>samples</div>
<div class="card">test, $answers<b>$accuracy</b>$tested samples, in RTL</div>
<div class="card">clocks per sample<b>$cycles</b>training, batch 1</div>
<div class="card">simulated in<b>$seconds s</b>$rate clocks/s</div>
</div>
$chain
$curve
$clocks
<div class="wide">$counters</div>
<p>Use is the products of steps in which nothing is zero, over what the multipliers could have made
in all clocks of training, waiting and commands included: $use in all layers together. Zeros are
skipped, so that it may be above 100 %.</p>
$health
$exits
$weights
<h2>The network</h2>
<div class="wide">$layers</div>
<h2>The run</h2>
<div class="wide left">$run</div>
</main></body>
</html>
""")


def _svg(figure: Figure) -> str:
    text = io.StringIO()
    figure.savefig(text, format="svg", bbox_inches="tight", metadata={"Date": None})
    svg = text.getvalue()
    return svg[svg.index("<svg") :]


def _accuracy(outcome: Outcome) -> str:
    """Draw accuracy over training samples: running, and on the test set after each epoch."""
    correct = np.concatenate(outcome.training)
    size = math.ceil(len(correct) / POINTS)
    edges = np.arange(0, len(correct), size)
    figure = Figure(figsize=(7.2, 3.4))
    axes = figure.subplots()
    shares = np.add.reduceat(correct, edges, axis=0, dtype=float)
    counts = np.diff(np.append(edges, len(correct)))
    for i, share in enumerate(shares.T):
        colour = COLOURS[i % len(COLOURS)]
        axes.plot(
            edges + counts / 2,
            100 * share / counts,
            color=colour,
            linewidth=1,
            alpha=0.55,
            label=f"layer {i}, training",
        )
        axes.plot(
            [samples for samples, _ in outcome.epochs],
            [100 * accuracy[i] for _, accuracy in outcome.epochs],
            color=colour,
            marker="o",
            markersize=3.5,
            linewidth=1.8,
            label=f"layer {i}, test",
        )
    axes.set_xlabel("training samples")
    axes.set_ylabel("right answers, %")
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.grid(axis="y", color="#e4e8ec")
    axes.set_ylim(top=101)
    axes.legend(
        frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=len(outcome.spec.layers)
    )
    return _svg(figure)


def _clocks(counters: Sequence[Mapping[str, int]]) -> str:
    """Draw what each layer spent its clocks on."""
    figure = Figure(figsize=(7.2, 0.9 + 0.42 * len(counters)))
    axes = figure.subplots()
    rows = np.arange(len(counters))
    left = np.zeros(len(counters))
    for activity, (words, colour) in CLOCKS.items():
        name = activity.name.lower()
        share = np.array([100 * layer[name] / layer["cycles"] for layer in counters])
        axes.barh(rows, share, 0.62, left=left, color=colour, label=words)
        left += share
    axes.set_yticks(rows, [f"layer {i}" for i in rows])
    axes.invert_yaxis()
    axes.set_xlim(0, 100)
    axes.set_xlabel("% of all clocks of training")
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.legend(
        frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3, columnspacing=1.2
    )
    return _svg(figure)


def _weights(weights: np.ndarray) -> str:
    """Draw the weights of the first layer's neurons as images, if they are square."""
    count, inputs = len(weights), weights.shape[1] - 1
    side = math.isqrt(inputs)
    if side * side != inputs or side < 2:
        return ""
    shown = weights[:NEURONS, :-1].reshape(-1, side, side)
    columns = min(16, len(shown))
    rows = math.ceil(len(shown) / columns)
    mosaic = np.full((rows * (side + 1) - 1, columns * (side + 1) - 1), np.nan)
    for k, image in enumerate(shown):
        top, left = k // columns * (side + 1), k % columns * (side + 1)
        mosaic[top : top + side, left : left + side] = image
    limit = float(np.percentile(np.abs(shown), 99)) or 1.0
    figure = Figure(figsize=(7.2, 7.2 * rows / columns))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.imshow(mosaic, cmap="RdBu_r", vmin=-limit, vmax=limit, interpolation="nearest")
    axes.set_axis_off()
    words = f"{len(shown)} of {count} neurons" if len(shown) < count else f"all {count} neurons"
    return (
        f"<h2>What the first layer looks for</h2><p>The weights of {words}, as read out of the "
        f"hardware: red is positive, blue negative, full colour is {limit:.0f} or more.</p>"
        f"<figure>{_svg(figure)}</figure>"
    )


def _health(outcome: Outcome) -> str:
    """Tell, of each layer, what there was too little room for or nothing to do."""
    layers = outcome.spec.layers
    first, last = (
        [shares(layer, counts) for layer, counts in zip(layers, epoch, strict=True)]
        for epoch in (outcome.health[0], outcome.health[-1])
    )
    rows = [
        (
            f"{sign.title.capitalize()}. {sign.meaning} {sign.mend}",
            *(f"{a[name]:.2%} → {b[name]:.2%}" for a, b in zip(first, last, strict=True)),
        )
        for name, sign in SIGNS.items()
    ]
    table = _table(("what", *(f"layer {layer.index}" for layer in layers)), rows)
    gates = [str(layer.index) for layer in layers if layer.health]
    those = f"layer{'s' * (len(gates) > 1)} {', '.join(gates)}"
    proven = f" The gates of {those} have counted the same." if gates else ""
    return (
        "<h2>Health</h2><p>In the first epoch, and in the last one, as the golden model counts "
        f"them.{proven} <code>result.json</code> has the counts of all epochs.</p>"
        f'<div class="wide words">{table}</div>'
    )


def _exits(found: Mapping[str, Any]) -> str:
    """Tell where test samples have left, and what that has saved."""
    layers = range(len(found["left"]))
    margins = ["never" if margin is None else f"{margin:g}" for margin in found["margin"]]
    rows = [
        ("samples leave from a margin of", *margins[:-1], "all that are left"),
        ("left here", *map(percent, found["left"])),
        ("of them right", *map(percent, found["right"])),
        *(
            (f"{words}, {what}", *(layer[name] for layer in found[what]))
            for name, words in (("forward", "forward clocks"), ("weight_reads", "weight reads"))
            for what in ("spent", "saved")
        ),
    ]
    table = _table(("test", *(f"layer {layer}" for layer in layers)), rows)
    return (
        "<h2>Early exit</h2><p>A sample that a layer is sure of leaves there, and costs the layers "
        "above nothing. What was spent is what the counters of the hardware say; what was saved, "
        "what the golden model says those samples would have cost.</p>"
        f'<div class="wide">{table}</div>'
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Write a table; numbers are set to the right, with thousands apart."""
    lines = ["".join(f"<th>{escape(cell)}</th>" for cell in head)]
    for row in rows:
        cells = [f"{cell:,}" if isinstance(cell, int) else escape(str(cell)) for cell in row]
        lines.append("".join(f"<td>{cell}</td>" for cell in cells))
    return "<table>" + "".join(f"<tr>{line}</tr>" for line in lines) + "</table>"


def _network(outcome: Outcome, accuracy: Sequence[float | None]) -> str:
    """Draw the chain of layers, each with its prediction."""
    spec = outcome.spec
    boxes = [f'<div class="end">{spec.layers[0].inputs}<small>pixels</small></div>']
    for layer, share in zip(spec.layers, accuracy, strict=True):
        boxes.append('<div class="arrow">→</div>')
        boxes.append(
            f'<div class="layer" style="border-color:{COLOURS[layer.index % len(COLOURS)]}">'
            f"<b>layer {layer.index}</b>{layer.neurons} neurons<br>{layer.lanes} lanes, "
            f"{escape(layer.rule)}<small>test {percent(share)}</small></div>"
        )
    return f'<div class="chain">{"".join(boxes)}</div>'


def render(outcome: Outcome, result: Mapping[str, Any]) -> str:
    """Write the page of a run.

    Parameters
    ----------
    outcome
        The run.
    result
        The content of its `result.json`.

    Returns
    -------
    str
        HTML with all images and styles inside.
    """
    spec = outcome.spec
    accuracy = outcome.test_accuracy or [None] * len(spec.layers)
    exits = outcome.early_exit
    if outcome.mismatch:
        verdict = ("bad", "Not bit-exact", str(outcome.mismatch))
    else:
        verdict = (
            "good",
            "Bit-exact",
            f"{outcome.compared:,} values of the hardware are those of the golden model: every "
            "activation, score, error, local error and prediction of every sample and layer, and "
            "every weight.",
        )
    with drawing():
        curve = _accuracy(outcome) if outcome.training and outcome.epochs else ""
        clocks = _clocks(outcome.counters) if outcome.counters else ""
        weights = _weights(outcome.weights.W[0])
    rate = outcome.clocks / outcome.seconds if outcome.seconds else 0
    return PAGE.substitute(
        name=escape(spec.name),
        state=verdict[0],
        verdict=verdict[1],
        words=escape(verdict[2]),
        samples=f"{result['samples']:,}",
        tested=f"{result['test_samples']:,}",
        answers="early exit" if exits else "last layer",
        accuracy=percent(exits["accuracy"] if exits else accuracy[-1]),
        cycles=f"{outcome.clocks_per_sample:,.0f}",
        use=f"{result['network_use']:.0%}",
        seconds=f"{outcome.seconds:,.0f}",
        rate=f"{rate:,.0f}",
        chain=_network(outcome, accuracy),
        curve=f"<h2>Learning</h2><figure>{curve}</figure>" if curve else "",
        clocks=f"<h2>Where the clocks went</h2><figure>{clocks}</figure>" if clocks else "",
        counters=_table(
            ("counter", *(f"layer {layer.index}" for layer in spec.layers)),
            [
                ("dense-equivalent use", *(f"{share:.0%}" for share in outcome.use)),
                *(
                    (name, *(layer.get(name, "") for layer in outcome.counters))
                    for name in (*COUNTERS, *([LEFT] if any(x.exits for x in spec.layers) else []))
                ),
            ],
        ),
        health=_health(outcome) if outcome.health else "",
        exits=_exits(exits) if exits and outcome.spent else "",
        weights=weights,
        layers=_table(
            ("layer", *FIELDS[1:]),
            [[getattr(layer, name) for name in FIELDS] for layer in spec.layers],
        ),
        run=_table(
            ("key", "value"),
            [
                ("description", spec.path),
                ("data", spec.data),
                ("seed", str(spec.seed)),
                ("epochs", spec.epochs),
                ("schedule", str(outcome.growth) if outcome.growth.shares else spec.schedule),
                ("started from", outcome.start or "initial weights"),
                ("classes", ", ".join(outcome.labels) or str(spec.classes)),
                ("lr grows after epochs", spec.lr_step),
                *result["versions"].items(),
            ],
        ),
    )
