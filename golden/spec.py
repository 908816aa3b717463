# SPDX-License-Identifier: BSD-2-Clause
"""The network description: the one thing that the golden model and the hardware share."""

import os
from dataclasses import dataclass
from pathlib import Path

from golden.data_spec import NAME, DataSpec, data_of, sizes_of
from golden.errors import quoted
from golden.layer_spec import FORMATS, LAYER_KEYS, Around, LayerSpec, layer_of
from golden.tables import SpecError, Table, read

__all__ = [
    "CONFIGS",
    "DataSpec",
    "NetworkSpec",
    "SpecError",
    "find",
    "load",
    "parse",
]

#: Where descriptions live that are named without a path.
CONFIGS = Path(__file__).parent.parent / "configs"

#: What a description is meant for where it does not say.
BOARD, SIZE = "ulx3s", "85F"
#: When layers learn (contract, "Schedule"). With "grow", greedily, and no more layers than are of
#: use (`golden.schedule`).
SCHEDULES = ("all", "greedy", "grow")
#: Most layers of a network. Ten times as deep as any that was tried.
LAYERS_LIMIT = 64
#: Most weights of all layers, those of the classifiers included. The golden model needs up to 40
#: bytes for each of a layer while it draws or updates them, so this many take 3 GB.
WEIGHTS_LIMIT = 1 << 26
#: Most numbers in a batch of inputs, activations or errors, for the same reason.
BATCH_LIMIT = 1 << 26
NETWORK_KEYS = (
    "name", "data", "label", "test", "scale", "inputs", "classes", "seed", "batch", "epochs",
    "lr_step", "schedule", "board", "size", "shape", "layer",
)  # fmt: skip


@dataclass(frozen=True)
class NetworkSpec:
    """A whole network, bottom layer first, and how to train it.

    `epochs` is how often a layer learns from all samples, `passes` how often the network sees them.
    `board` and `size` name what hardware is meant for; nothing here knows whether there is such a
    board. `shape` is (channels, rows, columns) of the inputs, where they are an image.
    """

    name: str
    data: DataSpec | None
    classes: int
    seed: int
    batch: int
    epochs: int
    lr_step: int
    schedule: str
    board: str
    size: str
    path: str
    layers: tuple[LayerSpec, ...]
    inputs: int
    shape: tuple[int, ...] | None = None

    @property
    def convolutional(self) -> bool:
        """Whether any layer is."""
        return any(layer.conv for layer in self.layers)

    @property
    def sizes(self) -> str:
        """Inputs and layers for people, such as 784-128-128 or 1x28x28-16x14x14-128."""
        first = self.shape if self.convolutional and self.shape else (self.inputs,)
        shapes = [first]
        for layer in self.layers:
            conv = layer.conv
            shapes.append((conv.maps, conv.side, conv.side) if conv else (layer.neurons,))
        return "-".join("x".join(map(str, shape)) for shape in shapes)

    @property
    def turns(self) -> tuple[int, ...]:
        """The layers that learn, in the order in which they do where they take turns."""
        return tuple(layer.index for layer in self.layers if layer.rule != "frozen")

    @property
    def passes(self) -> int:
        """Epochs of the whole training: all turns together, as many as there may be."""
        return self.epochs * (1 if self.schedule == "all" else len(self.turns))

    def rule_in(self, layer: LayerSpec, epoch: int) -> str:
        """Give the rule of a layer in an epoch: its own, or `frozen` if it is not its turn."""
        if self.schedule == "all" or epoch // self.epochs == self._turn(layer):
            return layer.rule
        return "frozen"

    def lr_shift(self, layer: LayerSpec, epoch: int) -> int:
        """Compute the learning-rate shift of a layer in an epoch: it learns at 2^-lr_shift."""
        if self.schedule != "all":
            # Before its turn as at its start, after it as at its end.
            epoch = min(max(epoch - self._turn(layer) * self.epochs, 0), self.epochs - 1)
        return layer.lr + epoch // self.lr_step

    def _turn(self, layer: LayerSpec) -> int:
        return self.turns.index(layer.index) if layer.index in self.turns else len(self.turns)

    @property
    def lr_growth(self) -> int:
        """How far the learning-rate shift of a layer grows over the run."""
        return (self.epochs - 1) // self.lr_step


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


def load(path: str | Path, **overrides: int | str) -> NetworkSpec:
    """Read a description from a TOML file; `overrides` replace top-level keys.

    Raises
    ------
    SpecError
        If the file cannot be read or the description is not valid.
    """
    return parse(read(path) | overrides, str(path))


def parse(table: dict, path: str, folder: Path | None = None) -> NetworkSpec:
    """Build the description from a parsed TOML table; `path` names it in messages.

    Paths in it begin at `folder`, by default where `path` lies.

    Raises
    ------
    SpecError
        If anything is unknown, missing, of the wrong type or out of range.
    """
    top = Table(table, path, "", NETWORK_KEYS)
    data = data_of(top, Path(path).parent if folder is None else folder)
    inputs, classes, shape = sizes_of(top, data)
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
    around = Around(
        inputs=inputs,
        shape=shape,
        classes=classes,
        seed=seed,
        batch=batch,
        convolutional=any(isinstance(t, dict) and t.get("kind") == "conv" for t in tables),
    )
    layers: list[LayerSpec] = []
    weights = 0
    for index, entry in enumerate(tables):
        if not isinstance(entry, dict):
            raise top.error("layer", "must be tables; write [[layer]]")
        keys = Table(entry, path, f"layer {index}: ", LAYER_KEYS)
        layer = layer_of(keys, layers, around)
        if layer.margin is not None and index == len(tables) - 1:
            raise keys.error(
                "margin", "from the last layer all samples leave; remove it, or add a layer above"
            )
        layers.append(layer)
        weights += layer.weights + layer.seen * classes
        if weights > WEIGHTS_LIMIT:
            raise keys.error(
                "neurons",
                f"up to here the network has {weights} weights, its classifiers' included, over "
                f"the limit of {WEIGHTS_LIMIT}; lower neurons, inputs or classes",
            )
        # Before they are pooled.
        sums = layer.neurons * (layer.conv.pool**2 if layer.conv else 1)
        numbers = batch * max(layer.inputs + 1, sums, classes)
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
        schedule=top.choice("schedule", SCHEDULES, "all") or "all",
        board=top.text("board") or BOARD,
        size=top.text("size") or SIZE,
        path=path,
        layers=tuple(layers),
        inputs=inputs,
        shape=shape,
    )
    if network.schedule != "all" and not network.turns:
        raise top.error(
            "schedule",
            f"no layer can take its turn in {network.schedule!r}, for all are frozen; "
            "remove it, or take another rule",
        )
    last, limit = max(layer.lr for layer in layers) + network.lr_growth, FORMATS["lr"][1]
    if last > limit:
        raise top.error(
            "lr_step", f"lr would grow to {last}, over {limit}; raise lr_step or lower epochs"
        )
    return network
