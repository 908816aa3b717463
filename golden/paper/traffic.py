# SPDX-License-Identifier: BSD-2-Clause
"""Words read and written, and multiplications, of a training step: the paper's count and ours.

The paper's Table 1 and Figure 6, and the same counts of any description. The notation is that of
its section 4, but for one sample: layer i = 1..L has P_i weights and makes A_i activations, each of
which goes to R_i neurons of layer i + 1; A_0 is the input. A step with B samples takes

                       words read       words written    multiply-accumulates (MACs)
    backpropagation    2 P_i + B A_i    P_i + B A_i      3 B R_{i-1} A_{i-1}
    local errors       P_i              P_i              2 B (R_{i-1} A_{i-1} + C A_i)
    ours               P_i + b_i        P_i + b_i        2 B (P_i + b_i) n_i

summed over all layers. Where the paper leaves a choice:

- Activations count after pooling, and there are no biases and no output classifier: so the numbers
  printed under Figure 6 come out. The input is not in them, and so not in the traffic.
- Layer i is made with R_{i-1} A_{i-1} products (section 4), so Table 1's sum of R_i A_i runs from
  the input to the layer below the top one, which has no fan-out: all products of one forward pass,
  those of a convolution at each position before pooling.
- Errors are propagated to the input as well, and the error at the top is free, as in the paper.
- Table 1 as printed lacks N_b, the mini-batches of an epoch, in what local errors read and write,
  as if parameters came in once an epoch. By section 4 they do in each mini-batch, as here.

Ours is what the project's hardware counts. Its step has one sample: each weight, the b_i biases
included, is read once and written once; each costs a product as it meets its input and one as it is
updated, at each of n_i positions (one, for its layers are fully connected). In a `frozen` layer
weights are read and meet their inputs, no more. Weights of classifiers are never stored, and their
products are additions outside the multipliers: the 2 C A_i of the paper's row are not in ours. The
last step of all is written by a pass of its own, which reads once more.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from golden import spec
from golden.exhibit import COLOURS, Exhibit, drawing, table

__all__ = [
    "METHODS",
    "NETWORKS",
    "Conv",
    "Full",
    "LayerShape",
    "NetworkShape",
    "Traffic",
    "backpropagation",
    "count",
    "describe",
    "figure6",
    "in_hardware",
    "local_errors",
    "ours",
    "table1",
    "translate",
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
    ("ours", "Σ Pᵢ + bᵢ", "Σ Pᵢ + bᵢ", "B Σ 2(Pᵢ + bᵢ)nᵢ"),
)
NOTES = """\
The first two rows are the paper's. As printed there, reads and writes of local errors lack the
factor N_b, the mini-batches of an epoch; by its section 4 parameters are read and written in each
of them, and so they are here.

*Ours* is what the hardware's counters count: each weight and each bias is read once and written
once a step, and **a step of the hardware is one sample**. Its words are those of the memory on the
chip, the paper's those of an external one. The 2CAᵢ products with classifier weights are not in our
MACs: these weights are small odd integers, made on the fly, and their products are additions
outside the multipliers.

Rows with a star only count what the same rule takes; no hardware of this project does so. It has no
convolutions, and steps of more samples are for the golden model alone (inputs and local errors of
all of them would have to stay on the chip). The MNIST network is one that the generator makes, but
its weights are more than a board here holds."""
CONDITION = """\
The paper's condition for fewer MACs than backpropagation is the first; it is exact only if all
layers have as many activations as the input. The second is exact. In what follows, percentages are
of backpropagation in the same steps."""
PRICE = """\
Small steps have their price, whatever the method: to train 100 samples, the hardware reads and
writes all weights 100 times, where one step of 100 samples does so once. In steps of one sample
backpropagation has few activations to store, so local errors save its second reading of the
weights, and hardly a write."""
FIGURE_TEXT = """\
**Figure 6: words read and written to train 100 samples**, for the paper's networks; above in one
step, as in the paper, below in 100 steps, as the hardware does. Dashed bars only count what the
same rule takes; no hardware of this project does so: it has no convolutions, and steps of more
samples are for the golden model alone. Our words are those of the memory on the chip, the paper's
those of an external one."""
HEAD = ("network", "method", "words read", "written", "MACs", "read", "written", "MACs")
#: How strong bars of writes are, beside those of reads.
FAINT = 0.45
GREY = "#8d99a6"


class Traffic(NamedTuple):
    """Words read, words written and multiply-accumulates."""

    reads: int
    writes: int
    macs: int


@dataclass(frozen=True)
class Conv:
    """A convolution of stride 1 that keeps the size of its maps, and max pooling behind it.

    `kernel` is the side of a kernel, `pool` the stride of the pooling; 1 pools nothing.
    """

    maps: int
    kernel: int
    pool: int = 1


@dataclass(frozen=True)
class Full:
    """A fully connected layer; unless it is `trained`, its weights stay what they are."""

    neurons: int
    trained: bool = True


@dataclass(frozen=True)
class LayerShape:
    """The sizes of a layer.

    Parameters
    ----------
    inputs
        Activations of a sample that come in.
    fan_in
        Weights of a neuron, without its bias.
    maps
        Neurons that have weights of their own.
    positions
        Places at which each of them is computed.
    activations
        Of a sample, after pooling.
    classes
        Of the local classifier.
    trained
        Whether weights are updated.
    """

    inputs: int
    fan_in: int
    maps: int
    positions: int
    activations: int
    classes: int
    trained: bool

    @property
    def weights(self) -> int:
        """P_i: weights without biases, of which there are as many as maps."""
        return self.fan_in * self.maps

    @property
    def products(self) -> int:
        """R_{i-1} A_{i-1}: products of a forward pass; borders are ignored."""
        return self.weights * self.positions

    @property
    def fan_out(self) -> int:
        """R_{i-1}: neurons, before pooling, that each input goes to; borders are ignored."""
        return self.products // self.inputs

    @property
    def classifier_products(self) -> int:
        """2 C A_i: products with random weights for the scores and for the local errors."""
        return 2 * self.classes * self.activations


@dataclass(frozen=True)
class NetworkShape:
    """A network, bottom layer first."""

    name: str
    layers: tuple[LayerShape, ...]

    def total(self, name: str) -> int:
        """Sum a size over the layers."""
        return sum(getattr(layer, name) for layer in self.layers)

    @property
    def condition(self) -> tuple[int, float]:
        """Both sides of the paper's condition for fewer MACs, L C < 0.5 sum R_i.

        It is exact if all layers have as many activations as the input; in general it is
        2 sum C A_i < sum R_i A_i, `classifier_products` against `products`.
        """
        return self.total("classes"), self.total("fan_out") / 2


def describe(
    name: str, *stack: Conv | Full, side: int = 1, maps: int, classes: int
) -> NetworkShape:
    """Find the sizes of a stack of layers on `maps` square maps of inputs.

    >>> net = describe("tiny", Conv(4, kernel=3, pool=2), Full(5), side=6, maps=2, classes=3)
    >>> [(layer.weights, layer.activations, layer.fan_out) for layer in net.layers]
    [(72, 36, 36), (180, 5, 5)]
    """
    layers = []
    for part in stack:
        inputs, trained = side**2 * maps, True
        if isinstance(part, Conv):
            fan_in, positions = part.kernel**2 * maps, side**2
            side, maps = side // part.pool, part.maps
        else:
            fan_in, positions = inputs, 1
            side, maps, trained = 1, part.neurons, part.trained
        layers.append(LayerShape(inputs, fan_in, maps, positions, side**2 * maps, classes, trained))
    return NetworkShape(name, tuple(layers))


def translate(network: spec.NetworkSpec) -> NetworkShape:
    """Find the sizes of a description.

    Raises
    ------
    SpecError
        If a classifier is trained: its weights would be stored.
    """
    if any(layer.rule == "tlc" for layer in network.layers):
        raise spec.SpecError(f"{network.path}: rule: tlc stores classifiers; they are not counted")
    stack = [Full(layer.neurons, layer.rule != "frozen") for layer in network.layers]
    return describe(network.name, *stack, maps=network.inputs, classes=network.classes)


#: Those of the paper: MNIST (section 5.1), CIFAR10 with 5 layers and with 10 (section 5.2).
NETWORKS = (
    describe("MNIST", *[Full(1000)] * 3, side=28, maps=1, classes=10),
    describe(
        "5-layer convnet",
        *(Conv(maps, kernel=5, pool=2) for maps in (96, 128, 256)),
        *[Full(2048)] * 2,
        side=32,
        maps=3,
        classes=10,
    ),
    describe(
        "10-layer convnet",
        *(Conv(maps, kernel=3, pool=pool) for maps in (64, 128, 256, 512, 512) for pool in (1, 2)),
        side=32,
        maps=3,
        classes=10,
    ),
)


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


def ours(layer: LayerShape, batch: int) -> Traffic:
    """Count a step of a layer as the hardware's counters do, which has a batch of 1.

    For larger batches, and for convolutions, this is what the rule takes: inputs and local errors
    of a batch stay on the chip, and every weight comes in once a step. No hardware does so.
    """
    weights = layer.weights + layer.maps
    return Traffic(
        reads=weights,
        writes=weights * layer.trained,
        macs=batch * layer.positions * weights * (1 + layer.trained),
    )


#: Ways to train, by the name that exhibits give them.
METHODS: dict[str, Callable[[LayerShape, int], Traffic]] = {
    "backpropagation": backpropagation,
    "local errors": local_errors,
    "ours": ours,
}


def count(
    method: Callable[[LayerShape, int], Traffic],
    network: NetworkShape,
    *,
    batch: int,
    steps: int = 1,
) -> Traffic:
    """Count steps of a whole network.

    >>> net = describe("tiny", Full(5), Full(2), maps=3, classes=2)
    >>> count(ours, net, batch=1)
    Traffic(reads=32, writes=32, macs=64)
    """
    parts = [method(layer, batch) for layer in network.layers]
    return Traffic(*(steps * sum(column) for column in zip(*parts, strict=True)))


def in_hardware(network: NetworkShape, batch: int) -> bool:
    """Tell whether hardware trains so; if not, `ours` is a count alone."""
    return batch == 1 and all(layer.positions == 1 for layer in network.layers)


def table1(networks: Sequence[NetworkShape] = NETWORKS) -> Exhibit:
    """Evaluate Table 1 for networks, beside ours, and the paper's condition."""
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
        text += [f"{words.capitalize()}:", table(HEAD, list(_rows(networks, *setting)))]
    text.append(PRICE)
    data = {"networks": sizes, "counts": _counts(networks)}
    return Exhibit("table1", data, "\n\n".join(text))


def figure6() -> Exhibit:
    """Draw Figure 6: words read and written for a mini-batch, ours beside the paper's."""
    with drawing():
        figure = Figure(figsize=(9, 7), layout="constrained")
        for axes, words in zip(figure.subplots(2, 1), SETTINGS, strict=True):
            _draw(axes, *SETTINGS[words])
            axes.set_title(words.capitalize(), loc="left", fontweight="bold", pad=14)
        figure.legend(
            handles=[
                *(Patch(color=COLOURS[i], label=name) for i, name in enumerate(METHODS)),
                Patch(color=GREY, label="read"),
                Patch(color=GREY, alpha=FAINT, label="written"),
                Patch(fill=False, edgecolor=GREY, linestyle="--", label="not in hardware"),
            ],
            loc="outside upper center",
            ncols=6,
            frameon=False,
        )
    return Exhibit("figure6", {"counts": _counts(NETWORKS)}, FIGURE_TEXT, {"figure6": figure})


def _sizes(network: NetworkShape) -> dict[str, Any]:
    """Sum up a network; an inequality is a pair of its sides."""
    return {
        "parameters": network.total("weights"),
        "activations": network.total("activations"),
        "fan_outs": [layer.fan_out for layer in network.layers],
        "condition": network.condition,
        "fewer_macs": (network.total("classifier_products"), network.total("products")),
    }


def _counts(networks: Sequence[NetworkShape]) -> dict[str, Any]:
    """Count everything: by setting, network and method."""
    return {
        words: {
            network.name: {
                name: count(method, network, batch=batch, steps=steps)._asdict()
                for name, method in METHODS.items()
            }
            for network in networks
        }
        for words, (batch, steps) in SETTINGS.items()
    }


def _compare(left: float, right: float) -> str:
    """Write two numbers with the sign that belongs between them.

    >>> _compare(30, 1500.0)
    '30 < 1,500'
    """
    return f"{left:,.0f} {'<' if left < right else '≥'} {right:,.0f}"


def _rows(networks: Sequence[NetworkShape], batch: int, steps: int) -> Iterator[list[str]]:
    """Write a row for each network and method; shares are of backpropagation in the same steps."""
    for network in networks:
        whole = count(backpropagation, network, batch=batch, steps=steps)
        for name, method in METHODS.items():
            words = count(method, network, batch=batch, steps=steps)
            star = "*" if method is ours and not in_hardware(network, batch) else ""
            shares = [f"{n / of:.1%}" for n, of in zip(words, whole, strict=True)]
            yield [network.name, name + star, *(f"{n:,}" for n in words), *shares]


def _label(value: float) -> str:
    """Write a number above its bar, short enough not to meet its neighbour's."""
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}"


def _draw(axes: Axes, batch: int, steps: int):
    """Draw two bars, of words read and written, for each network and method."""
    for i, network in enumerate(NETWORKS):
        for k, (method, colour) in enumerate(zip(METHODS.values(), COLOURS, strict=False)):
            words = count(method, network, batch=batch, steps=steps)
            dashed = method is ours and not in_hardware(network, batch)
            for half, (value, alpha) in enumerate(((words.reads, 1), (words.writes, FAINT))):
                bars = axes.bar(
                    i + (k - 1) * 0.28 + (half - 0.5) * 0.12,
                    value / 1e6,
                    0.115,
                    facecolor=(colour, alpha * (FAINT if dashed else 1)),
                    edgecolor=colour if dashed else "none",
                    linestyle="--" if dashed else "-",
                )
                axes.bar_label(bars, fmt=_label, padding=2, fontsize=7.5)
    axes.set_xticks(range(len(NETWORKS)), [network.name for network in NETWORKS])
    axes.tick_params(axis="x", length=0)
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.set_ylabel("million words")
