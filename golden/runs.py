# SPDX-License-Identifier: BSD-2-Clause
"""Many trainings at once, each of which goes on where it was when it is killed.

A run leaves files in its folder, named by a digest of all that decides its result: a checkpoint
after each epoch, and at the end its outcome as JSON, for which the checkpoints go. A run whose
outcome is there is not made again; what is damaged is not believed (`golden.kept`). The digest
knows nothing of the code: whoever changes what a model computes raises `COMPUTES`.
"""

import hashlib
import json
import multiprocessing
import os
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from threading import Thread
from typing import Any

import torch
from tqdm import tqdm

from golden import data, spec
from golden.errors import RunError
from golden.kept import Checkpoints, read_outcome, write_outcome
from golden.model import IntegerNetwork
from golden.training import Model, accuracy, steps

__all__ = ["Integer", "Outcome", "Run", "perform"]

#: What all models compute together with the order of the data, as a number that goes into digests.
COMPUTES = 4
#: Seconds between two reports of progress.
PAUSE = 0.25
#: Takes how many epochs, or what part of one, a run has come on, and the name of the run.
Report = Callable[[tuple[float, str]], object]
#: In a process of `_share`, where its reports go.
_events: Any = None


@dataclass(frozen=True, kw_only=True)
class Run(ABC):
    """One training: all that decides its result. What is trained, a subclass says.

    Parameters
    ----------
    name
        What people call it; it decides nothing.
    data
        The data set.
    held_out
        Whether to test on samples held out of the training set (`golden.data.held_out`) and leave
        the test set alone.
    validated
        Whether to hold the same samples out, and test on both.
    seed
        All random numbers and the order of the samples follow from it.
    batch, epochs
        Samples of a step, and how often all samples are seen.
    """

    name: str
    data: spec.DataSpec | str
    held_out: bool = False
    validated: bool = False
    seed: int
    batch: int
    epochs: int

    @abstractmethod
    def model(self) -> Model:
        """Make what is trained, at its start."""

    @property
    def settings(self) -> dict[str, Any]:
        """What decides the result, for JSON."""
        values = {"kind": type(self).__name__, "computes": COMPUTES, **asdict(self)}
        del values["name"]
        # Runs without it are those that there were before there was one.
        if not self.validated:
            del values["validated"]
        values["data"] = data.identity(self.data)
        return values

    @property
    def digest(self) -> str:
        """Name of the run's files: 16 hexadecimal digits that follow from the settings."""
        text = json.dumps(self.settings, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True, kw_only=True)
class Integer(Run):
    """The integer model, trained as its description asks; `Integer.of` takes all from there.

    Its `momentum`, in 256ths, no description asks for.
    """

    network: spec.NetworkSpec
    momentum: int = 0

    @classmethod
    def of(
        cls,
        network: spec.NetworkSpec,
        *,
        name: str,
        held_out: bool = False,
        validated: bool = False,
        momentum: int = 0,
    ) -> "Integer":
        """Make the run of a description."""
        if network.data is None:
            raise spec.SpecError(f"{network.path}: data: nothing to train on; name a data set")
        if network.schedule == "grow":
            raise spec.SpecError(
                f'{network.path}: schedule: "grow" is not for runs that are compared, for each has '
                'to have the same layers; take "greedy"'
            )
        return cls(
            name=name,
            data=network.data,
            held_out=held_out,
            validated=validated,
            seed=network.seed,
            batch=network.batch,
            epochs=network.passes,
            network=network,
            momentum=momentum,
        )

    def model(self) -> IntegerNetwork:
        """Make the integer model, at its start."""
        return IntegerNetwork(self.network, self.momentum)

    @property
    def settings(self) -> dict[str, Any]:
        """What decides the result: not where the description lies, nor what hardware it is for."""
        settings = super().settings
        # Runs without it are those that there were before there was one.
        if not self.momentum:
            del settings["momentum"]
        for key in ("path", "name", "data", "board", "size"):
            del settings["network"][key]
        for layer in settings["network"]["layers"]:
            del layer["lanes"], layer["health"]
            # As with momentum.
            if not layer["centred"]:
                del layer["centred"]
            # Fully connected networks are those that there were before there were others.
            if not self.network.convolutional:
                del layer["conv"], layer["gs"]
        if not self.network.convolutional:
            del settings["network"]["shape"]
        return settings


@dataclass(frozen=True)
class Outcome:
    """What a run came to.

    Parameters
    ----------
    settings
        Of the run.
    curve
        Accuracy on the test set, or what was held out, after each epoch: a list with a share for
        each layer that predicts.
    train
        Accuracy on the samples trained on, at the end.
    seconds
        It took.
    held
        Accuracy at the end on the samples held out beside the test set; empty where none were.
    """

    settings: dict[str, Any]
    curve: list[list[float]]
    train: list[float]
    seconds: float
    held: list[float] = field(default_factory=list)

    @property
    def test(self) -> list[float]:
        """Accuracy at the end."""
        return self.curve[-1]


def perform(runs: Sequence[Run], folder: Path, *, jobs: int = 1) -> list[Outcome]:
    """Make runs, `jobs` of them at once, one thread each; give their outcomes in their order.

    A single job works in this process, with all its threads. Outcomes are JSON in `folder`; those
    that are there already are read. Progress is shown on a terminal.

    Parameters
    ----------
    runs
        Two of the same settings are made once.
    folder
        Of checkpoints and outcomes; it is made where it is missing.
    jobs
        Runs at a time.

    Raises
    ------
    DataError
        If the data set is missing or damaged.
    RunError
        If a file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    outcomes = {run.digest: _outcome(run, folder) for run in runs}
    missing = {run.digest: run for run in runs if not outcomes[run.digest]}
    for run in missing.values():
        _samples(run)
    total = sum(run.epochs for run in missing.values())
    form = "{l_bar}{bar}| {n:.1f}/{total} epochs [{elapsed}<{remaining}{postfix}]"
    with tqdm(total=total, bar_format=form, disable=None, leave=False) as progress:

        def report(event: tuple[float, str]):
            progress.set_postfix_str(event[1], refresh=False)
            progress.update(event[0])

        if jobs == 1:
            for run in missing.values():
                _perform(run, folder, report)
        elif missing:
            _share(list(missing.values()), folder, jobs, report)
    outcomes |= {digest: _outcome(run, folder) for digest, run in missing.items()}
    made = [outcome for run in runs if (outcome := outcomes[run.digest])]
    if len(made) < len(runs):
        raise RunError(f"{folder}: outcomes were removed while others were made; start again")
    return made


def _share(runs: list[Run], folder: Path, jobs: int, report: Report):
    """Make runs in `jobs` processes of their own."""
    context = multiprocessing.get_context("spawn")
    events = context.SimpleQueue()

    def listen():
        while (event := events.get()) is not None:
            report(event)

    listener = Thread(target=listen, daemon=True)
    listener.start()
    workers = ProcessPoolExecutor(min(jobs, len(runs)), context, _start_worker, (events,))
    try:
        for future in [workers.submit(_perform_in_worker, run, folder) for run in runs]:
            future.result()
    except BaseException:
        # What is under way would only be made to its end; its checkpoint is there.
        for process in multiprocessing.active_children():
            process.terminate()
        raise
    finally:
        workers.shutdown(cancel_futures=True)
        events.put(None)
        listener.join()


def _start_worker(events: Any):
    # A queue goes to a process only as it starts.
    global _events
    _events = events
    # An interrupt from the keyboard reaches all processes: the parent deals with it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    Thread(target=_end_with_parent, daemon=True).start()


def _perform_in_worker(run: Run, folder: Path):
    _perform(run, folder, _events.put)


def _end_with_parent():
    """Let no run go on unseen when the command has been killed."""
    parent = multiprocessing.parent_process()
    if parent:
        parent.join()
        os._exit(1)


def _samples(run: Run) -> data.Data:
    """Load what a run trains and tests on, and check that there is a batch."""
    samples = data.load(run.data)
    if run.held_out:
        samples = data.held_out(samples)
    elif run.validated:
        samples = data.set_aside(samples)
    samples.check_batch(run.batch, run.name)
    return samples


def _perform(run: Run, folder: Path, report: Report):
    """Make a run from its last checkpoint on, if there is one, and write its outcome."""
    # Gradients behind a softmax that is sure of itself are below what float32 normally holds, which
    # processors take many times longer for. Threads that are started later do as this one.
    torch.set_flush_denormal(True)
    model: Model = run.model()
    samples = _samples(run)
    curve, seconds = [], 0.0
    checkpoints = Checkpoints(folder, run.digest)

    def take(saved: dict[str, Any]):
        nonlocal model, curve, seconds
        # A new one, for one that was damaged may have been restored in part.
        model = run.model()
        model.restore(saved["model"])
        curve, seconds = saved["curve"], saved["seconds"]

    if checkpoints.last(take):
        report((len(curve), run.name))
    for epoch in range(len(curve), run.epochs):
        begin = time.perf_counter()
        for share in _parts(model, samples, run, epoch):
            report((share, run.name))
        curve.append(accuracy(model, samples.test_x, samples.test_y))
        seconds += time.perf_counter() - begin
        checkpoints.write({"model": model.state(), "curve": curve, "seconds": seconds})

    train = accuracy(model, samples.train_x, samples.train_y)
    held = accuracy(model, samples.held_x, samples.held_y) if run.validated else []
    outcome = Outcome(run.settings, curve, train, round(seconds, 1), held)
    write_outcome(folder, run.digest, {"name": run.name, **asdict(outcome)})
    checkpoints.remove()


def _parts(model: Model, samples: data.Data, run: Run, epoch: int) -> Iterator[float]:
    """Train an epoch; every now and then give what share of it has been made since."""
    seen, total, last = 0, len(samples.train_x) // run.batch * run.batch, time.perf_counter()
    for count in steps(model, samples, epoch, seed=run.seed, batch=run.batch):
        seen += count
        if time.perf_counter() > last + PAUSE:
            yield seen / total
            seen, last = 0, time.perf_counter()
    yield seen / total


def _outcome(run: Run, folder: Path) -> Outcome | None:
    """Read what a run came to, if it has been made."""
    values = read_outcome(folder, run.digest, run.settings)
    if not values:
        return None
    del values["name"]
    return Outcome(**values)
