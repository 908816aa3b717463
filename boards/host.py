# SPDX-License-Identifier: BSD-2-Clause
"""The host's side of the byte link.

`Board` speaks `boards.protocol` through a port: a serial line of pyserial, or anything else with
its `read`, `write` and `in_waiting`.
"""

import random
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import repeat
from typing import Any, Protocol

import numpy as np

from golden.errors import InputError, RunError, quoted
from golden.layer_spec import MARGIN_LIMIT, TRAINED_BITS, LayerSpec
from golden.spec import NetworkSpec
from golden.weights import Weights
from hw.link_limits import body_max, register_bytes
from hw.plan import LayerPlan
from hw.ports import Rule, counter_names

from . import runs
from .frames import END, HEADER, Decoder, Frame, line_size
from .protocol import (
    COUNTER_BYTES,
    VERSION,
    WEIGHT_BYTES,
    Code,
    Info,
    Op,
    counters_size,
    fingerprint,
)
from .uart import BYTE_BITS

__all__ = ["BAUD", "TIMEOUT", "Board", "LinkError", "Port"]

#: The type of a weight in a frame.
_WEIGHT = np.dtype("<i2")
#: Seconds that a board may take for an answer, besides the time that the line takes.
TIMEOUT = 2.0
#: Usual rate of the line.
BAUD = 1_000_000
#: Seconds after which a HELLO that is not answered is said again.
_AGAIN = 0.25
#: Most bytes that are taken from the port at once.
_CHUNK = 1 << 16
_SEQUENCES = 1 << 32
_NOBODY = (
    "no answer from the board: is it programmed with a bitstream of this version, and are --port "
    "and --baud right?"
)
_REASONS: dict[int, str] = {
    Code.SEQUENCE: "it expected another request: the line has lost or doubled one",
    Code.OPERATION: "it does not know this operation",
    Code.STATE: "it is not the time for it: a load of weights has been begun, or has not",
    Code.ARGUMENT: "there is no such label or layer",
    Code.LENGTH: "it has another length",
    Code.VALUE: "a number is out of range",
}


class LinkError(RunError):
    """The board did not do what was asked; the message says what happened and what to look at."""


class Port(Protocol):
    """What `Board` uses of a serial port."""

    @property
    def in_waiting(self) -> int:
        """Bytes that `read` returns at once."""
        ...

    def read(self, size: int = 1, /) -> bytes:
        """Wait for `size` bytes, or for a short time; return what has arrived by then."""
        ...

    def write(self, data: bytes, /) -> int | None:
        """Send all of `data`."""
        ...


class Board:
    """A session with the network of a description, at the other end of a port.

    Parameters
    ----------
    port
        The line.
    spec
        The description of the network that the board must hold.
    baud
        Rate of the line, from which follows how long an answer may take.
    clock
        Gives the time in seconds.

    Raises
    ------
    InputError
        From every method: if what is given is of another type, shape or range.
    LinkError
        From every method: if the line is cut, does not answer in time, or has corrupted a frame, or
        the answer is not one to the request.
    """

    def __init__(
        self,
        port: Port,
        spec: NetworkSpec,
        *,
        baud: int = BAUD,
        clock: Callable[[], float] = time.monotonic,
    ):
        self.spec = spec
        self.plans = [LayerPlan(layer, spec.lr_growth) for layer in spec.layers]
        #: Whether answers say where the sample has left.
        self._exits = spec.layers[-1].exits
        self._port = port
        self._baud = baud
        self._clock = clock
        self._decoder = Decoder()
        self._arrived: deque[Frame] = deque()
        self._sequence = 0
        self._rejected = 0
        #: What the board has said of itself last.
        self.info = self._greet()

    def train(self, images: Iterable[np.ndarray], labels: Iterable[int]) -> Iterator[Sequence[int]]:
        """Train on each image (uint8, M pixels) and give each layer's prediction of it."""
        return self._samples(Op.TRAIN, images, labels, strict=True)

    def infer(self, images: Iterable[np.ndarray]) -> Iterator[Sequence[int]]:
        """Give each layer's prediction of each image, up to the layer at which it leaves."""
        return self._samples(Op.INFER, images, repeat(0), strict=False)

    def set(self, layer: int, *, lr: int, rule: str, margin: float | None = None):
        """Set the learning-rate shift and the rule of a layer.

        Samples that are inferred leave it from `margin` on, or never; only a layer whose
        description has a margin can be given one.
        """
        plan = self.plans[_whole("layer", layer, 0, len(self.plans) - 1)]
        lr = _whole(f"layer {layer}: lr", lr, plan.lr_min, plan.lr_max)
        known = ["tlc", "frozen"] if plan.trained else [rule.name.lower() for rule in Rule]
        if rule not in known:
            raise InputError(
                f"layer {layer}: rule: the hardware of this layer has none of name {quoted(rule)}, "
                f"only {', '.join(known)}"
            )
        body = bytes([lr, Rule.named(rule).value])
        if plan.layer.margin is not None:
            if margin is not None and not 0 <= margin <= MARGIN_LIMIT:
                raise InputError(
                    f"layer {layer}: margin: must be from 0 to {MARGIN_LIMIT:,}, not {margin!r}"
                )
            size = register_bytes(plan.layer) - len(body)
            body += plan.threshold(margin).to_bytes(size, "little")
        elif margin is not None:
            raise InputError(
                f"layer {layer}: margin: no sample leaves this layer; give it a margin in "
                f"{self.spec.path} and build the bitstream again"
            )
        self._ask(Op.SET, layer, body)

    def counters(self, layer: int) -> dict[str, int]:
        """Read a layer's counters, each at the instant in which it is sent."""
        _whole("layer", layer, 0, len(self.plans) - 1)
        body = self._ask(Op.COUNTERS, layer).body
        names = counter_names(self.plans[layer])
        starts = range(0, len(body), COUNTER_BYTES)
        return {
            name: int.from_bytes(body[start : start + COUNTER_BYTES], "little")
            for name, start in zip(names, starts, strict=False)
        }

    def read_weights(self) -> Weights:
        """Read all weights."""
        sequence = self._send(Op.READ)
        W, V = [], []
        for plan in self.plans:
            layer = plan.layer
            W.append(self._matrix(sequence, layer.index, (layer.neurons, layer.columns), layer.wb))
            shape = layer.neurons, layer.classes
            V.append(
                self._matrix(sequence, layer.index, shape, TRAINED_BITS) if plan.trained else None
            )
        self._receive(sequence, Op.READ, 0)
        return Weights(W=tuple(W), V=tuple(V))

    def load_weights(self, weights: Weights):
        """Replace all weights."""
        if len(weights.W) != len(self.plans):
            raise InputError(f"there are {len(weights.W)} arrays of weights, not {len(self.plans)}")
        arrays = [
            array
            for plan, W, V in zip(self.plans, weights.W, weights.V, strict=True)
            for array in _weights(plan, W, V)
        ]
        self._ask(Op.LOAD)
        rows = ((Op.ROW, layer, row.tobytes()) for layer, array in arrays for row in array)
        for _ in self._exchange(rows):
            pass
        self.info = self._told(self._ask(Op.INFO).body)

    def _matrix(self, sequence: int, layer: int, shape: tuple[int, int], bits: int) -> np.ndarray:
        """Receive rows of weights."""
        rows = [
            self._receive(sequence, Op.ROW, WEIGHT_BYTES * shape[1]).body for _ in range(shape[0])
        ]
        array = np.frombuffer(b"".join(rows), _WEIGHT).reshape(shape)
        if np.any((array >> (bits - 1) != 0) & (array >> (bits - 1) != -1)):
            raise LinkError(
                f"layer {layer} of the board has weights of more than {bits} bits; "
                "build its bitstream again"
            )
        return array.astype(int)

    def _samples(self, op: Op, images, labels, *, strict: bool) -> Iterator[Sequence[int]]:
        classes = self.spec.classes
        requests = (
            (op, _whole("a label", label, 0, classes - 1), self._runs(image))
            for image, label in zip(images, labels, strict=strict)
        )
        layers = len(self.plans)
        for frame in self._exchange(requests):
            predictions = frame.body[:layers]
            if any(prediction >= classes for prediction in predictions):
                raise LinkError(
                    f"the board predicts class {max(predictions)} of {classes}; "
                    "build its bitstream again"
                )
            last = frame.body[layers] if self._exits else layers - 1
            if last >= layers:
                raise LinkError(
                    f"a sample left layer {last} of {layers} of the board; "
                    "build its bitstream again"
                )
            yield tuple(predictions[: last + 1])

    def _runs(self, image) -> bytes:
        image = np.asarray(image)
        if image.dtype != np.uint8 or image.shape != (self.spec.inputs,):
            raise InputError(
                f"an image must be pixels of type uint8 and shape ({self.spec.inputs},), not "
                f"{image.dtype} {image.shape}"
            )
        return runs.encode(image)

    def _greet(self) -> Info:
        """Begin a session, whatever the board and the line are still busy with."""
        # A row of weights that somebody else has asked for comes first.
        row = body_max(self.spec)
        deadline = self._deadline(self._size(Op.HELLO), row)
        pause = _AGAIN + self._line_time(line_size(0) + line_size(self._size(Op.HELLO)))
        again = 0.0
        sequence = 0
        while True:
            if self._clock() >= again:
                again = self._clock() + pause
                # So the numbers of this session are, most likely, those of no other.
                sequence = random.SystemRandom().randrange(_SEQUENCES)
                # What END ends is the rest of what somebody else has begun to say.
                self._write(bytes([END]) + Frame(sequence, Op.HELLO).encode())
            self._listen(deadline, _NOBODY)
            while self._arrived:
                answer = self._arrived.popleft()
                # Others are answers to those who were here before.
                if (answer.sequence, answer.op) == (sequence, Op.HELLO):
                    self._rejected = answer.argument
                    self._decoder.rejected = 0
                    self._sequence = (sequence + 1) % _SEQUENCES
                    return self._check(self._told(answer.body))

    def _told(self, body: bytes) -> Info:
        try:
            return Info.decode(body)
        except ValueError as error:
            raise LinkError(f"this board speaks another protocol: {error}") from error

    def _check(self, info: Info) -> Info:
        """Make sure that the board is one that can be spoken with, and holds the network."""
        if info.version != VERSION:
            raise LinkError(
                f"this board speaks version {info.version} of the protocol, not {VERSION}; "
                "build its bitstream again"
            )
        if info.fingerprint != fingerprint(self.spec):
            raise LinkError(
                f"the board holds a network {quoted(info.name)} that differs from "
                f"{self.spec.path}; program it with a bitstream of this description"
            )
        return info

    def _size(self, op: Op) -> int:
        """Give the length of the body of the answer to a request; the most, if it varies."""
        return {
            Op.TRAIN: len(self.plans) + self._exits,
            Op.INFER: len(self.plans) + self._exits,
            Op.COUNTERS: counters_size(self.plans),
            Op.INFO: 0xFF,
            Op.HELLO: 0xFF,
        }.get(op, 0)

    def _ask(self, op: Op, argument: int = 0, body: bytes = b"") -> Frame:
        (answer,) = self._exchange([(op, argument, body)])
        return answer

    def _exchange(self, requests: Iterable[tuple[Op, int, bytes]]) -> Iterator[Frame]:
        """Give the answers to `requests` in order, with as many sent ahead as the board holds."""
        under_way: deque[tuple[int, Op, int]] = deque()
        total = 0
        for op, argument, body in requests:
            size = HEADER + len(body)
            while under_way and total + size > self.info.buffer:
                sequence, sent, done = under_way.popleft()
                answer = self._receive(sequence, sent, self._size(sent), total)
                total -= done
                yield answer
            under_way.append((self._send(op, argument, body), op, size))
            total += size
        for sequence, sent, _ in under_way:
            yield self._receive(sequence, sent, self._size(sent), total)

    def _send(self, op: Op, argument: int = 0, body: bytes = b"") -> int:
        """Send a request and return its sequence."""
        sequence = self._sequence
        self._sequence = (sequence + 1) % _SEQUENCES
        self._write(Frame(sequence, op, argument, body).encode())
        return sequence

    def _write(self, line: bytes):
        with _line_errors():
            self._port.write(line)

    def _deadline(self, size: int, under_way: int = 0) -> float:
        """Give the time by which an answer of `size` bytes must be here, `under_way` before it."""
        line = line_size(0) + line_size(size) + 2 * line_size(under_way)
        return self._clock() + TIMEOUT + self._line_time(line)

    def _line_time(self, size: int) -> float:
        return size * BYTE_BITS / self._baud

    def _listen(self, deadline: float, complaint: str):
        """Take in what has arrived, or wait a little for it."""
        if self._clock() >= deadline:
            raise LinkError(complaint)
        with _line_errors():
            received = self._port.read(min(max(1, self._port.in_waiting), _CHUNK))
        self._arrived.extend(self._decoder.feed(received))

    def _receive(self, sequence: int, op: Op, size: int, under_way: int = 0) -> Frame:
        """Wait for the next frame, which must be the answer to this request, `size` bytes long."""
        deadline = self._deadline(size, under_way)
        while not self._arrived and not self._decoder.rejected:
            self._listen(
                deadline,
                f"no answer from the board to {op.name}: the line is cut, or a frame was lost",
            )
        answer = self._arrived.popleft() if self._arrived else None
        if answer is None or answer.argument != self._rejected or self._decoder.rejected:
            raise LinkError("the line has corrupted a frame; use a shorter cable or a lower --baud")
        if (answer.sequence, answer.op) == (sequence, Op.ERROR):
            reason = _REASONS.get(answer.body[0] if len(answer.body) == 1 else 0, "it says not why")
            raise LinkError(f"the board refuses {op.name}: {reason}")
        if (answer.sequence, answer.op) != (sequence, op):
            raise LinkError(
                f"the board answered operation {answer.op}, number {answer.sequence}, where "
                f"{op.name}, number {sequence}, was expected; does another program use its line?"
            )
        if len(answer.body) != size and op != Op.INFO:
            raise LinkError(
                f"the board answered {op.name} with {len(answer.body)} bytes, not {size}; "
                "build its bitstream again"
            )
        return answer


def _whole(what: str, value: Any, low: int, high: int) -> int:
    """Check that a value is a whole number in a range, of Python's or NumPy's types."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | np.integer):
        raise InputError(f"{what} must be a whole number, not {quoted(value)}")
    if not low <= value <= high:
        raise InputError(f"{what} must be from {low} to {high}, not {quoted(int(value))}")
    return int(value)


def _weights(plan: LayerPlan, W: Any, V: Any) -> Iterator[tuple[int, np.ndarray]]:
    """Check the weights of a layer; give its number and each matrix as it goes into frames."""
    layer = plan.layer
    yield layer.index, _checked("weights", layer, W, layer.columns, layer.wb)
    if plan.trained:
        yield layer.index, _checked("classifier's weights", layer, V, layer.classes, TRAINED_BITS)
    elif V is not None:
        raise InputError(f"layer {layer.index} trains no classifier, and has no V; leave it out")


def _checked(what: str, layer: LayerSpec, matrix: Any, columns: int, bits: int) -> np.ndarray:
    """Check a matrix of a layer, and give it as it goes into frames."""
    array, shape = np.asarray(matrix), (layer.neurons, columns)
    if array.dtype.kind not in "iu" or array.shape != shape:
        raise InputError(
            f"the {what} of layer {layer.index} must be integers of shape {shape}, not "
            f"{array.dtype} {array.shape}"
        )
    low, high = -(1 << bits - 1), (1 << bits - 1) - 1
    if array.min() < low or array.max() > high:
        raise InputError(
            f"the {what} of layer {layer.index} must be from {low} to {high}, not "
            f"{array.min()} to {array.max()}"
        )
    return array.astype(_WEIGHT)


@contextmanager
def _line_errors():
    """Turn what the operating system says of a broken line into a `LinkError`."""
    try:
        yield
    except OSError as error:
        raise LinkError(f"the line is cut: {error}") from error
