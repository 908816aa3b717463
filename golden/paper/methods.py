# SPDX-License-Identifier: BSD-2-Clause
"""The methods of the paper's Table 2: what it reports of them, and how each is trained here."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, stdev
from typing import Any, NamedTuple

from golden import runs, spec
from golden.paper.rules import CLASSES, LOCAL_RULES, Float

__all__ = [
    "BATCH",
    "CONTROL",
    "DROPOUT",
    "FIGURE3",
    "INTEGER_BATCH",
    "LAYERS",
    "LINE",
    "ROWS",
    "Reported",
    "Row",
    "Value",
]

LAYERS = 3
BATCH = 100
#: Eighths of the neurons that are dropped where a row has dropout; the paper does not say how many.
#: With half of them the activations of LEL(SCFB) grow without bound in the upper layers, and its
#: third layer stays below 95 %.
DROPOUT = 2
#: Samples of a step of the integer model.
INTEGER_BATCH = 32


class Value(NamedTuple):
    """Mean and standard deviation over some runs, in percent; of a single run there is only one."""

    mean: float
    deviation: float | None = None

    @classmethod
    def of(cls, shares: Sequence[float]) -> "Value":
        """Take a share from each run.

        >>> Value.of([0.98, 0.99, 1.0])
        Value(mean=99.0, deviation=1.0)
        >>> Value.of([0.5])
        Value(mean=50.0, deviation=None)
        """
        percent = [100 * share for share in shares]
        spread = round(stdev(percent), 4) if len(percent) > 1 else None
        return cls(round(mean(percent), 4), spread)

    def text(self, digits: int = 2) -> str:
        """Write it as the paper does.

        >>> Value(97.8, 0.03).text(1), Value(98.0).text()
        ('97.8 ± 0.03', '98.00')
        """
        spread = "" if self.deviation is None else f" ± {self.deviation:.2f}"
        return f"{self.mean:.{digits}f}{spread}"


@dataclass(frozen=True)
class Reported:
    """One method of one of the paper's tables.

    Parameters
    ----------
    name
        As in the paper.
    settings
        What its run in floats takes, beside what all runs do.
    train, test
        The paper's values of each layer that predicts; none where it gives no numbers.
    """

    name: str
    settings: Mapping[str, Any]
    train: tuple[Value, ...] = ()
    test: tuple[Value, ...] = ()


class Row(Reported):
    """One method of Table 2; its settings are of `Float`: rule, init, dropout, batch_norm."""

    @property
    def layers(self) -> range:
        """Numbers, from 1 as in the paper, of the layers that predict."""
        return range(1 if self.settings["rule"] in LOCAL_RULES else LAYERS, LAYERS + 1)

    def float(self, *, data: str, seed: int, epochs: int, neurons: int) -> Float:
        """Make the run in floats."""
        return Float(
            name=f"{self.name}, seed {seed}",
            data=data,
            seed=seed,
            batch=BATCH,
            epochs=epochs,
            neurons=(neurons,) * LAYERS,
            **self.settings,
        )

    def integer(self, *, data: str, seed: int, epochs: int, neurons: int) -> runs.Integer | None:
        """Make the run of the integer counterpart, if there is one: only local errors have one."""
        rule = self.settings["rule"]
        if rule not in LOCAL_RULES:
            return None
        layer = {"neurons": neurons, "rule": rule, "lr": 7 if rule == "scfb" else 6}
        if self.settings.get("init") == "gaussian":
            layer["init"] = "gauss"
        if self.settings.get("dropout"):
            layer["dropout"] = DROPOUT
        network = {
            "name": f"paper-{rule}",
            "data": data,
            "classes": CLASSES,
            "seed": seed,
            "batch": INTEGER_BATCH,
            "epochs": epochs,
            "lr_step": math.ceil(epochs / 4),
            "layer": [layer] * LAYERS,
        }
        return runs.Integer.of(
            spec.parse(network, self.name), name=f"{self.name} in integers, seed {seed}"
        )


def _values(*pairs: tuple[float, float]) -> tuple[Value, ...]:
    return tuple(Value(*pair) for pair in pairs)


#: Table 2 of the paper: mean and standard deviation of 4 runs of 100 epochs.
ROWS = (
    Row(
        "LEL(SYM)",
        {"rule": "sym"},
        train=_values((99.8, 0.00), (100.0, 0.00), (100.0, 0.00)),
        test=_values((97.8, 0.03), (98.2, 0.07), (98.2, 0.05)),
    ),
    Row(
        "LEL(SYM) + DO",
        {"rule": "sym", "dropout": DROPOUT / 8},
        train=_values((99.1, 0.01), (99.6, 0.01), (99.7, 0.02)),
        test=_values((97.9, 0.03), (98.5, 0.04), (98.6, 0.05)),
    ),
    Row(
        "LEL(SYM) + DO/GI",
        {"rule": "sym", "dropout": DROPOUT / 8, "init": "gaussian"},
        train=_values((99.0, 0.02), (99.6, 0.02), (99.6, 0.02)),
        test=_values((98.0, 0.06), (98.5, 0.05), (98.6, 0.05)),
    ),
    Row(
        "LEL(SCFB) + DO",
        {"rule": "scfb", "dropout": DROPOUT / 8},
        train=_values((98.8, 0.03), (99.5, 0.02), (99.5, 0.02)),
        test=_values((97.8, 0.05), (98.5, 0.04), (98.5, 0.02)),
    ),
    Row(
        "LEL(TLC) + DO",
        {"rule": "tlc", "dropout": DROPOUT / 8},
        train=_values((100.0, 0.00), (100.0, 0.00), (100.0, 0.00)),
        test=_values((98.5, 0.05), (98.7, 0.04), (98.7, 0.03)),
    ),
    Row(
        "LEL(TLC)",
        {"rule": "tlc"},
        train=_values((100.0, 0.00), (100.0, 0.00), (100.0, 0.00)),
        test=_values((98.2, 0.06), (98.4, 0.04), (98.4, 0.03)),
    ),
    Row(
        "FA + DO",
        {"rule": "fa", "dropout": DROPOUT / 8, "batch_norm": True},
        train=_values((99.4, 0.04)),
        test=_values((98.5, 0.05)),
    ),
    Row("BP", {"rule": "bp"}, train=_values((100.0, 0.0)), test=_values((98.8, 0.04))),
    Row(
        "BP + DO",
        {"rule": "bp", "dropout": DROPOUT / 8},
        train=_values((99.9, 0.01)),
        test=_values((98.9, 0.01)),
    ),
)
#: The negative control: the text says that it "failed to learn", without numbers.
CONTROL = Row("LEL(random K)", {"rule": "random"})
_BY_NAME = {row.name: row for row in ROWS}
#: The bars of Figure 3, and its line.
FIGURE3 = tuple(
    _BY_NAME[name]
    for name in ("LEL(SYM)", "LEL(SYM) + DO", "LEL(SCFB) + DO", "LEL(TLC) + DO", "FA + DO")
)
LINE = _BY_NAME["BP"]
