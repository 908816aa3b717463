# SPDX-License-Identifier: BSD-2-Clause
"""Teaching a board a data set, so that a training which is cut can be taken up again."""

import json
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from golden import weights
from golden.data import Data
from golden.errors import InputError
from golden.files import write_text
from golden.order import order
from golden.schedule import Growth

from . import health
from .host import Board, LinkError

__all__ = ["INCOMPLETE", "train"]

#: What is said of a board whose weights are of no use.
INCOMPLETE = (
    "the load of weights into the board was cut short, and they are of no use; load some with "
    "python -m boards load, go on with a training with train --resume, or program the board anew"
)


def train(
    board: Board,
    data: Data,
    folder: Path,
    *,
    epochs: int,
    test: int,
    resume: bool = False,
) -> list[list[float]]:
    """Train the board's network on a data set and show the test accuracy after each epoch.

    The board starts from the weights it holds. `folder/weights.npz` holds them, and after each
    epoch those of then, with the accuracies so far: a training that was cut can be taken up there.
    What lay there before goes to `folder/weights.before.npz`. `folder/result.json` says how far
    the training came, however it ends, and what layers with counters of health have counted in each
    epoch, null for those before it was taken up.

    Parameters
    ----------
    board
        The board.
    data
        What to train and test on.
    folder
        Where to leave the files; made if need be.
    epochs
        Passes over the training samples, those of an earlier training included.
    test
        How many test samples to evaluate after each epoch, at least 1.
    resume
        Load the weights of `folder` first and go on after their epoch.

    Returns
    -------
    For each epoch the test accuracy of each layer, in percent.

    Raises
    ------
    LinkError
        From the board.
    InputError
        If there is nothing to resume, it could not go on as it was, or the hardware was not built
        for so many epochs.
    OSError
        If a file cannot be written.
    """
    spec = board.spec
    _check_schedule(board, epochs)
    saved = folder / "weights.npz"
    accuracies: list[list[float]] = []
    growth = Growth(spec)
    if resume:
        accuracies, growth = _take_up(board, saved, data)
    elif board.info.incomplete:
        raise LinkError(INCOMPLETE)
    folder.mkdir(parents=True, exist_ok=True)
    samples = len(accuracies) * len(data.train_y)
    left: dict[str, Any] = {}
    # No file keeps those of the epochs before.
    counts: list[list[dict[str, int]] | None] = [None] * len(accuracies)
    try:
        if not resume:
            with suppress(FileNotFoundError):
                saved.replace(folder / "weights.before.npz")
            _save(board, saved, data, accuracies, growth)
        counters = health.Health(board)
        for epoch in range(len(accuracies), epochs):
            if growth.over:
                break
            for layer in spec.layers:
                rule = spec.rule_in(layer, epoch)
                board.set(layer.index, lr=spec.lr_shift(layer, epoch), rule=rule)
            chosen = order(spec.seed, epoch, len(data.train_y))
            images, labels = data.train_x[chosen], data.train_y[chosen]
            title = f"epoch {epoch + 1}/{epochs}"
            for _ in _watch(board.train(images, labels), labels, title, len(spec.layers)):
                samples += 1
            shares = _test(board, data.test_x[:test], data.test_y[:test], "test")
            accuracies.append([round(100 * share, 2) for share in shares])
            layer = growth.due(epoch)
            if layer is not None:
                growth.add(_test(board, data.held_x, data.held_y, "held out")[layer])
            _save(board, saved, data, accuracies, growth)
            tqdm.write(f"{title}: test accuracy {_percent(accuracies[-1])}")
            if counters.some:
                counts.append(found := counters.take())
                for line in health.lines(spec, found):
                    tqdm.write(f"  {line}")
        if growth.shares:
            tqdm.write(str(growth))
        if spec.layers[-1].exits:
            left = _leave(
                board, data.test_x[:test], data.test_y[:test], max(len(accuracies), 1) - 1
            )
    finally:
        result = {
            "name": spec.name,
            "samples": samples,
            "test_accuracy": accuracies,
            **growth.progress,
            **left,
            **({"health": counts} if any(counts) else {}),
        }
        write_text(folder / "result.json", json.dumps(result, indent=2) + "\n")
    return accuracies


def _check_schedule(board: Board, epochs: int):
    """Check that the schedule has so many epochs, and the hardware their learning rates.

    Where all layers learn at once, rates only fall.
    """
    spec = board.spec
    if spec.schedule != "all" and epochs > spec.passes:
        raise InputError(
            f"{epochs} epochs: all turns of the schedule {spec.schedule!r} have {spec.passes}; "
            f"give fewer, or raise epochs in {spec.path} and build the bitstream again"
        )
    for layer, plan in zip(spec.layers, board.plans, strict=True):
        shift = spec.lr_shift(layer, epochs - 1)
        if shift > plan.lr_max:
            raise InputError(
                f"epoch {epochs} needs a learning-rate shift of {shift} in layer {layer.index}, "
                f"and the hardware was built for at most {plan.lr_max}; raise epochs in "
                f"{spec.path} and build the bitstream again"
            )


def _test(board: Board, images: np.ndarray, labels: np.ndarray, title: str) -> list[float]:
    """Infer samples; give for each layer the share that it has right."""
    right = deque(_watch(board.infer(images), labels, title, len(board.spec.layers)), 1).pop()
    return (right / len(labels)).tolist()


def _leave(board: Board, images: np.ndarray, labels: np.ndarray, epoch: int) -> dict[str, Any]:
    """Infer samples that leave at the margins of the description; say where, and what is right.

    Returns
    -------
    dict
        `early_exit`: the share of samples that are `right`, by the layer at which they leave, and
        of each layer the share that has `left` there, both in percent.
    """
    spec = board.spec
    for layer in spec.layers:
        rule = spec.rule_in(layer, epoch)
        board.set(layer.index, lr=spec.lr_shift(layer, epoch), rule=rule, margin=layer.margin)
    found = [*board.infer(images)]
    right = np.mean([answers[-1] == label for answers, label in zip(found, labels, strict=True)])
    counts = np.bincount([len(answers) - 1 for answers in found], minlength=len(spec.layers))
    left = (100 * counts / len(found)).round(2).tolist()
    tqdm.write(f"early exit: {100 * right:.1f} % right; left at the layers {_percent(left)}")
    return {"early_exit": {"right": round(float(100 * right), 2), "left": left}}


def _take_up(board: Board, saved: Path, data: Data) -> tuple[list[list[float]], Growth]:
    """Load the weights of a training that was cut.

    Returns
    -------
    accuracies, growth
        Of its epochs, and how far it had come in its schedule.
    """
    for layer in board.spec.layers:
        drawing = [key for key in ("sr", "dropout") if getattr(layer, key)]
        if drawing:
            raise InputError(
                f"layer {layer.index}: {drawing[0]}: no board tells how far its random numbers "
                f"have come, so that another training would go on; give {saved} to python -m "
                "boards load, and train without --resume"
            )
    if not saved.exists():
        raise InputError(f"{saved}: is not there: nothing to take up again; leave out --resume")
    found = weights.load_for(saved, board.spec, data)
    accuracies: Any = found.progress.get("accuracies")
    if not _is_progress(accuracies, len(board.spec.layers)):
        raise InputError(
            f"{saved}: progress: does not say how far a training came; "
            "give it to python -m boards load, and train without --resume"
        )
    try:
        growth = Growth.after(board.spec, found.progress, len(accuracies))
    except ValueError as error:
        raise InputError(
            f"{saved}: progress: {error}; restore the description, or leave out --resume"
        ) from None
    board.load_weights(found)
    return accuracies, growth


def _is_progress(accuracies: Any, layers: int) -> bool:
    """Say whether this is a list with a number for each layer after each epoch."""
    return isinstance(accuracies, list) and all(
        isinstance(epoch, list)
        and len(epoch) == layers
        and all(isinstance(value, int | float) for value in epoch)
        for epoch in accuracies
    )


def _save(board: Board, saved: Path, data: Data, accuracies: list[list[float]], growth: Growth):
    """Read the board's weights, and leave them with how far it came, and on what."""
    learned = replace(
        board.read_weights(),
        labels=data.labels,
        scaling=data.scaling,
        progress={"accuracies": accuracies, **growth.progress},
    )
    weights.save(saved, board.spec, learned)


def _watch(
    predictions: Iterator[Sequence[int]], labels: np.ndarray, title: str, layers: int
) -> Iterator[np.ndarray]:
    """Show a progress bar with the accuracy of each layer; give the correct ones so far."""
    right = np.zeros(layers)
    with tqdm(total=len(labels), desc=title, unit="sample", leave=False, disable=None) as bar:
        for done, (label, prediction) in enumerate(zip(labels, predictions, strict=True), 1):
            right += np.asarray(prediction) == label
            bar.set_postfix_str(_percent(100 * right / done), refresh=False)
            bar.update()
            yield right


def _percent(values: Iterable[float]) -> str:
    return " / ".join(f"{value:.1f}" for value in values) + " %"
