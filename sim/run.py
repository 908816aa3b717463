# SPDX-License-Identifier: BSD-2-Clause
"""Trains a network in Verilator beside the golden model, and leaves the evidence in a folder."""

import json
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from golden.data import Data
from golden.files import check_folder, check_place, write_text
from golden.model import IntegerNetwork
from golden.order import order
from golden.spec import NetworkSpec
from golden.training import accuracy
from golden.weights import load_for, save, size_of

from . import report
from .check import MismatchError, Pair
from .outcome import Outcome
from .rtl import Rtl
from .verilator import LOG, WAVES, SimulationError

__all__ = ["Outcome", "simulate"]

#: Files of a run, besides those of the simulation.
WEIGHTS, RESULT, REPORT = "weights.npz", "result.json", "report.html"
#: The log of a simulation that has not come to its end.
ABORTED = "aborted.log"
#: Bytes that are needed beside the weights.
ROOM = 4 << 20
#: Training samples over which the progress bar's accuracy runs.
WINDOW = 500


class _Progress:
    """A progress bar with the running accuracy of each layer."""

    def __init__(self, title: str, total: int, quiet: bool):
        # Without a terminal there is no bar either.
        self.bar = tqdm(
            total=total, desc=title, unit=" samples", disable=quiet or None, smoothing=0.05
        )
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
    start: Path | None = None,
    margins: list[float | None] | None = None,
    golden: IntegerNetwork | None = None,
    quiet: bool = False,
) -> Outcome:
    """Train and test a network in Verilator beside the golden model, comparing every bit.

    Parameters
    ----------
    spec, data
        The description, and the samples to train and test on, in the contract's order.
    out
        Folder for the files of the run: `weights.npz`, `result.json`, `report.html`, the
        `simulation.log`. Each takes the place of an earlier run's when it is whole. A run that
        does not come to its end changes none of them and leaves `aborted.log`, which the next that
        does removes.
    samples
        Stop after as many training samples; by default after all epochs of the description.
    test
        Test in hardware on the first samples of the test set; by default on all.
    every
        Compare all weights after as many training samples, besides at the end of each epoch; not
        where a layer has counters of its health, which are of an epoch just so.
    waves
        Write `waves.vcd`.
    start
        A weight file to start from, in hardware through LOAD; by default weights are initialised.
    margins
        From which margin on test samples leave each layer, None where they do not; by default what
        the description says. They leave no layer that has no `margin` there.
    golden
        The golden model to compare with; by default that of `spec`.
    quiet
        No progress bars.

    Raises
    ------
    SimulationError
        If the network cannot be compiled or simulated to the end. There is no result then. A
        mismatch is a result: `Outcome.mismatch`.
    WeightsError
        If `start` cannot be used.
    InputError, OSError
        If `out` cannot be written.
    """
    given = None if start is None else load_for(start, spec, data)
    check_folder(out, size_of(spec) + ROOM)
    for name in (WEIGHTS, RESULT, REPORT, LOG, WAVES):
        check_place(out / name)
    # The simulator has the other core; more threads than one only get in its way.
    torch.set_num_threads(1)
    outcome = Outcome(spec, labels=data.labels, start=None if start is None else str(start))
    begin = time.monotonic()
    with _folder(out) as folder:
        with Rtl(spec, folder=folder, waves=waves) as rtl:
            pair = Pair(rtl, golden or IntegerNetwork(spec))
            rtl.margins = outcome.margins = rtl.margins if margins is None else margins
            try:
                if given:
                    pair.load(given)
                _train(pair, data, outcome, samples=samples, every=every, quiet=quiet)
                _test(pair, data, outcome, samples=test, quiet=quiet)
            except MismatchError as error:
                outcome.mismatch = error.mismatch
                outcome.weights = rtl.read()
            outcome.compared = pair.compared
            outcome.clocks = rtl.clocks
        outcome.seconds = time.monotonic() - begin
        write(outcome, data, out)
    return outcome


@contextmanager
def _folder(out: Path) -> Iterator[Path]:
    """Make a folder in `out` for one simulation, and put what it leaves into `out` at its end."""
    with tempfile.TemporaryDirectory(dir=out, prefix=".run-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        try:
            yield folder
        except BaseException as error:
            if (folder / LOG).exists():
                (folder / LOG).replace(out / ABORTED)
            if isinstance(error, SimulationError):
                # The message names the log, which has been moved.
                text = str(error).replace(str(folder / LOG), str(out / ABORTED))
                raise SimulationError(text) from error
            raise
        for name in (LOG, WAVES):
            if (folder / name).exists():
                (folder / name).replace(out / name)
        (out / ABORTED).unlink(missing_ok=True)


def _train(
    pair: Pair, data: Data, outcome: Outcome, *, samples: int | None, every: int, quiet: bool
):
    """Train, and compare the weights before, now and then, and after."""
    spec, rtl, growth = outcome.spec, pair.rtl, outcome.growth
    train_x, train_y, test_x, test_y = data.train_x, data.train_y, data.test_x, data.test_y
    limit = spec.passes * len(train_x)
    total = limit if samples is None else min(samples, limit)
    outcome.weights = pair.weights()
    watch = pair.golden.watch()
    # Counts of health are those of an epoch if weights are read at its end only.
    if any(layer.health for layer in spec.layers):
        every = len(train_x)
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
                outcome.health.append(pair.golden.take_health(watch))
            layer = growth.due(epoch)
            if layer is not None and stop == len(train_x):
                growth.add(accuracy(pair.golden, data.held_x, data.held_y)[layer])
            if growth.over:
                return


def _test(pair: Pair, data: Data, outcome: Outcome, *, samples: int | None, quiet: bool):
    """Infer the first test samples in hardware."""
    test_x, test_y = data.test_x[:samples], data.test_y[:samples]
    if len(test_x):
        before = [dict(counts) for counts in pair.counts]
        outcome.exits, outcome.saved = pair.exits, pair.saved
        with _Progress("test", len(test_x), quiet) as progress:
            for correct in pair.infer(test_x, test_y):
                outcome.test.append(correct)
                progress.add(correct)
        if any(layer.exits for layer in outcome.spec.layers):
            # The counters are compared as well.
            outcome.weights = pair.weights()
            outcome.spent = [
                {name: now - then[name] for name, now in counts.items()}
                for counts, then in zip(pair.counts, before, strict=True)
            ]


def write(outcome: Outcome, data: Data, out: Path):
    """Write the files of a run, the report last: it can be made again from the others."""
    accuracies = [[round(100 * share, 2) for share in shares] for _, shares in outcome.epochs]
    progress = {
        "accuracies": accuracies,
        "samples": sum(map(len, outcome.training)),
        **outcome.growth.progress,
    }
    learned = replace(outcome.weights, labels=data.labels, scaling=data.scaling, progress=progress)
    save(out / WEIGHTS, outcome.spec, learned)
    result = outcome.as_dict()
    # Better no report than that of an earlier run beside this run's result.
    (out / REPORT).unlink(missing_ok=True)
    write_text(out / RESULT, json.dumps(result, indent=2) + "\n")
    write_text(out / REPORT, report.render(outcome, result))
