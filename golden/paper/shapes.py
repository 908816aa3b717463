# SPDX-License-Identifier: BSD-2-Clause
"""Sizes of networks, the paper's and those of descriptions, in the notation of its section 4."""

from dataclasses import dataclass

from golden import spec

__all__ = [
    "FIVE",
    "NETWORKS",
    "TEN",
    "Conv",
    "Full",
    "LayerShape",
    "NetworkShape",
    "describe",
    "translate",
]


@dataclass(frozen=True)
class Conv:
    """A convolution of stride 1 that keeps the size of its maps, and max pooling behind it.

    `kernel` is the side of a kernel, `pool` the stride of the pooling; 1 pools nothing. Unless it
    is `trained`, its weights stay what they are.
    """

    maps: int
    kernel: int
    pool: int = 1
    trained: bool = True


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
        inputs, trained = side**2 * maps, part.trained
        if isinstance(part, Conv):
            fan_in, positions = part.kernel**2 * maps, side**2
            side, maps = side // part.pool, part.maps
        else:
            fan_in, positions = inputs, 1
            side, maps = 1, part.neurons
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
    stack, side, maps = [], 1, network.inputs
    for layer in network.layers:
        learns, conv = layer.rule != "frozen", layer.conv
        if conv:
            stack.append(Conv(conv.maps, conv.kernel, conv.pool, learns))
        else:
            stack.append(Full(layer.neurons, learns))
    if first := network.layers[0].conv:
        side, maps = first.size, first.channels
    return describe(network.name, *stack, side=side, maps=maps, classes=network.classes)


#: The layers of the paper's networks for CIFAR10, with 5 of them and with 10 (section 5.2).
FIVE = (*(Conv(maps, kernel=5, pool=2) for maps in (96, 128, 256)), *[Full(2048)] * 2)
TEN = tuple(Conv(maps, kernel=3, pool=pool) for maps in (64, 128, 256, 512, 512) for pool in (1, 2))
#: Those of the paper: MNIST (section 5.1), and these.
NETWORKS = (
    describe("MNIST", *[Full(1000)] * 3, side=28, maps=1, classes=10),
    describe("5-layer convnet", *FIVE, side=32, maps=3, classes=10),
    describe("10-layer convnet", *TEN, side=32, maps=3, classes=10),
)
