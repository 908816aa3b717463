# SPDX-License-Identifier: BSD-2-Clause
"""Trains a network in Verilator beside the golden model, and leaves the evidence in a folder."""

import json
import platform
import subprocess
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from golden.data import Data, order
from golden.model import IntegerNetwork
from golden.spec import NetworkSpec

from . import report
from .check import Mismatch, MismatchError, Pair
from .rtl import Rtl

__all__ = ["Outcome", "simulate"]

#: Files of a run; the last one is written when all else is there.
WEIGHTS, REPORT, RESULT = "weights.npz", "report.html", "result.json"
#: Training samples over which the progress bar's accuracy runs.
WINDOW = 500


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
        The performance counters of each layer, over training only.
    weights
        The weights of each layer (N, M + 1), as read from the hardware after training.
    mismatch
        The first difference to the golden model.
    compared
        Values that have been compared.
    clocks, seconds
        Clocks simulated in the whole run, and the time that it took.
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

    @property
    def utilisation(self) -> list[float]:
        """Useful products of each layer over what its multipliers could have made."""
        return [
            counters["macs"] / (2 * layer.lanes * max(counters["cycles"], 1))
            for layer, counters in zip(self.spec.layers, self.counters, strict=False)
        ]

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
                {"samples": samples, "test_accuracy": accuracy}
                for samples, accuracy in self.epochs
            ],
            "cycles": max((counters["cycles"] for counters in self.counters), default=0),
            "counters": self.counters,
            "utilisation": self.utilisation,
            "clocks_simulated": self.clocks,
            "seconds": round(self.seconds, 3),
            "versions": versions(),
        }


def versions() -> dict[str, str]:
    """Name the tools that a result depends on."""
    packages = ("amaranth", "verilator", "cocotb", "torch", "numpy")
    compiler = subprocess.run(["c++", "--version"], capture_output=True, text=True, check=True)
    return {
        "python": platform.python_version(),
        **{package: version(package) for package in packages},
        "c++": compiler.stdout.splitlines()[0],
    }


class _Progress:
    """A progress bar with the running accuracy of each layer."""

    def __init__(self, title: str, total: int, quiet: bool):
        self.bar = tqdm(total=total, desc=title, unit=" samples", disable=quiet, smoothing=0.05)
        self.recent: deque[np.ndarray] = deque(maxlen=WINDOW)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.bar.close()

    def add(self, correct: np.ndarray):
        self.recent.extend(correct)
        layers = " / ".join(f"{share:.1%}" for share in np.mean(self.recent, axis=0))
        self.bar.set_postfix_str(f"right {layers}", refresh=False)
        self.bar.update(len(correct))


def _segments(total: int, per_epoch: int, every: int) -> Iterator[tuple[int, int, int]]:
    """Cut `total` samples into (epoch, start, stop), at most `every` long, within epochs."""
    done = 0
    while done < total:
        epoch, start = divmod(done, per_epoch)
        stop = min(start + every, per_epoch, start + total - done)
        yield epoch, start, stop
        done += stop - start


def simulate(
    spec: NetworkSpec,
    data: Data,
    *,
    out: Path,
    samples: int | None = None,
    test: int | None = None,
    every: int = 1000,
    waves: bool = False,
    golden: IntegerNetwork | None = None,
    quiet: bool = False,
) -> Outcome:
    """Train and test a network in Verilator beside the golden model, comparing every bit.

    Parameters
    ----------
    spec, data
        The description, and the samples to train and test on, in the contract's order.
    out
        Folder for `weights.npz`, `report.html`, the logs, and, when all else is there,
        `result.json`. Those of an earlier run are removed first.
    samples
        Stop after as many training samples; by default after all epochs of the description.
    test
        Test in hardware on the first samples of the test set; by default on all.
    every
        Compare all weights after as many training samples, besides at the end of each epoch.
    waves
        Write `waves.vcd`.
    golden
        The golden model to compare with; by default that of `spec`.
    quiet
        No progress bars.

    Raises
    ------
    SimulationError
        If the network cannot be compiled or simulated to the end. There is no result then. A
        mismatch is a result: `Outcome.mismatch`.
    """
    # The simulator has the other core; more threads than one only get in its way.
    torch.set_num_threads(1)
    out.mkdir(parents=True, exist_ok=True)
    for name in (RESULT, REPORT, WEIGHTS):
        (out / name).unlink(missing_ok=True)
    begin = time.monotonic()
    outcome = Outcome(spec)
    with Rtl(spec, folder=out, waves=waves) as rtl:
        pair = Pair(rtl, golden or IntegerNetwork(spec))
        try:
            _train(pair, data, outcome, samples=samples, every=every, quiet=quiet)
            _test(pair, data, outcome, samples=test, quiet=quiet)
        except MismatchError as error:
            outcome.mismatch = error.mismatch
            outcome.weights = rtl.read()
        outcome.compared = pair.compared
        outcome.clocks = rtl.clocks
    outcome.seconds = time.monotonic() - begin
    write(outcome, out)
    return outcome


def _train(
    pair: Pair, data: Data, outcome: Outcome, *, samples: int | None, every: int, quiet: bool
):
    """Train, and compare the weights before, now and then, and after."""
    spec, rtl = outcome.spec, pair.rtl
    train_x, train_y, test_x, test_y = data.train_x, data.train_y, data.test_x, data.test_y
    limit = spec.epochs * len(train_x)
    total = limit if samples is None else min(samples, limit)
    outcome.weights = pair.weights()
    with _Progress("training", total, quiet) as progress:
        for epoch, start, stop in _segments(total, len(train_x), every):
            chosen = order(spec.seed, epoch, len(train_x))[start:stop]
            before = list(rtl.counters)
            try:
                for correct in pair.train(train_x[chosen], train_y[chosen], epoch=epoch):
                    outcome.training.append(correct)
                    progress.add(correct)
            finally:
                outcome.count(before, rtl.counters)
            outcome.weights = pair.weights()
            if stop == len(train_x) or pair.trained == total:
                right = [
                    (step.prediction.numpy() == test_y).mean() for step in pair.golden.infer(test_x)
                ]
                outcome.epochs.append((pair.trained, [float(share) for share in right]))


def _test(pair: Pair, data: Data, outcome: Outcome, *, samples: int | None, quiet: bool):
    """Infer the first test samples in hardware."""
    test_x, test_y = data.test_x[:samples], data.test_y[:samples]
    if len(test_x):
        with _Progress("test", len(test_x), quiet) as progress:
            for correct in pair.infer(test_x, test_y):
                outcome.test.append(correct)
                progress.add(correct)


def write(outcome: Outcome, out: Path):
    """Write the files of a run, `result.json` last and at once."""
    arrays: dict[str, Any] = {f"W{i}": weights for i, weights in enumerate(outcome.weights)}
    np.savez_compressed(out / WEIGHTS, **arrays)
    result = outcome.as_dict()
    (out / REPORT).write_text(report.render(outcome, result))
    unfinished = out / f"{RESULT}.unfinished"
    unfinished.write_text(json.dumps(result, indent=2) + "\n")
    unfinished.replace(out / RESULT)
