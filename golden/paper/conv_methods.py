# SPDX-License-Identifier: BSD-2-Clause
"""The methods of the paper's Tables 3 to 5: what it reports, and how each is trained here."""

import builtins
import math
from collections.abc import Mapping
from typing import Any

from golden import runs, spec
from golden.paper.convnets import SIDE, STACKS, ConvFloat
from golden.paper.methods import BATCH, INTEGER_BATCH, Reported, Value
from golden.paper.rules import CLASSES, LOCAL_RULES
from golden.paper.shapes import Conv

__all__ = ["FIGURE", "FIVE_LAYERS", "LINE", "TEN_LAYERS", "ConvRow"]

#: Learning-rate shifts of the integer model: of convolutions, and where feedback only has the signs
#: of classifiers; of fully connected layers, under fixed classifiers and under trained ones; of
#: trained classifiers, in the first layer and above.
CONV, CONV_SIGNS, FULL, FULL_TRAINED, CLASSIFIER, CLASSIFIER_ABOVE = 8, 9, 10, 9, 11, 12
#: Share of the epochs that it takes where classifiers learn: their rates do not fall (contract,
#: "Trained classifier"), and from there on it gets worse on samples held out.
SHARE_TRAINED = 0.5
#: How often all other rates are halved, under fixed classifiers and under trained ones; under fixed
#: ones less often in few epochs, for each rate is to last for at least LAST of them.
HALVINGS, HALVINGS_TRAINED, LAST = 6, 4, 2
#: By how many bits its initial weights are smaller than by default, above the first layer: larger
#: ones fit the training set as well and the test set worse.
SMALLER = 2
#: Bits and fraction bits of its weights, which grow far beyond their initial range. Those of fully
#: connected layers have no more bits than their initial range takes by default: what cannot grow
#: learns less of single samples by heart. Under fixed classifiers those of more than MANY inputs
#: have at most FEW_BITS.
WEIGHT_BITS, WEIGHT_FRACTION, MANY, FEW_BITS = 16, 13, 1024, 7
#: Methods whose classifiers see cells in ten layers: half as many in a row as there are features,
#: and CELLS at most.
CELL_ROWS, CELLS = ("LEL(SYM)",), 8
#: The rate in floats where classifiers learn. With the paper's of 0.1 they diverge here, with 0.03
#: too: they see up to 24,576 features, and the more there are the larger a step is.
TRAINED_RATE = 0.003
#: Eighths of the features that it drops behind pooling, and of neurons of fully connected layers.
POOLED_EIGHTHS, FULL_EIGHTHS = 2, 4
#: Names of the layers.
LAYERS = {
    "five": ("conv1", "conv2", "conv3", "FC1", "FC2"),
    "ten": tuple(f"conv{i}" for i in range(1, 11)),
}


class ConvRow(Reported):
    """One method; its settings are of `ConvFloat`: network, rule, init, dropout, fixed."""

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers that predict."""
        names = LAYERS[self.settings["network"]]
        return names if self.settings["rule"] in LOCAL_RULES else names[-1:]

    def float(
        self, *, data: str, seed: int, epochs: int, width: builtins.float, validated: bool = False
    ) -> ConvFloat:
        """Make the run in floats."""
        return ConvFloat(
            name=f"{self.name}, seed {seed}",
            data=data,
            seed=seed,
            batch=BATCH,
            epochs=epochs,
            width=width,
            validated=validated,
            **self.settings,
        )

    def integer(
        self, *, data: str, seed: int, epochs: int, width: builtins.float, validated: bool = False
    ) -> runs.Integer | None:
        """Make the run of the integer counterpart, if there is one: only local errors have one."""
        rule = self.settings["rule"]
        if rule not in LOCAL_RULES:
            return None
        shared: dict[str, Any] = {"loss": "ce", "wb": WEIGHT_BITS, "fw": WEIGHT_FRACTION}
        if self.settings.get("init") == "gaussian":
            shared["init"] = "gauss"
        layers = []
        cells = self.settings["network"] == "ten" and self.name in CELL_ROWS
        side = SIDE
        for index, part in enumerate(STACKS[self.settings["network"]]):
            # Pixels less 128 are as good as centred.
            layer = {**shared, "rule": rule, "centred": index > 0}
            if rule == "tlc":
                layer["lrv"] = CLASSIFIER_ABOVE if index else CLASSIFIER
            if isinstance(part, Conv):
                layer |= {"kind": "conv", "maps": max(round(part.maps * width), 1)}
                layer |= {"kernel": part.kernel, "pool": part.pool}
                layer["window"] = 3 if part.pool > 1 else 1
                layer["lr"] = CONV_SIGNS if rule == "scfb" else CONV
                side //= part.pool
                if cells and side > 1:
                    layer["cells"] = min(CELLS, side // 2)
                dropout = POOLED_EIGHTHS if part.pool > 1 else 0
            else:
                layer["neurons"] = max(round(part.neurons * width), 1)
                layer["lr"] = FULL_TRAINED if rule == "tlc" else FULL
                dropout = FULL_EIGHTHS
            if self.settings.get("dropout"):
                layer["dropout"] = dropout
            if index < self.settings.get("fixed", 0):
                layer["rule"] = "frozen"
            layers.append(layer)
        halvings = min(HALVINGS, epochs // LAST)
        if rule == "tlc":
            epochs, halvings = math.ceil(epochs * SHARE_TRAINED), HALVINGS_TRAINED
        network = {
            "name": "paper-cifar10",
            "data": data,
            "classes": CLASSES,
            "seed": seed,
            "batch": INTEGER_BATCH,
            "epochs": epochs,
            "lr_step": math.ceil(epochs / (halvings + 1)),
            "layer": layers,
        }
        made = spec.parse(network, self.name).layers
        for layer, plain in zip(layers[1:], made[1:], strict=True):
            layer["init_bits"] = plain.init_bits - SMALLER
            if not plain.conv:
                layer["wb"] = plain.init_bits
                if rule != "tlc" and plain.inputs > MANY:
                    layer["wb"] = min(plain.init_bits, FEW_BITS)
                    layer["init_bits"] = min(layer["init_bits"], layer["wb"] - 1)
        described = spec.parse(network, self.name)
        name = f"{self.name} in integers, seed {seed}"
        return runs.Integer.of(described, name=name, validated=validated)


def _values(text: str) -> tuple[Value, ...]:
    """Read values as the paper's tables print them: mean and deviation of each layer."""
    numbers = [float(number) for number in text.split()]
    return tuple(Value(*pair) for pair in zip(numbers[::2], numbers[1::2], strict=True))


def _rows(network: str, reported: Mapping[str, tuple[str, str]]) -> tuple[ConvRow, ...]:
    """Make the rows of a network from what is reported of each: training, and test."""
    rows = []
    for name, (train, test) in reported.items():
        rule = name.lower()[4:].split(")")[0] if name.startswith("LEL") else name[:2].lower()
        settings: dict[str, Any] = {"network": network, "rule": rule}
        if rule == "tlc":
            settings["lr"] = TRAINED_RATE
        if "DO" in name:
            settings["dropout"] = True
        if "GI" in name:
            settings["init"] = "gaussian"
        if "Fix" in name:
            settings["fixed"] = int(name[-1])
        rows.append(ConvRow(name, settings, _values(train), _values(test)))
    return tuple(rows)


#: Table 3 of the paper: mean and standard deviation of 4 runs of 100 epochs, for each layer.
FIVE_LAYERS = _rows(
    "five",
    {
        "LEL(SYM)": (
            "49.8 0.8  98.8 0.2  100.0 0.0  100.0 0.0  100.0 0.0",
            "47.3 1.0  71.0 0.3  78.7 0.3  79.0 0.3  78.9 0.2",
        ),
        "LEL(SYM)-Fix 1": (
            "22.0 0.8  91.2 1.0  100.0 0.0  100.0 0.0  100.0 0.0",
            "22.5 0.7  66.5 0.5  75.2 0.2  75.5 0.1  75.4 0.1",
        ),
        "LEL(SYM)-Fix 2": (
            "22.7 1.0  27.0 1.3  99.2 0.1  100.0 0.0  100.0 0.0",
            "23.1 0.9  27.4 1.3  68.2 0.2  68.5 0.1  68.3 0.2",
        ),
        "LEL(SYM) + DO": (
            "46.3 0.7  75.2 0.9  87.2 0.7  88.8 0.6  89.1 0.6",
            "44.8 0.9  67.8 0.8  76.4 0.5  78.1 0.5  78.1 0.4",
        ),
        "LEL(SYM)/GI": (
            "50.0 0.4  98.7 0.3  100.0 0.0  100.0 0.0  100.0 0.0",
            "47.5 0.3  71.1 0.3  78.6 0.2  78.8 0.3  78.6 0.3",
        ),
        "LEL(SYM) + DO/GI": (
            "46.6 1.1  75.6 0.7  87.4 0.5  89.0 0.4  89.2 0.4",
            "44.8 1.3  68.3 0.5  76.6 0.5  78.5 0.2  78.3 0.4",
        ),
        "LEL(SCFB) + DO": (
            "39.8 1.0  72.4 0.9  85.4 0.8  87.7 0.6  88.1 0.7",
            "38.5 1.2  65.4 0.5  75.6 0.6  78.1 0.5  78.3 0.6",
        ),
        "LEL(SCFB)": (
            "43.5 0.9  96.5 0.3  100.0 0.0  100.0 0.0  100.0 0.0",
            "41.4 0.9  66.9 0.3  77.1 0.1  78.0 0.3  77.9 0.3",
        ),
        "LEL(TLC) + DO": (
            "70.9 2.1  86.5 2.5  97.2 1.2  98.2 0.7  97.6 1.0",
            "62.4 0.7  73.8 0.8  78.0 1.2  79.2 1.1  79.1 1.2",
        ),
        "LEL(TLC)": (
            "80.8 9.8  99.8 0.3  100.0 0.0  100.0 0.0  100.0 0.0",
            "63.3 1.6  75.2 2.8  80.0 2.0  80.5 1.9  80.5 1.9",
        ),
        "FA": ("99.6 0.2", "62.0 1.6"),
        "BP": ("100.0 0.0", "84.4 0.1"),
        "BP + DO": ("99.6 0.06", "84.0 0.4"),
    },
)
#: Tables 4 and 5, as one.
TEN_LAYERS = _rows(
    "ten",
    {
        "LEL(SYM)": (
            "37.5 0.3  61.2 0.9  84.7 0.1  95.3 0.1  98.8 0.1  "
            "99.9 0.0  100.0 0.0  100.0 0.0  100.0 0.0  100.0 0.0",
            "36.5 0.4  52.5 0.3  63.6 0.2  68.7 0.2  72.7 0.3  "
            "75.9 0.2  75.9 0.3  76.3 0.3  75.7 0.3  75.7 0.4",
        ),
        "LEL(SYM)-Fix 1": (
            "19.9 1.1  54.6 1.9  85.8 1.2  97.2 0.4  99.5 0.1  "
            "100.0 0.0  100.0 0.0  100.0 0.0  100.0 0.0  100.0 0.0",
            "20.0 0.9  48.4 1.1  62.2 0.2  67.9 0.6  71.9 0.4  "
            "75.3 0.1  75.2 0.2  75.6 0.2  75.0 0.2  74.9 0.2",
        ),
        "LEL(SYM)-Fix 2": (
            "19.8 1.0  20.3 0.9  72.9 1.9  96.7 0.5  99.7 0.1  "
            "100.0 0.0  100.0 0.0  100.0 0.0  100.0 0.0  100.0 0.0",
            "19.9 1.0  20.7 1.4  56.7 0.6  63.5 0.7  67.2 0.6  "
            "71.0 1.0  70.8 0.8  71.2 0.8  70.6 0.8  70.5 0.7",
        ),
        "LEL(SYM) + DO": (
            "37.0 0.4  49.2 2.5  63.0 1.2  65.8 1.1  66.6 1.8  "
            "66.2 2.4  69.9 2.4  70.5 2.2  67.8 2.2  67.9 2.3",
            "36.4 0.4  47.1 2.3  57.3 1.2  61.9 0.9  60.7 1.6  "
            "61.5 2.1  63.2 2.1  64.2 1.9  62.7 1.9  62.8 2.0",
        ),
        "LEL(SYM)/GI": (
            "36.9 0.4  60.4 0.8  84.4 0.3  95.3 0.2  98.8 0.1  "
            "99.9 0.0  100.0 0.0  100.0 0.0  100.0 0.0  100.0 0.0",
            "36.1 0.6  52.4 0.7  63.8 0.6  69.1 0.3  73.2 0.5  "
            "76.0 0.3  76.1 0.5  76.2 0.5  75.7 0.6  75.6 0.6",
        ),
        "LEL(SYM) + DO/GI": (
            "37.5 0.2  49.3 1.2  61.7 2.9  64.3 2.3  65.7 4.8  "
            "66.4 4.7  70.0 4.7  69.6 5.0  66.9 5.2  66.9 5.2",
            "36.6 0.5  47.4 0.9  56.5 2.1  60.9 1.9  60.1 4.2  "
            "61.4 4.2  63.1 3.7  63.1 3.9  61.6 4.2  61.6 4.3",
        ),
        "LEL(SCFB) + DO": (
            "32.6 0.8  44.1 0.5  57.1 3.9  59.9 4.1  60.0 7.0  "
            "60.1 6.7  63.2 5.6  63.8 5.8  61.7 5.9  61.8 6.0",
            "31.9 1.2  42.5 0.7  52.8 3.3  56.9 3.7  55.5 6.1  "
            "56.2 6.0  57.8 4.8  58.5 4.9  57.4 5.3  57.6 5.4",
        ),
        "LEL(SCFB)": (
            "32.0 0.8  52.2 0.5  76.4 0.3  88.2 0.6  95.9 0.3  "
            "99.2 0.1  99.8 0.0  99.9 0.0  99.9 0.0  99.9 0.0",
            "31.6 0.5  46.0 0.6  59.5 0.6  64.7 0.2  71.2 0.5  "
            "74.1 0.4  75.1 0.1  75.3 0.2  74.9 0.2  74.7 0.1",
        ),
        "LEL(TLC) + DO": (
            "99.9 0.1  79.0 3.0  94.7 3.0  89.0 2.4  96.3 1.9  "
            "93.2 1.9  97.0 1.4  96.0 1.5  94.5 1.9  94.5 1.9",
            "58.8 1.8  66.0 1.1  71.0 1.9  75.7 1.5  77.9 1.6  "
            "79.4 1.5  80.5 1.4  80.9 1.3  80.8 1.4  80.8 1.3",
        ),
        "LEL(TLC)": (
            "94.3 8.5  100.0 0.0  100.0 0.0  100.0 0.0  100.0 0.0  "
            "100.0 0.0  100.0 0.0  100.0 0.0  100.0 0.0  100.0 0.0",
            "56.6 3.5  66.3 1.7  74.3 1.1  78.1 1.1  81.1 0.7  "
            "82.7 0.5  82.9 0.4  83.1 0.5  82.9 0.5  82.9 0.5",
        ),
        "FA": ("76.7 4.0", "51.3 1.5"),
        "BP": ("100.0 0.0", "86.7 0.3"),
        "BP + DO": ("98.4 0.4", "87.3 0.5"),
    },
)
#: The bars of Figures 4 and 5, and their line.
FIGURE = "LEL(SYM)", "LEL(SYM) + DO", "LEL(SCFB)", "LEL(TLC)", "FA"
LINE = "BP"
