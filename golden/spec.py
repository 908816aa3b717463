# SPDX-License-Identifier: BSD-2-Clause
"""The network description: the one thing that the golden model and the hardware share."""

import difflib
import math
import os
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from golden.errors import InputError, quoted, shown

__all__ = [
    "CONFIGS",
    "DataSpec",
    "LayerSpec",
    "NetworkSpec",
    "SpecError",
    "Table",
    "find",
    "load",
    "parse",
    "read",
    "splitmix64",
]

#: Where descriptions live that are named without a path.
CONFIGS = Path(__file__).parent.parent / "configs"

#: Inputs and classes of the data sets that have names of the project's.
DATA_SIZES = {
    "digits": (64, 10),
    "mnist": (784, 10),
    "wine": (13, 3),
    "breast-cancer": (30, 2),
    "cifar10": (3072, 10),
}
#: Of them, those that have no test set.
WHOLE = ("wine", "breast-cancer")
#: Files that may be given as data.
DATA_FILES = (".csv", ".npz")
#: Range of the share of samples to test on.
TEST_SHARES = 0.01, 0.9
SCALES = ("feature", "global")
RULES = ("sym", "scfb", "random", "frozen", "tlc")
NAME = re.compile("[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
#: Most bytes of a file of TOML; one that holds more is no description.
FILE_LIMIT = 1 << 22
#: Most layers of a network. Ten times as deep as any that was tried.
LAYERS_LIMIT = 64
#: Most weights of all layers, those of the classifiers included. The golden model needs up to 40
#: bytes for each of a layer while it draws or updates them, so this many take 3 GB.
WEIGHTS_LIMIT = 1 << 26
#: Most numbers in a batch of inputs, activations or errors, for the same reason.
BATCH_LIMIT = 1 << 26
#: Streams of random numbers per layer (contract, "Random numbers").
STREAMS = 5
#: Widest accumulator that hardware and golden model are built for, in bits.
ACCUMULATOR_LIMIT = 48
#: Bits and fraction bits of a classifier weight that is trained (contract, "Trained classifier").
TRAINED_BITS = 16
TRAINED_FRACTION = 12
#: Widest weights that stochastic rounding is for (contract, "Stochastic rounding").
ROUNDED_BITS = 10

#: Range of every optional format key of a layer.
FORMATS = {
    "lanes": (1, 1024),
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
    "dropout": (0, 7),
    "lrv": (0, 24),
}
NETWORK_KEYS = (
    "name", "data", "label", "test", "scale", "inputs", "classes", "seed", "batch", "epochs",
    "lr_step", "layer",
)  # fmt: skip
LAYER_KEYS = ("neurons", "rule", "sr", *FORMATS)


class SpecError(InputError):
    """The description is not valid; the message names the file, the key and the mend."""


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

    `seeds[k]` is the 64-bit seed of random stream k; `yb` the bits of an activation; `dropout` the
    eighths of the neurons that are dropped; `sr` whether updates are rounded stochastically; `lrv`
    the rate 2^-lrv of a classifier that is trained.
    """

    index: int
    inputs: int
    neurons: int
    classes: int
    lanes: int
    rule: str
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
    dropout: int
    sr: bool
    lrv: int
    seeds: tuple[int, ...]

    @property
    def one(self) -> int:
        """Input of the bias column."""
        return min(2**self.fx, 128)

    @property
    def columns(self) -> int:
        """Weights per neuron, the bias included."""
        return self.inputs + 1

    @property
    def weights(self) -> int:
        """Weights of the layer, the biases included."""
        return self.neurons * self.columns

    @property
    def y_max(self) -> int:
        """Largest activation."""
        return 2**self.yb - 1

    @property
    def scale(self) -> int:
        """Fraction bits of a classifier weight, trained or not."""
        return TRAINED_FRACTION if self.rule == "tlc" else self.ms

    @property
    def classifier_bound(self) -> int:
        """Largest magnitude of a classifier weight."""
        return 1 << (TRAINED_BITS - 1) if self.rule == "tlc" else 2**self.mb - 1

    @property
    def z_bound(self) -> int:
        """Largest magnitude of z, and of every sum of some of its terms.

        Of inputs of 8 bits, also where the layer below has activations of fewer.
        """
        return (255 * self.inputs + self.one) << (self.wb - 1)

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
        if self.scale <= 0:
            return self.feedback_bound << -self.scale
        return (self.feedback_bound + (1 << self.scale >> 1)) >> self.scale

    def update_bound(self, batch: int) -> int:
        """Largest magnitude of sum_b g x over a batch, and of its partial sums."""
        return batch * self.g_bound * 255

    def update_shift(self, lr: int) -> int:
        """Bits by which sum_b g x is shifted right to become an update; may be negative."""
        return self.fe + self.fx - self.fw + lr

    def classifier_update_bound(self, batch: int) -> int:
        """Largest magnitude of sum_b e y over a batch, and of its partial sums."""
        return batch * (2**self.fe - 1) * self.y_max

    @property
    def classifier_shift(self) -> int:
        """Bits by which sum_b e y is shifted right to become an update of `tlc`; as above."""
        return self.fe + self.fy - TRAINED_FRACTION + self.lrv


@dataclass(frozen=True)
class DataSpec:
    """What to train and to test on, as a description says it.

    Parameters
    ----------
    source
        The name of a data set, or a path, as written.
    path
        The path, where it is one, from where the program was started.
    label
        The column of the labels, in a .csv (by default the last one).
    test
        Share of the samples to test on, where there is no test set (by default 0.2).
    scale
        Whether each "feature" is scaled by its own range (the default), or by a "global" one.
    """

    source: str
    path: str | None = None
    label: str | None = None
    test: float | None = None
    scale: str | None = None

    def __str__(self) -> str:
        return self.source


@dataclass(frozen=True)
class NetworkSpec:
    """A whole network, bottom layer first, and how to train it."""

    name: str
    data: DataSpec | None
    classes: int
    seed: int
    batch: int
    epochs: int
    lr_step: int
    path: str
    layers: tuple[LayerSpec, ...]
    inputs: int

    def lr_shift(self, layer: LayerSpec, epoch: int) -> int:
        """Compute the learning-rate shift of a layer in an epoch: it learns at 2^-lr_shift."""
        return layer.lr + epoch // self.lr_step

    @property
    def lr_growth(self) -> int:
        """How far the learning-rate shift grows over the run."""
        return (self.epochs - 1) // self.lr_step


class Table:
    """Checked access to one table of a TOML file; `where` in the file `path` names it."""

    def __init__(self, table: dict, path: str, where: str, known: tuple[str, ...]):
        self.table, self.path, self.where = table, path, where
        for key in table:
            if key not in known:
                near = difflib.get_close_matches(key[:40], known, 1)
                mend = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
                raise self.error(key, f"unknown key; {mend}")

    def error(self, key: str, text: str) -> SpecError:
        return SpecError(f"{shown(self.path)}: {self.where}{shown(key)}: {text}")

    def integer(self, key: str, low: int, high: int, default: int | None = None) -> int:
        value = self.table.get(key, default)
        if value is None:
            raise self.error(key, f"is missing; give a number from {low} to {high}")
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.error(key, f"must be a whole number, not {quoted(value)}")
        if not low <= value <= high:
            raise self.error(key, f"must be from {low} to {high}, not {quoted(value)}")
        return value

    def text(self, key: str) -> str | None:
        value = self.table.get(key)
        if value is not None and (not isinstance(value, str) or not value or "\0" in value):
            raise self.error(key, f"must be a text, not {quoted(value)}")
        return value

    def flag(self, key: str) -> bool:
        value = self.table.get(key, False)
        if not isinstance(value, bool):
            raise self.error(key, f"must be true or false, not {quoted(value)}")
        return value

    def choice(self, key: str, known: tuple[str, ...], default: str | None) -> str | None:
        value = self.table.get(key, default)
        if value is not None and value not in known:
            raise self.error(key, f"must be one of {', '.join(known)}, not {quoted(value)}")
        return value


def find(config: str, folder: Path = CONFIGS, what: str = "description") -> Path:
    """Find the description at the path `config` (ends in .toml), or of that name in configs/.

    Other files in TOML are found just so, in another folder; `what` they are goes into messages.

    Raises
    ------
    SpecError
        If there is none.
    """
    path = Path(config)
    if path.suffix != ".toml" and NAME.fullmatch(config):
        path = folder / f"{config}.toml"
    # Unlike the path's own method, never an error: not of a name too long, nor of a null in it.
    if path.suffix != ".toml" or not os.path.isfile(path):
        known = ", ".join(sorted(file.stem for file in folder.glob("*.toml")))
        raise SpecError(
            f"there is no {what} {quoted(config)}: give the path of a .toml file, or one of {known}"
        )
    return path


def load(path: str | Path, **overrides: int) -> NetworkSpec:
    """Read a description from a TOML file; `overrides` replace top-level keys.

    Raises
    ------
    SpecError
        If the file cannot be read or the description is not valid.
    """
    return parse(read(path) | overrides, str(path))


def read(path: str | Path) -> dict[str, Any]:
    """Read a TOML file.

    Raises
    ------
    SpecError
        If it cannot be read or is not TOML.
    """
    name = shown(path)
    try:
        with open(path, "rb") as file:
            content = file.read(FILE_LIMIT + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise SpecError(f"{name}: cannot be read: {reason}; give a .toml file") from None
    if len(content) > FILE_LIMIT:
        raise SpecError(f"{name}: is larger than {FILE_LIMIT} bytes; give a .toml file")
    try:
        # With or without the mark at its head that some editors write.
        text = content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError:
        raise SpecError(f"{name}: is not a text in UTF-8; give a .toml file") from None
    try:
        return tomllib.loads(text)
    except Exception as error:
        # Whatever a text does to the parser (nested too deep, numbers too long): it is the text's.
        raise SpecError(f"{name}: is not TOML that can be read: {shown(error)}") from None


def parse(table: dict, path: str, folder: Path | None = None) -> NetworkSpec:
    """Build the description from a parsed TOML table; `path` names it in messages.

    Paths in it begin at `folder`, by default where `path` lies.

    Raises
    ------
    SpecError
        If anything is unknown, missing, of the wrong type or out of range.
    """
    top = Table(table, path, "", NETWORK_KEYS)
    data = _data(top, Path(path).parent if folder is None else folder)
    inputs, classes = _sizes(top, data)
    name = table.get("name", Path(path).stem)
    # It names folders, files and a Verilog module.
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise top.error(
            "name",
            "must be at most 64 letters, digits, '-', '_' and '.', beginning with a letter or "
            f"digit, not {quoted(name)}",
        )
    seed = top.integer("seed", 0, 2**53, 1)
    tables = table.get("layer")
    if not isinstance(tables, list) or not tables:
        raise top.error("layer", "is missing; give one [[layer]] table for each layer")

    if len(tables) > LAYERS_LIMIT:
        raise top.error("layer", f"at most {LAYERS_LIMIT} layers, not {len(tables)}; remove some")
    batch = top.integer("batch", 1, 65536, 1)
    layers: list[LayerSpec] = []
    weights = 0
    for index, entry in enumerate(tables):
        if not isinstance(entry, dict):
            raise top.error("layer", "must be tables; write [[layer]]")
        keys = Table(entry, path, f"layer {index}: ", LAYER_KEYS)
        layer = _layer(keys, layers, inputs, classes, seed, batch)
        layers.append(layer)
        weights += layer.weights + layer.neurons * classes
        if weights > WEIGHTS_LIMIT:
            raise keys.error(
                "neurons",
                f"up to here the network has {weights} weights, its classifiers' included, over "
                f"the limit of {WEIGHTS_LIMIT}; lower neurons, inputs or classes",
            )
        numbers = batch * max(layer.columns, layer.neurons, classes)
        if numbers > BATCH_LIMIT:
            raise keys.error(
                "neurons",
                f"a batch has {numbers} inputs, activations or errors, over the limit of "
                f"{BATCH_LIMIT}; lower batch, neurons, inputs or classes",
            )
    network = NetworkSpec(
        name=name,
        data=data,
        classes=classes,
        seed=seed,
        batch=batch,
        epochs=top.integer("epochs", 1, 100000, 1),
        lr_step=top.integer("lr_step", 1, 100000, 100000),
        path=path,
        layers=tuple(layers),
        inputs=inputs,
    )
    last, limit = max(layer.lr for layer in layers) + network.lr_growth, FORMATS["lr"][1]
    if last > limit:
        raise top.error(
            "lr_step", f"lr would grow to {last}, over {limit}; raise lr_step or lower epochs"
        )
    return network


def _data(top: Table, folder: Path) -> DataSpec | None:
    """Read what to train on."""
    source = top.text("data")
    label, test, scale = top.text("label"), top.table.get("test"), top.choice("scale", SCALES, None)
    if source is None:
        for key in ("label", "test", "scale"):
            if key in top.table:
                raise top.error(key, "is for data, which is missing; name a data set, or remove it")
        return None
    known = f"give one of {', '.join(DATA_SIZES)}, or a path"
    is_path = source.lower().endswith(DATA_FILES) or "/" in source or os.sep in source
    if not is_path and not NAME.fullmatch(source):
        raise top.error("data", f"must be the name of a data set, or a path, not {quoted(source)}; "
                        f"{known}")  # fmt: skip
    if test is not None:
        if isinstance(test, bool) or not isinstance(test, int | float):
            raise top.error("test", f"must be a number, not {quoted(test)}")
        if not TEST_SHARES[0] <= test <= TEST_SHARES[1]:
            raise top.error(
                "test", f"must be from {TEST_SHARES[0]} to {TEST_SHARES[1]}, not {test}"
            )
    named = not is_path and source in DATA_SIZES
    if named and source not in WHOLE:
        if test is not None:
            raise top.error("test", f"is not for {source}, which has a test set; remove it")
        if scale is not None:
            raise top.error("scale", f"is not for {source}, which has 8-bit inputs; remove it")
    if label is not None and not source.lower().endswith(".csv"):
        raise top.error("label", "names a column of a .csv, which data is not; remove it")
    path = str(folder / source) if is_path else None
    return DataSpec(source, path, label, None if test is None else float(test), scale)


def _sizes(top: Table, data: DataSpec | None) -> tuple[int, int]:
    """Find inputs and classes: those given, those of the data, or both, if they agree."""
    keys, limits = ("inputs", "classes"), ((1, 65535), (2, 1024))
    given = [key in top.table for key in keys]
    sizes: tuple[int | None, int | None] = None, None
    if data is None:
        if not given[0]:
            raise top.error("data", f"is missing; give one of {', '.join(DATA_SIZES)}, a path, or "
                            "inputs")  # fmt: skip
    elif data.path is None and data.source in DATA_SIZES:
        sizes = DATA_SIZES[data.source]
    else:
        # It is not needed for a set that has a name of the project's.
        from golden.data import MissingError, load

        try:
            found = load(data)
            sizes = found.inputs, found.classes
        except MissingError as error:
            # What does not need it can be done all the same.
            if not all(given):
                raise top.error("data", str(error)) from None
    made = []
    for key, size, (low, high) in zip(keys, sizes, limits, strict=True):
        value = top.integer(key, low, high, size)
        if size is not None and value != size:
            raise top.error(key, f"must be {size} for {shown(Path(str(data)))}, not {value}")
        made.append(value)
    return made[0], made[1]


def _layer(
    table: Table, below: list[LayerSpec], inputs: int, classes: int, seed: int, batch: int
) -> LayerSpec:
    """Read and check the layer on top of those `below`."""

    def number(key: str, default: int) -> int:
        return table.integer(key, *FORMATS[key], default)

    index = len(below)
    if below:
        inputs = below[-1].neurons
    neurons = table.integer("neurons", 1, 65535)
    fx = number("fx", below[-1].fy if below else 8)
    if below and fx != below[-1].fy:
        raise table.error("fx", f"must be {below[-1].fy}, the fy of the layer below, not {fx}")
    fy, yb, wb, mb, fe = (
        number(key, default)
        for key, default in (("fy", 4), ("yb", 8), ("wb", 12), ("mb", 2), ("fe", 8))
    )
    # Initial weights are below the square root of 6 / M. They get a range of at least twice that.
    initial = math.sqrt(6 / inputs)
    fw = number("fw", max(1, min(12, wb - 2 - math.ceil(math.log2(initial)))))
    rule = table.choice("rule", RULES, "sym") or "sym"
    if fw + fx < fy:
        raise table.error("fy", f"must be at most fw + fx = {fw + fx}, not {fy}")
    # Equation (7) of the paper, to the nearest power of two.
    std = math.sqrt((4**mb - 1) / 3)
    ms = number("ms", math.floor(math.log2(std / math.sqrt(2 / (neurons + classes))) + 0.5))
    if fy + ms < 0:
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
    if "lrv" in table.table and rule != "tlc":
        raise table.error("lrv", f'is for rule = "tlc" only, not {rule!r}; remove it')
    if rule == "tlc":
        most = TRAINED_BITS - 1 - mb
        least = TRAINED_FRACTION - most
        if not least <= ms <= TRAINED_FRACTION:
            raise table.error(
                "ms", f"must be from {least} to {TRAINED_FRACTION} for mb = {mb} in tlc, not {ms}"
            )
    layer = LayerSpec(
        index=index,
        inputs=inputs,
        neurons=neurons,
        classes=classes,
        lanes=number("lanes", 8),
        rule=rule,
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
        dropout=number("dropout", 0),
        sr=sr,
        lrv=number("lrv", 9),
        seeds=tuple(splitmix64(seed * 1024 + index * 16 + k) for k in range(STREAMS)),
    )
    for quantity, bound, key, other in (
        ("z", layer.z_bound, "wb", "the number of inputs"),
        ("s", layer.s_bound, "mb", "the number of neurons"),
        ("g", max(layer.feedback_bound, layer.g_bound), "fe", "mb"),
        ("the update", layer.update_bound(batch), "fe", "the batch"),
        ("the classifier's update", layer.classifier_update_bound(batch), "fe", "the batch"),
    ):
        width = bound.bit_length() + 1
        if width > ACCUMULATOR_LIMIT:
            raise table.error(
                key,
                f"the accumulator of {quantity} would need {width} bits, over the limit of "
                f"{ACCUMULATOR_LIMIT}; lower {key} or {other}",
            )
    return layer
