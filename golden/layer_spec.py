# SPDX-License-Identifier: BSD-2-Clause
"""The description of a layer: its keys, their defaults, and the bounds that follow from them."""

import math
from dataclasses import dataclass

from golden.conv_spec import CONV_KEYS, ConvSpec, conv_of
from golden.errors import quoted
from golden.tables import Table

__all__ = [
    "ACCUMULATOR_LIMIT",
    "FORMATS",
    "LAYER_KEYS",
    "MARGIN_LIMIT",
    "MEAN_FRACTION",
    "ROUNDED_BITS",
    "SOURCES",
    "TRAINED_BITS",
    "Around",
    "LayerSpec",
    "layer_of",
    "splitmix64",
]

#: What `lanes` says where they are to be chosen.
AUTO = "auto"
KINDS = ("dense", "conv")
RULES = ("sym", "scfb", "random", "frozen", "tlc")
LOSSES = ("hinge", "ce")
INITS = ("uniform", "gauss")
SOURCES = ("lfsr", "array")
#: Streams of random numbers per layer (contract, "Random numbers").
STREAMS = 5
#: Widest accumulator that hardware and golden model are built for, in bits.
ACCUMULATOR_LIMIT = 48
#: How many odd numbers may be summed to a classifier weight of a Gaussian distribution (contract,
#: "Gaussian classifiers"). Their number is odd too, so that no weight is 0.
TERMS = (3, 5, 7)
#: Bits and fraction bits of a classifier weight that is trained (contract, "Trained classifier").
TRAINED_BITS = 16
TRAINED_FRACTION = 12
#: Fraction bits of a running mean of inputs, and the power of two samples that it goes back
#: (contract, "Centred inputs").
MEAN_FRACTION, MEAN_SAMPLES = 16, 10
#: Fraction bits of a class error in cross-entropy (contract, "Cross-entropy").
SOFTMAX_FRACTION = 8
#: Largest margin from which on samples leave a layer (contract, "Early exit").
MARGIN_LIMIT = 1_000_000
#: Widest weights that stochastic rounding is for (contract, "Stochastic rounding").
ROUNDED_BITS = 10

#: Range of every optional format key of a layer.
FORMATS = {
    "lanes": (1, 1024),
    "v_lanes": (1, 1024),
    "fx": (0, 8),
    "fy": (0, 8),
    "yb": (1, 8),
    "fw": (1, 24),
    "wb": (2, 18),
    "mb": (1, 8),
    "fe": (1, 16),
    "lr": (0, 24),
    "init_bits": (1, 17),
    "ms": (-8, 24),
    "gs": (-8, 24),
    "dropout": (0, 7),
    "lrv": (0, 24),
}
LAYER_KEYS = (
    "kind", "neurons", *CONV_KEYS, "rule", "loss", "init", "source", "sr", "margin", "health",
    "centred",
    *FORMATS,
)  # fmt: skip


def splitmix64(x: int) -> int:
    """Mix a 64-bit number (contract, "Random numbers").

    >>> hex(splitmix64(1024))
    '0x4426acba529f17cc'
    """
    mask = (1 << 64) - 1
    x = (x + 0x9E3779B97F4A7C15) & mask
    x = ((x ^ x >> 30) * 0xBF58476D1CE4E5B9) & mask
    x = ((x ^ x >> 27) * 0x94D049BB133111EB) & mask
    return x ^ x >> 31


@dataclass(frozen=True)
class LayerSpec:
    """One layer, every default resolved (contract, "Formats").

    The bounds hold for every state and input of the layer, whatever the rule; they are the home of
    the widths in hardware and of the types in the golden model.

    `lanes` is how many neurons hardware computes at once, None where that is to be chosen;
    `v_lanes` how many products with a classifier that is trained;
    `seeds[k]` the 64-bit seed of random stream k; `yb` the bits of an activation; `dropout` the
    eighths of the neurons that are dropped; `loss` what the class errors are made from; `init`
    the distribution of random classifier weights, and `terms` how many odd numbers are summed to
    each; `source` what makes their bits; `sr` whether updates are rounded stochastically; `lrv` the
    rate 2^-lrv of a classifier that is trained; `margin` from where on samples that are inferred
    leave after the layer, None where they cannot; `exits_below` whether they can below it; `health`
    whether hardware counts what `golden.health` does, which changes no bit; `conv` the shape of a
    layer of convolutions, None of one that is fully connected; `gs` the bits by which sums of the
    feedback are shifted right to become local errors; `centred` whether inputs are taken less
    their running means.

    `inputs` and `neurons` are the numbers that come in and go out; of convolutions these are the
    features.
    """

    index: int
    inputs: int
    neurons: int
    classes: int
    lanes: int | None
    v_lanes: int | None
    rule: str
    loss: str
    init: str
    terms: int
    source: str
    fx: int
    fy: int
    yb: int
    fw: int
    wb: int
    mb: int
    fe: int
    lr: int
    init_bits: int
    ms: int
    gs: int
    dropout: int
    sr: bool
    lrv: int
    margin: float | None
    exits_below: bool
    health: bool
    seeds: tuple[int, ...]
    conv: ConvSpec | None = None
    centred: bool = False

    @property
    def exits(self) -> bool:
        """Whether samples may have left when the layer is done with them."""
        return self.exits_below or self.margin is not None

    def threshold(self, margin: float) -> int:
        """Compute the least margin in units of scores that is no less than `margin`."""
        return math.ceil(margin * 2.0 ** (self.fy + self.scale))

    @property
    def one(self) -> int:
        """Input of the bias column."""
        return min(2**self.fx, 128)

    @property
    def fan_in(self) -> int:
        """Inputs that a neuron has a weight for, M."""
        return self.conv.fan_in if self.conv else self.inputs

    @property
    def rows(self) -> int:
        """Neurons with weights of their own: the maps, of convolutions."""
        return self.conv.maps if self.conv else self.neurons

    @property
    def columns(self) -> int:
        """Weights of such a neuron, the bias included."""
        return self.fan_in + 1

    @property
    def weights(self) -> int:
        """Weights of the layer, the biases included."""
        return self.rows * self.columns

    @property
    def seen(self) -> int:
        """Numbers that the classifier sees: the activations, or sums of them."""
        return self.conv.seen if self.conv else self.neurons

    @property
    def grey(self) -> int:
        """What inputs are less, from the start."""
        return 128 if self.conv and self.conv.signed else 0

    @property
    def x_bound(self) -> int:
        """Largest magnitude of an input, also where the layer below has fewer bits than 8."""
        return 128 if self.grey and not self.centred else 255

    @property
    def positions(self) -> int:
        """Inputs of a sample that share a running mean."""
        return self.conv.size**2 if self.conv else 1

    @property
    def means(self) -> int:
        """Running means of inputs; 0 where none are taken."""
        return self.inputs // self.positions if self.centred else 0

    @property
    def mean_shift(self) -> int:
        """Bits by which what the inputs of a step are above a mean is shifted to move it."""
        return MEAN_SAMPLES + (self.positions - 1).bit_length()

    def deviation_bound(self, batch: int) -> int:
        """Largest magnitude of that sum, and of its partial sums."""
        return batch * self.positions * 256 << MEAN_FRACTION

    @property
    def y_max(self) -> int:
        """Largest activation."""
        return 2**self.yb - 1

    @property
    def u_max(self) -> int:
        """Largest number that the classifier sees: an activation, or the sum of a cell."""
        return self.y_max * (self.conv.cell_size**2 if self.conv else 1)

    @property
    def scale(self) -> int:
        """Fraction bits of a classifier weight, trained or not."""
        return TRAINED_FRACTION if self.rule == "tlc" else self.ms

    @property
    def random_bound(self) -> int:
        """Largest magnitude of a classifier weight as it is drawn."""
        return self.terms * (2**self.mb - 1)

    @property
    def classifier_bound(self) -> int:
        """Largest magnitude of a classifier weight."""
        return 1 << (TRAINED_BITS - 1) if self.rule == "tlc" else self.random_bound

    @property
    def z_bound(self) -> int:
        """Largest magnitude of z, and of every sum of some of its terms."""
        return (self.x_bound * self.fan_in + self.one) << (self.wb - 1)

    @property
    def s_bound(self) -> int:
        """Largest magnitude of a score, and of every sum of some of its terms."""
        return self.classifier_bound * self.y_max * self.neurons

    @property
    def feedback_bound(self) -> int:
        """Largest magnitude of sum_c K e, from which g is rounded, and of its partial sums."""
        return self.classifier_bound * (2**self.fe - 1) * self.classes

    @property
    def g_bound(self) -> int:
        """Largest magnitude of a local error."""
        if self.gs <= 0:
            return self.feedback_bound << -self.gs
        return (self.feedback_bound + (1 << self.gs >> 1)) >> self.gs

    def update_bound(self, batch: int) -> int:
        """Largest magnitude of a sum of g x over a batch, and of its partial sums.

        In convolutions it is also one over positions.
        """
        positions = self.conv.side**2 if self.conv else 1
        return batch * positions * self.g_bound * self.x_bound

    def update_shift(self, lr: int) -> int:
        """Bits by which that sum is shifted right to become an update; may be negative."""
        fg = self.fe + self.scale - self.gs
        return fg + self.fx - self.fw + lr

    def classifier_update_bound(self, batch: int) -> int:
        """Largest magnitude of sum_b e u over a batch, and of its partial sums."""
        return batch * (2**self.fe - 1) * self.u_max

    @property
    def classifier_shift(self) -> int:
        """Bits by which sum_b e u is shifted right to become an update of `tlc`; as above."""
        return self.fe + self.fy - TRAINED_FRACTION + self.lrv


@dataclass(frozen=True)
class Around:
    """What a layer needs to know of its network.

    Parameters
    ----------
    inputs, shape
        Of the network: their number, and (channels, rows, columns) where they are an image.
    classes, seed, batch
        Of the network.
    convolutional
        Whether any of its layers is.
    """

    inputs: int
    shape: tuple[int, ...] | None
    classes: int
    seed: int
    batch: int
    convolutional: bool


def layer_of(table: Table, below: list[LayerSpec], around: Around) -> LayerSpec:
    """Read and check the table of the layer on top of those `below`.

    Raises
    ------
    SpecError
        If anything is missing, of the wrong type or out of range.
    """

    def number(key: str, default: int) -> int:
        return table.integer(key, *FORMATS[key], default)

    index, inputs, classes = len(below), around.inputs, around.classes
    if below:
        inputs = below[-1].neurons
    conv = _conv(table, below, around)
    neurons = conv.features if conv else table.integer("neurons", 1, 65535)
    fan_in, seen = (conv.fan_in, conv.seen) if conv else (inputs, neurons)
    fx = number("fx", below[-1].fy if below else 7 if conv and conv.signed else 8)
    if below and fx != below[-1].fy:
        raise table.error("fx", f"must be {below[-1].fy}, the fy of the layer below, not {fx}")
    fy, yb, wb, mb, fe = (
        number(key, default)
        for key, default in (("fy", 4), ("yb", 8), ("wb", 12), ("mb", 2), ("fe", 8))
    )
    # Initial weights are below the square root of 6 / M. They get a range of at least twice that.
    initial = math.sqrt(6 / fan_in)
    fw = wb - 2 - math.ceil(math.log2(initial))
    fw = number("fw", max(1, fw if conv else min(12, fw)))
    rule = table.choice("rule", RULES, "sym") or "sym"
    loss = table.choice("loss", LOSSES, "hinge") or "hinge"
    if loss == "ce" and fe != SOFTMAX_FRACTION:
        raise table.error("fe", f'must be {SOFTMAX_FRACTION} for loss = "ce", not {fe}; remove it')
    if fw + fx < fy:
        raise table.error("fy", f"must be at most fw + fx = {fw + fx}, not {fy}")
    init = table.choice("init", INITS, "uniform") or "uniform"
    # A cell is the sum of several features.
    share = neurons / seen
    terms, ms = _classifier(mb, seen + classes, TERMS if init == "gauss" else (1,), share)
    # What is trained has no more fraction bits than it ends with.
    ms = number("ms", min(ms, TRAINED_FRACTION) if rule == "tlc" else ms)
    # Neither a trained classifier, of 12 fraction bits, nor cross-entropy has such a margin.
    if loss == "hinge" and rule != "tlc" and fy + ms < 0:
        raise table.error("ms", f"must be at least -fy = {-fy}, or the margin is 0, not {ms}")
    init_bits = number(
        "init_bits",
        max(1, min(math.floor(math.log2(initial * 2**fw) + 0.5), wb - 1)),
    )
    if init_bits > wb - 1:
        raise table.error("init_bits", f"must be at most wb - 1 = {wb - 1}, not {init_bits}")
    sr = table.flag("sr")
    if sr and wb > ROUNDED_BITS:
        raise table.error(
            "sr", f"is for weights of at most {ROUNDED_BITS} bits, not {wb}; lower wb or remove sr"
        )
    for key in ("lrv", "v_lanes"):
        if key in table.table and rule != "tlc":
            raise table.error(key, f'is for rule = "tlc" only, not {rule!r}; remove it')
    if rule == "tlc":
        most = TRAINED_BITS - 1 - (terms * (2**mb - 1)).bit_length()
        least = TRAINED_FRACTION - most
        if not least <= ms <= TRAINED_FRACTION:
            raise table.error(
                "ms", f"must be from {least} to {TRAINED_FRACTION} for mb = {mb} in tlc, not {ms}"
            )
    scale = TRAINED_FRACTION if rule == "tlc" else ms
    if "gs" in table.table and not around.convolutional:
        raise table.error("gs", "is for networks with a conv layer; remove it")
    layer = LayerSpec(
        index=index,
        inputs=inputs,
        neurons=neurons,
        classes=classes,
        lanes=_lanes(table, "lanes"),
        v_lanes=_lanes(table, "v_lanes"),
        rule=rule,
        loss=loss,
        init=init,
        terms=terms,
        source=table.choice("source", SOURCES, "lfsr") or "lfsr",
        fx=fx,
        fy=fy,
        yb=yb,
        fw=fw,
        wb=wb,
        mb=mb,
        fe=fe,
        lr=number("lr", 6),
        init_bits=init_bits,
        ms=ms,
        gs=number("gs", mb + 2 if around.convolutional and rule != "tlc" else scale),
        centred=table.flag("centred"),
        dropout=number("dropout", 0),
        sr=sr,
        lrv=number("lrv", 9),
        margin=table.number("margin", 0, MARGIN_LIMIT),
        exits_below=bool(below) and below[-1].exits,
        health=table.flag("health"),
        seeds=tuple(splitmix64(around.seed * 1024 + index * 16 + k) for k in range(STREAMS)),
        conv=conv,
    )
    if layer.centred and around.batch > 1 << MEAN_SAMPLES:
        raise table.error(
            "centred",
            f"is for batches of at most {1 << MEAN_SAMPLES} samples, not {around.batch}; lower "
            "batch, or remove it",
        )
    for quantity, bound, key, other in (
        ("z", layer.z_bound, "wb", "the number of inputs"),
        ("s", layer.s_bound, "mb", "the number of neurons"),
        ("g", max(layer.feedback_bound, layer.g_bound), "fe", "mb"),
        ("the update", layer.update_bound(around.batch), "fe", "the batch"),
        ("the classifier's update", layer.classifier_update_bound(around.batch), "fe", "the batch"),
        *[("a mean", layer.deviation_bound(around.batch), "batch", "the size of maps")]
        * layer.centred,
    ):
        width = bound.bit_length() + 1
        if width > ACCUMULATOR_LIMIT:
            raise table.error(
                key,
                f"the accumulator of {quantity} would need {width} bits, over the limit of "
                f"{ACCUMULATOR_LIMIT}; lower {key} or {other}",
            )
    return layer


def _conv(table: Table, below: list[LayerSpec], around: Around) -> ConvSpec | None:
    """Read the shape of a convolutional layer, and check that the layer has no keys of others."""
    conv = table.choice("kind", KINDS, "dense") == "conv"
    for key in ("neurons", "lanes", "v_lanes", "sr") if conv else CONV_KEYS:
        if key in table.table:
            kind = "dense" if conv else "conv"
            raise table.error(key, f'is for kind = "{kind}" only; remove it')
    if not conv:
        return None
    if below and below[-1].conv is None:
        raise table.error(
            "kind", "a conv layer cannot see positions above a dense one; move it down"
        )
    return conv_of(table, around.shape, below[-1].conv if below else None)


def _classifier(mb: int, size: int, known: tuple[int, ...], share: float) -> tuple[int, int]:
    """Scale a classifier as equation (7) of the paper, of `size` numbers that it sees and classes.

    Each of these is the sum of `share` activations.

    Returns
    -------
    terms, ms
        How many odd numbers of `mb` bits are summed to a weight, of those `known`, and the power of
        two that their sum is then scaled by, so that the deviation is nearest to the equation's.
    """

    def wanted(terms: int) -> float:
        return math.log2(math.sqrt(terms * (4**mb - 1) / 3) / math.sqrt(2 / size) * share)

    terms = min(known, key=lambda terms: abs(wanted(terms) - math.floor(wanted(terms) + 0.5)))
    return terms, math.floor(wanted(terms) + 0.5)


def _lanes(table: Table, key: str) -> int | None:
    """Read how many lanes a layer has; None where they are to be chosen."""
    value = table.table.get(key, AUTO)
    if value == AUTO:
        return None
    if isinstance(value, str):
        raise table.error(key, f'must be a whole number or "{AUTO}", not {quoted(value)}')
    return table.integer(key, *FORMATS[key])
