# SPDX-License-Identifier: BSD-2-Clause
"""The host's side of the byte link.

`Board` speaks `boards.protocol` through a port: a serial line of pyserial, or anything else with
its `read`, `write` and `in_waiting`. `train` teaches a board a data set.
"""

import json
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import repeat
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from tqdm import tqdm

from golden.data import Data
from golden.errors import RunError
from golden.order import order
from golden.spec import NetworkSpec
from hw.plan import LayerPlan
from hw.ports import COUNTERS, Rule

from .frames import OVERHEAD, Decoder, Frame
from .protocol import COUNTER_BYTES, VERSION, Info, Op, fingerprint

__all__ = ["Board", "LinkError", "Port", "train"]

#: The type of a weight in a frame.
_WEIGHT = np.dtype("<i2")


class LinkError(RunError):
    """The board did not do what was asked; the message says what happened and what to look at."""


class Port(Protocol):
    """What `Board` uses of a serial port."""

    @property
    def in_waiting(self) -> int:
        """Bytes that `read` returns at once."""
        ...

    def read(self, size: int = 1, /) -> bytes:
        """Wait for `size` bytes, or for the port's time-out; return what has arrived by then."""
        ...

    def write(self, data: bytes, /) -> int | None:
        """Send all of `data`."""
        ...


class Board:
    """A network at the other end of a port.

    Parameters
    ----------
    port
        The line. Its time-out is how long an answer may take.

    Raises
    ------
    LinkError
        From every method: if the line is cut, does not answer, or has corrupted a frame, or the
        answer is not one to the request.
    """

    def __init__(self, port: Port):
        self._port = port
        self._decoder = Decoder()
        self._arrived: deque[Frame] = deque()
        self._sequence = 0
        self._rejected: int | None = None
        # Until the board has said how much it can hold, one request at a time.
        self._buffer = 0
        self.info = self._greet()
        self._buffer = self.info.buffer

    def check(self, spec: NetworkSpec):
        """Make sure that the board holds the network `spec`."""
        if self.info.fingerprint != fingerprint(spec):
            raise LinkError(
                f"the board holds a network {self.info.name!r} that differs from {spec.path}; "
                "program it with a bitstream of this description"
            )

    def train(
        self, images: Iterable[np.ndarray], labels: Iterable[int]
    ) -> Iterator[Sequence[int]]:
        """Train on each image (uint8, M pixels) and give each layer's prediction of it."""
        return self._samples(Op.TRAIN, images, labels)

    def infer(self, images: Iterable[np.ndarray]) -> Iterator[Sequence[int]]:
        """Give each layer's prediction of each image."""
        return self._samples(Op.INFER, images, repeat(0))

    def set(self, layer: int, *, lr: int, rule: str):
        """Set the learning-rate shift and the rule of a layer."""
        self._ask(Op.SET, layer, bytes([lr, Rule.named(rule).value]))

    def counters(self, layer: int) -> dict[str, int]:
        """Read a layer's performance counters, each at the instant in which it is sent."""
        body = self._ask(Op.COUNTERS, layer).body
        fields = (body[i : i + COUNTER_BYTES] for i in range(0, len(body), COUNTER_BYTES))
        return {
            name: int.from_bytes(value, "little")
            for name, value in zip(COUNTERS, fields, strict=True)
        }

    def read_weights(self, spec: NetworkSpec) -> list[np.ndarray]:
        """Apply the last update, then read the weights: one int array (N, M + 1) a layer."""
        self._ask(Op.FLUSH)
        sequence = self._send(Op.READ)
        weights = []
        for layer in spec.layers:
            rows = [self._receive(sequence, Op.ROW).body for _ in range(layer.neurons)]
            if any(len(row) != _WEIGHT.itemsize * layer.columns for row in rows):
                raise LinkError(f"layer {layer.index} of the board has rows of another length")
            weights.append(np.frombuffer(b"".join(rows), _WEIGHT).reshape(layer.neurons, -1))
        self._receive(sequence, Op.READ)
        return [array.astype(int) for array in weights]

    def load_weights(self, weights: Sequence[np.ndarray]):
        """Replace all weights: one int array (N, M + 1) a layer."""
        self._ask(Op.LOAD)
        rows = (
            (Op.ROW, layer, row.astype(_WEIGHT).tobytes())
            for layer, array in enumerate(weights)
            for row in array
        )
        for _ in self._exchange(rows):
            pass

    def _samples(self, op: Op, images, labels) -> Iterator[Sequence[int]]:
        requests = (
            (op, int(label), np.asarray(image, np.uint8).tobytes())
            for image, label in zip(images, labels, strict=False)
        )
        return (tuple(frame.body) for frame in self._exchange(requests))

    def _greet(self) -> Info:
        try:
            info = Info.decode(self._ask(Op.INFO).body)
        except ValueError as error:
            raise LinkError(f"this board speaks another protocol: {error}") from error
        if info.version != VERSION:
            raise LinkError(
                f"this board speaks version {info.version} of the protocol, not {VERSION}; "
                "build its bitstream again"
            )
        return info

    def _ask(self, op: Op, argument: int = 0, body: bytes = b"") -> Frame:
        (answer,) = self._exchange([(op, argument, body)])
        return answer

    def _exchange(self, requests: Iterable[tuple[Op, int, bytes]]) -> Iterator[Frame]:
        """Give the answers to `requests` in order, with as many sent ahead as the board holds."""
        under_way: deque[tuple[int, Op, int]] = deque()
        total = 0
        for op, argument, body in requests:
            size = OVERHEAD + len(body)
            while under_way and total + size > self._buffer:
                sequence, sent, done = under_way.popleft()
                total -= done
                yield self._receive(sequence, sent)
            under_way.append((self._send(op, argument, body), op, size))
            total += size
        for sequence, sent, _ in under_way:
            yield self._receive(sequence, sent)

    def _send(self, op: Op, argument: int = 0, body: bytes = b"") -> int:
        """Send a request and return its sequence."""
        sequence = self._sequence
        self._sequence = (sequence + 1) % 256
        with _line_errors():
            self._port.write(Frame(sequence, op, argument, body).encode())
        return sequence

    def _receive(self, sequence: int, op: Op) -> Frame:
        """Wait for the next frame, which must be the answer to this request."""
        while not self._arrived:
            with _line_errors():
                received = self._port.read(max(1, self._port.in_waiting))
            if not received:
                raise LinkError(self._silence(op))
            self._arrived.extend(self._decoder.feed(received))
        answer = self._arrived.popleft()
        if self._rejected is None:
            self._rejected = answer.argument
        if answer.argument != self._rejected or self._decoder.rejected:
            raise LinkError(
                "the line has corrupted a frame, or the board did not accept a request; "
                "use a shorter cable or a lower --baud"
            )
        if (answer.sequence, answer.op) != (sequence, op):
            raise LinkError(
                f"the board answered operation {answer.op}, number {answer.sequence}, where "
                f"{op.name}, number {sequence}, was expected; program the board anew"
            )
        return answer

    def _silence(self, op: Op) -> str:
        if self._rejected is None:
            return "no answer from the board: is it programmed, and are --port and --baud right?"
        return f"no answer from the board to {op.name}: the line is cut, or a frame was lost"


@contextmanager
def _line_errors():
    """Turn what the operating system says of a broken line into a `LinkError`."""
    try:
        yield
    except OSError as error:
        raise LinkError(f"the line is cut: {error}") from error


def train(
    board: Board,
    spec: NetworkSpec,
    data: Data,
    folder: Path,
    *,
    epochs: int,
    test: int,
    resume: bool = False,
) -> list[list[float]]:
    """Train the board's network on a data set and show the test accuracy after each epoch.

    The board starts from the weights it holds. After each epoch `folder/weights.npz` holds the
    weights (W0, W1, ...) and the accuracies so far, and a training that was cut can be taken up
    there; `folder/result.json` says how far it came, however it ends.

    Parameters
    ----------
    board, spec
        The board, and the description of the network that it holds.
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
        From the board, or if there is nothing to resume.
    """
    board.check(spec)
    _check_schedule(spec, epochs)
    folder.mkdir(parents=True, exist_ok=True)
    saved = folder / "weights.npz"
    accuracies: list[list[float]] = []
    samples = 0
    if resume:
        accuracies, weights = _load(saved, spec)
        board.load_weights(weights)
        samples = len(accuracies) * len(data.train_y)
    try:
        for epoch in range(len(accuracies), epochs):
            for layer in spec.layers:
                board.set(layer.index, lr=spec.lr_shift(layer, epoch), rule=layer.rule)
            chosen = order(spec.seed, epoch, len(data.train_y))
            images, labels = data.train_x[chosen], data.train_y[chosen]
            title = f"epoch {epoch + 1}/{epochs}"
            for _ in _watch(board.train(images, labels), labels, title, len(spec.layers)):
                samples += 1
            images, labels = data.test_x[:test], data.test_y[:test]
            right = deque(_watch(board.infer(images), labels, "test", len(spec.layers)), 1).pop()
            accuracies.append([round(float(100 * r), 2) for r in right / len(labels)])
            weights = board.read_weights(spec)
            arrays: dict[str, Any] = {f"W{i}": array for i, array in enumerate(weights)}
            part = saved.with_suffix(".part.npz")
            np.savez(part, accuracies=np.array(accuracies), **arrays)
            part.replace(saved)
            tqdm.write(f"{title}: test accuracy {_percent(accuracies[-1])}")
    finally:
        result = {"name": spec.name, "samples": samples, "test_accuracy": accuracies}
        (folder / "result.json").write_text(json.dumps(result, indent=2) + "\n")
    return accuracies


def _check_schedule(spec: NetworkSpec, epochs: int):
    for layer in spec.layers:
        highest = LayerPlan(layer, spec.lr_growth).lr_max
        for epoch in range(epochs):
            shift = spec.lr_shift(layer, epoch)
            if shift > highest:
                raise LinkError(
                    f"epoch {epoch + 1} needs a learning-rate shift of {shift} "
                    f"in layer {layer.index}, and the hardware was built for at most {highest}; "
                    f"raise epochs in {spec.path} and build the bitstream again"
                )


def _load(saved: Path, spec: NetworkSpec) -> tuple[list[list[float]], list[np.ndarray]]:
    try:
        with np.load(saved) as arrays:
            weights = [
                arrays[f"W{layer.index}"].reshape(layer.neurons, layer.columns)
                for layer in spec.layers
            ]
            return arrays["accuracies"].tolist(), weights
    except (OSError, ValueError, KeyError) as error:
        raise LinkError(f"nothing to take up again: {error}") from error


def _watch(
    predictions: Iterator[Sequence[int]], labels: np.ndarray, title: str, layers: int
) -> Iterator[np.ndarray]:
    """Show a progress bar with the accuracy of each layer; give the correct ones so far."""
    right = np.zeros(layers)
    with tqdm(total=len(labels), desc=title, unit="sample", leave=False) as bar:
        for done, (label, prediction) in enumerate(zip(labels, predictions, strict=True), 1):
            right += np.asarray(prediction) == label
            bar.set_postfix_str(_percent(100 * right / done), refresh=False)
            bar.update()
            yield right


def _percent(values: Iterable[float]) -> str:
    return " / ".join(f"{value:.1f}" for value in values) + " %"
