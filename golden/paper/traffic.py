# SPDX-License-Identifier: BSD-2-Clause
"""Words read and written, and multiplications, of a training step: the paper's count and ours.

The paper's Table 1 and Figure 6, and the same counts of any description. The notation is that of
its section 4, but for one sample: layer i = 1..L has P_i weights and makes A_i activations, each of
which goes to R_i neurons of layer i + 1; A_0 is the input. A step with B samples takes

                       words read       words written    multiply-accumulates (MACs)
    backpropagation    2 P_i + B A_i    P_i + B A_i      3 B R_{i-1} A_{i-1}
    local errors       P_i              P_i              2 B (R_{i-1} A_{i-1} + C A_i)
    ours, dense        2 (P_i + b_i)    P_i + b_i        2 (P_i + b_i)

summed over all layers. Where the paper leaves a choice:

- Activations count after pooling, and there are no biases and no output classifier: so the numbers
  printed under Figure 6 come out. The input is not in them, and so not in the traffic.
- Layer i is made with R_{i-1} A_{i-1} products (section 4), so Table 1's sum of R_i A_i runs from
  the input to the layer below the top one, which has no fan-out: all products of one forward pass,
  those of a convolution at each position before pooling.
- Errors are propagated to the input as well, and the error at the top is free, as in the paper.
- Table 1 as printed lacks N_b, the mini-batches of an epoch, in what local errors read and write,
  as if parameters came in once an epoch. By section 4 they do in each mini-batch, as here.

Ours is what the project's hardware counts, whose layers are fully connected and whose step has one
sample. There a weight, the b_i biases included, is read for each product that it takes part in: on
the way forward with its input, and as it is updated, when it is also written. What would change
nothing is left out: inputs that are 0, updates of samples whose errors are all 0, and of groups of
neurons whose local errors are all 0. So the row above is the most that a step takes, and
what a training takes is counted (`counted`). In a `frozen` layer weights meet their inputs, no
more. Weights of classifiers are never stored, and their products are additions outside the
multipliers: the 2 C A_i of the paper's row are not in ours.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from tqdm import tqdm

from golden import events, spec
from golden.data import Data
from golden.exhibit import COLOURS, Exhibit, drawing, table
from golden.model import IntegerNetwork
from golden.order import pieces
from golden.paper.shapes import NETWORKS, LayerShape, NetworkShape

__all__ = [
    "METHODS",
    "Counted",
    "Traffic",
    "backpropagation",
    "count",
    "counted",
    "figure6",
    "in_hardware",
    "local_errors",
    "ours",
    "table1",
]

#: How the 100 samples of the paper's mini-batch are trained: in words, batch, steps.
SETTINGS = {"one step of 100 samples": (100, 1), "100 steps of one sample": (1, 100)}
TITLE = """\
**Table 1: memory traffic and multiply-accumulates (MACs) of a training step.** Layer i = 1..L has
Pᵢ weights and bᵢ biases, Aᵢ activations of a sample, fan-out Rᵢ and nᵢ positions of its kernels;
A₀ is the input, C the number of classes, B the samples of a step. Sums are over all layers."""
FORMULAS = (
    ("backpropagation", "Σ 2Pᵢ + BAᵢ", "Σ Pᵢ + BAᵢ", "B Σ 3Rᵢ₋₁Aᵢ₋₁"),
    ("local errors", "Σ Pᵢ", "Σ Pᵢ", "B Σ 2(Rᵢ₋₁Aᵢ₋₁ + CAᵢ)"),
    ("ours, dense", "Σ 2(Pᵢ + bᵢ)", "Σ Pᵢ + bᵢ", "Σ 2(Pᵢ + bᵢ)"),
)
NOTES = """\
The first two rows are the paper's. As printed there, reads and writes of local errors lack the
factor N_b, the mini-batches of an epoch; by its section 4 parameters are read and written in each
of them, and so they are here.

*Ours* is what the hardware's counters count: a weight or a bias is read for each product that it
takes part in, on the way forward and as it is updated, and written as it is updated. **A step of
the hardware is one sample**, and no layer is a convolution. *Dense* is the most that a step takes,
where nothing is zero. Zeros are skipped, so that *counted* is what a training takes: inputs that
are 0, updates of samples whose errors are all 0, and of groups of neurons (as many as the layer has
lanes, or all where that is left open) whose local errors are all 0, are neither read, nor
multiplied, nor written.

Our words are those of the memory on the chip beside each multiplier, the paper's those of an
external one. The 2CAᵢ products with classifier weights are not in our MACs: these weights are small
odd integers, made on the fly, and their products are additions outside the multipliers. The MNIST
network is one that the generator makes, but its weights are more than a board here holds."""
CONDITION = """\
The paper's condition for fewer MACs than backpropagation is the first; it is exact only if all
layers have as many activations as the input. The second is exact. In what follows, percentages are
of backpropagation in the same steps."""
PRICE = """\
Small steps have their price, whatever the method: to train 100 samples, weights are read and
written in each of 100 steps, where one step of 100 samples does so once. In steps of one sample
backpropagation has few activations to store, so local errors save its second reading of the
weights, and hardly a write. What the hardware saves beyond that, it saves by skipping zeros."""
FIGURE_TEXT = """\
**Figure 6: words read and written to train 100 samples**, for the paper's networks; above in one
step, as in the paper, below in 100 steps, as the hardware does, which has no convolutions. Our
words are those of the memory on the chip, the paper's those of an external one."""
HEAD = ("network", "method", "words read", "written", "MACs", "read", "written", "MACs")
USE = """\
What was counted in a training, for each weight and step, where dense would be 2 reads, 1 write and
2 MACs. Later in a training there are more zeros, and the figures are smaller."""
USE_HEAD = ("network", "samples counted", "words read", "written", "MACs")
#: What exhibits call ours: where nothing is zero, and in a training.
DENSE, COUNTED = "ours, dense", "ours, counted"
#: How strong bars of writes are, beside those of reads.
FAINT = 0.45
GREY = "#8d99a6"


class Traffic(NamedTuple):
    """Words read, words written and multiply-accumulates."""

    reads: int
    writes: int
    macs: int


def backpropagation(layer: LayerShape, batch: int) -> Traffic:
    """Count a step of a layer as the paper does for standard backpropagation.

    Weights come in for either pass, activations go out in the first and come in for the second.
    """
    activations = batch * layer.activations
    return Traffic(
        reads=2 * layer.weights + activations,
        writes=layer.weights + activations,
        macs=3 * batch * layer.products,
    )


def local_errors(layer: LayerShape, batch: int) -> Traffic:
    """Count a step of a layer as the paper does for local errors: weights come in once."""
    return Traffic(
        reads=layer.weights,
        writes=layer.weights,
        macs=batch * (2 * layer.products + layer.classifier_products),
    )


def ours(layer: LayerShape, batch: int = 1) -> Traffic:
    """Count a step of a layer as the hardware's counters do where nothing is zero.

    Raises
    ------
    ValueError
        If no hardware makes such a step.
    """
    if batch != 1 or layer.positions != 1:
        raise ValueError("the hardware has steps of one sample, and no convolutions")
    weights = layer.weights + layer.maps
    products = weights * (1 + layer.trained)
    return Traffic(reads=products, writes=weights * layer.trained, macs=products)


#: Ways to train, by the name that exhibits give them, but for what is counted in a training.
METHODS: dict[str, Callable[[LayerShape, int], Traffic]] = {
    "backpropagation": backpropagation,
    "local errors": local_errors,
    DENSE: ours,
}


def count(
    method: Callable[[LayerShape, int], Traffic],
    network: NetworkShape,
    *,
    batch: int,
    steps: int = 1,
) -> Traffic:
    """Count steps of a whole network.

    >>> count(ours, NETWORKS[0], batch=1)
    Traffic(reads=5574000, writes=2787000, macs=5574000)
    """
    parts = [method(layer, batch) for layer in network.layers]
    return Traffic(*(steps * sum(column) for column in zip(*parts, strict=True)))


@dataclass(frozen=True)
class Counted:
    """What the first `samples` steps of a training took, of one sample each, in sum."""

    samples: int
    traffic: Traffic

    def of(self, steps: int) -> Traffic:
        """Scale it to so many steps, rounded."""
        return Traffic(*(round(steps * words / self.samples) for words in self.traffic))


def counted(network: spec.NetworkSpec, data: Data, samples: int) -> Counted:
    """Train a network on one sample a step, and count as the hardware's counters do.

    It takes the first `samples` of the description's epochs, or all.
    """
    golden, reads, writes = IntegerNetwork(network), 0, 0
    samples = min(samples, network.passes * len(data.train_x))
    form = {"unit": " samples", "disable": None, "leave": False}
    with tqdm(total=samples, desc=f"counting {network.name}", **form) as progress:
        for epoch, seen in pieces(network.seed, len(data.train_x), 0, samples):
            for k in seen:
                x = data.train_x[k : k + 1]
                steps = golden.train(x, data.train_y[k : k + 1], epoch)
                layers = events.count(network, x, steps, epoch)
                reads += sum(int(layer["weight_reads"][0]) for layer in layers)
                writes += sum(int(layer["weight_writes"][0]) for layer in layers)
                progress.update()
    return Counted(samples, Traffic(reads, writes, macs=reads))


def in_hardware(network: NetworkShape, batch: int) -> bool:
    """Tell whether hardware trains so."""
    return batch == 1 and all(layer.positions == 1 for layer in network.layers)


def methods(
    network: NetworkShape, counts: Mapping[str, Counted], *, batch: int, steps: int
) -> dict[str, Traffic]:
    """Count steps of a network by each method that can train it so.

    `counts` has what was counted in a training, by the name of the network.
    """
    made = {
        name: count(method, network, batch=batch, steps=steps)
        for name, method in METHODS.items()
        if method is not ours or in_hardware(network, batch)
    }
    if network.name in counts and in_hardware(network, batch):
        made[COUNTED] = counts[network.name].of(steps)
    return made


def table1(
    networks: Sequence[NetworkShape] = NETWORKS, counts: Mapping[str, Counted] | None = None
) -> Exhibit:
    """Evaluate Table 1 for networks, beside ours, and the paper's condition.

    `counts` as in `methods`.
    """
    counts = counts or {}
    sizes = {network.name: _sizes(network) for network in networks}
    text = [
        TITLE,
        table(["method", "words read", "words written", "MACs"], FORMULAS),
        NOTES,
        table(
            ["network", "ΣPᵢ", "ΣAᵢ", "L·C < ½ΣRᵢ₋₁", "2CΣAᵢ < ΣRᵢ₋₁Aᵢ₋₁"],
            [
                [
                    name,
                    *(f"{size[key]:,}" for key in ("parameters", "activations")),
                    *(_compare(*size[key]) for key in ("condition", "fewer_macs")),
                ]
                for name, size in sizes.items()
            ],
        ),
        CONDITION,
    ]
    for words, setting in SETTINGS.items():
        text += [f"{words.capitalize()}:", table(HEAD, list(_rows(networks, counts, *setting)))]
    text.append(PRICE)
    if counts:
        text += [USE, table(USE_HEAD, list(_uses(networks, counts)))]
    data = {"networks": sizes, "counts": _counts(networks, counts), "counted": _kept(counts)}
    return Exhibit("table1", data, "\n\n".join(text))


def figure6(counts: Mapping[str, Counted] | None = None) -> Exhibit:
    """Draw Figure 6: words read and written for a mini-batch, ours beside the paper's.

    `counts` as in `methods`.
    """
    counts = counts or {}
    shown = [*METHODS, COUNTED] if counts else list(METHODS)
    with drawing():
        figure = Figure(figsize=(9, 7), layout="constrained")
        for axes, words in zip(figure.subplots(2, 1), SETTINGS, strict=True):
            _draw(axes, counts, *SETTINGS[words])
            axes.set_title(words.capitalize(), loc="left", fontweight="bold", pad=14)
        figure.legend(
            handles=[
                *map(_patch, shown, COLOURS),
                Patch(color=GREY, label="read"),
                Patch(color=GREY, alpha=FAINT, label="written"),
            ],
            loc="outside upper center",
            ncols=6,
            frameon=False,
        )
    data = {"counts": _counts(NETWORKS, counts), "counted": _kept(counts)}
    return Exhibit("figure6", data, FIGURE_TEXT, {"figure6": figure})


def _sizes(network: NetworkShape) -> dict[str, Any]:
    """Sum up a network; an inequality is a pair of its sides."""
    return {
        "parameters": network.total("weights"),
        "activations": network.total("activations"),
        "fan_outs": [layer.fan_out for layer in network.layers],
        "condition": network.condition,
        "fewer_macs": (network.total("classifier_products"), network.total("products")),
    }


def _counts(networks: Sequence[NetworkShape], counts: Mapping[str, Counted]) -> dict[str, Any]:
    """Count everything: by setting, network and method."""
    return {
        words: {
            network.name: {
                name: traffic._asdict()
                for name, traffic in methods(network, counts, batch=batch, steps=steps).items()
            }
            for network in networks
        }
        for words, (batch, steps) in SETTINGS.items()
    }


def _kept(counts: Mapping[str, Counted]) -> dict[str, Any]:
    """Write what was counted in trainings for JSON."""
    return {
        name: {"samples": found.samples, **found.traffic._asdict()}
        for name, found in counts.items()
    }


def _compare(left: float, right: float) -> str:
    """Write two numbers with the sign that belongs between them.

    >>> _compare(30, 1500.0)
    '30 < 1,500'
    """
    return f"{left:,.0f} {'<' if left < right else '≥'} {right:,.0f}"


def _rows(
    networks: Sequence[NetworkShape], counts: Mapping[str, Counted], batch: int, steps: int
) -> Iterator[list[str]]:
    """Write a row for each network and method; shares are of backpropagation in the same steps."""
    for network in networks:
        made = methods(network, counts, batch=batch, steps=steps)
        whole = made["backpropagation"]
        for name, words in made.items():
            shares = [f"{n / of:.1%}" for n, of in zip(words, whole, strict=True)]
            yield [network.name, name, *(f"{n:,}" for n in words), *shares]


def _uses(networks: Sequence[NetworkShape], counts: Mapping[str, Counted]) -> Iterator[list[str]]:
    """Write what a step of each training took, per weight."""
    for network in networks:
        if network.name in counts:
            found, weights = counts[network.name], network.total("weights") + network.total("maps")
            words = [f"{n / found.samples / weights:.3f}" for n in found.traffic]
            yield [network.name, f"{found.samples:,}", *words]


def _patch(name: str, colour: str) -> Patch:
    return Patch(color=colour, label=name)


def _label(value: float) -> str:
    """Write a number above its bar, short enough not to meet its neighbour's."""
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}"


def _draw(axes: Axes, counts: Mapping[str, Counted], batch: int, steps: int):
    """Draw two bars, of words read and written, for each network and method."""
    for i, network in enumerate(NETWORKS):
        made = methods(network, counts, batch=batch, steps=steps)
        for k, (words, colour) in enumerate(zip(made.values(), COLOURS, strict=False)):
            for half, (value, alpha) in enumerate(((words.reads, 1), (words.writes, FAINT))):
                middle = i + (k - (len(made) - 1) / 2) * 0.24 + (half - 0.5) * 0.11
                bars = axes.bar(middle, value / 1e6, 0.105, color=colour, alpha=alpha)
                axes.bar_label(bars, fmt=_label, padding=2, fontsize=7.5)
    axes.set_xticks(range(len(NETWORKS)), [network.name for network in NETWORKS])
    axes.tick_params(axis="x", length=0)
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.set_ylabel("million words")
