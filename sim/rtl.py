# SPDX-License-Identifier: BSD-2-Clause
"""The compiled network as a Python object: samples and weights in, everything it makes out."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import ceil
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from amaranth.hdl import Shape
from amaranth.lib import data

from golden.spec import NetworkSpec
from golden.weights import Weights
from hw.layer import Layer
from hw.network import Network
from hw.network_plan import NetworkPlan
from hw.plan import LayerPlan
from hw.ports import Command, Rule, counter_names

from . import verilator
from .bench import Reply, Request
from .harness import CLOCK_VERILOG, FAST_CLOCK_VERILOG, Harness, burst

__all__ = ["Rtl", "Samples", "decode", "packet_words"]

#: What the network makes of some samples: for each layer and quantity an array (samples, ...).
Samples = list[dict[str, np.ndarray]]

#: Commands that come with inputs.
SAMPLES = (Command.TRAIN, Command.INFER)
#: The longest that a layer may be silent, in passes over its weights.
TIMEOUT = 20


def decode(layout: Any, words: Sequence[str]) -> dict[str, np.ndarray]:
    """Take words apart.

    Parameters
    ----------
    layout
        Layout of the word: scalars, arrays of scalars, structures.
    words
        The words in binary, most significant bit first.

    Returns
    -------
    dict
        For each scalar an array (words,), for each array of scalars one (words, length), int64;
        those of inner structures have names such as `counters.busy`.
    """
    width = Shape.cast(layout).width
    text = np.frombuffer("".join(words).encode(), np.uint8)
    bits = (text.reshape(len(words), width) & 1)[:, ::-1]
    return dict(_decode(layout, bits, ""))


def _decode(layout: Any, bits: np.ndarray, name: str) -> Iterator[tuple[str, np.ndarray]]:
    if isinstance(layout, data.ArrayLayout):
        shape = Shape.cast(layout.elem_shape)
        values = bits.reshape(len(bits), layout.length, shape.width)
        yield name, _integers(values, shape.signed)
    elif isinstance(layout, data.Layout):
        prefix = f"{name}." if name else ""
        for key, item in layout:
            part = bits[:, item.offset : item.offset + item.width]
            yield from _decode(item.shape, part, f"{prefix}{key}")
    else:
        yield name, _integers(bits, Shape.cast(layout).signed)


def _integers(bits: np.ndarray, signed: bool) -> np.ndarray:
    """Turn the last axis, bits with the lowest first, into one integer."""
    width = bits.shape[-1]
    octets = np.packbits(bits, axis=-1, bitorder="little")
    values = octets @ (1 << 8 * np.arange(octets.shape[-1], dtype=np.int64))
    return values - ((values >> width - 1) << width) if signed and width else values


def packet_words(spec: NetworkSpec, commands: Sequence[Command], labels: Any, x: Any) -> np.ndarray:
    """Write packets as words of `sample`: uint8 (packets, bytes), without the toggle."""
    width = NetworkPlan(spec).widths[0]
    words = np.zeros((len(commands), ceil(spec.inputs / width) * width + 3), np.uint8)
    words[:, : spec.inputs] = x
    words[:, -3] = [command.value for command in commands]
    words[:, -2:] = np.full(len(words), labels, "<u2").reshape(-1, 1).view(np.uint8)
    return words


class Rtl:
    """The network of a description, compiled, running in a process of its own.

    A context manager. Nothing is pipelined across calls: each ends when all that it sent has come
    out of every layer, so that registers may change in between. A call that is abandoned half way
    is run to its end before the next.

    Parameters
    ----------
    spec
        The description; batch 1.
    folder
        Receives the log, and `waves.vcd` if `waves`.
    waves
        Whether to write waveforms of everything; slow.
    quick
        Whether to compile in half the time what then runs half as fast.
    layer
        What makes a layer: see `hw.network.Network`.

    Raises
    ------
    SimulationError
        From the constructor if the network does not compile; from any method if the simulation
        ends early, or falls silent.
    """

    def __init__(
        self,
        spec: NetworkSpec,
        *,
        folder: Path,
        waves: bool = False,
        quick: bool = False,
        layer: Callable[..., Any] = Layer,
    ):
        self.spec = spec
        self.folder = folder
        network = Network(spec=spec, layer=layer)
        self.plans = network.plans
        #: The run-time registers of each layer, as the next call sets them.
        self.lr: list[int] = []
        self.rule: list[Rule] = []
        self.begin(0)
        #: From which margin on samples that are inferred leave each layer; None: never.
        self.margins: list[float | None] = [layer.margin for layer in spec.layers]
        #: The counters of each layer as the last packet left it.
        self.counters: list[dict[str, int]] = [{} for _ in spec.layers]
        #: What each READ among the packets of `run` gave.
        self.reads: list[Weights] = []
        #: Clocks since the simulation began.
        self.clocks = 0
        self._harness = Harness(network, self.plans)
        clock = CLOCK_VERILOG if waves else FAST_CLOCK_VERILOG
        self._model = verilator.build(
            self._harness, name="lel", verilog_sources=clock, waves=waves, quick=quick
        )
        self._timeout = TIMEOUT * sum(
            plan.groups * (plan.layer.columns + plan.drain_span) + plan.weights
            for plan in self.plans
        )
        self._pending: Iterator[Reply] = iter(())
        self._failure: Exception | None = None

    def begin(self, epoch: int):
        """Let each layer learn as in an epoch of the description."""
        self.lr = [self.spec.lr_shift(layer, epoch) for layer in self.spec.layers]
        self.rule = [Rule.named(self.spec.rule_in(layer, epoch)) for layer in self.spec.layers]

    def __enter__(self) -> "Rtl":
        self._connection, theirs = Pipe()
        self._thread = threading.Thread(target=self._simulate, args=(theirs,))
        self._thread.start()
        return self

    def __exit__(self, kind, *_):
        if kind is None:
            for _reply in self._pending:
                pass
            with self._alive():
                self._connection.send(None)
        self._connection.close()
        self._thread.join()
        if kind is None and self._failure:
            raise self._failure

    def _simulate(self, channel: Connection):
        try:
            self._model.run("sim.bench", folder=self.folder, channel=channel)
        except Exception as error:
            self._failure = error

    @contextmanager
    def _alive(self):
        """Turn a broken connection into what broke the simulation."""
        try:
            yield
        except (EOFError, OSError) as error:
            self._thread.join()
            raise self._failure or verilator.SimulationError("it has ended early") from error

    def _request(
        self, *, inputs: Mapping[str, np.ndarray], outputs: Mapping[str, int]
    ) -> Iterator[Reply]:
        for _reply in self._pending:
            pass
        # A port that nobody has put holds anything, which may look like a word.
        registers = {} if self.clocks else dict.fromkeys(self._harness.inputs, 0)
        registers |= {f"lr{i}": lr for i, lr in enumerate(self.lr)}
        registers |= {f"rule{i}": rule.value for i, rule in enumerate(self.rule)}
        registers |= {
            f"threshold{i}": plan.threshold(margin)
            for i, (plan, margin) in enumerate(zip(self.plans, self.margins, strict=True))
            if plan.layer.margin is not None
        }
        request = Request(self._harness.channels, registers, inputs, outputs, self._timeout)
        with self._alive():
            self._connection.send(request)
        self._pending = self._replies()
        return self._pending

    def _replies(self) -> Iterator[Reply]:
        done = False
        while not done:
            with self._alive():
                reply: Reply = self._connection.recv()
            if reply.error:
                raise verilator.SimulationError(reply.error)
            self.clocks = reply.clocks
            done = reply.done
            yield reply

    def _packets(
        self,
        commands: Sequence[Command],
        labels: Any = 0,
        x: Any = 0,
        *,
        inputs: Mapping[str, np.ndarray] | None = None,
        outputs: Mapping[str, int] | None = None,
    ) -> Iterator[Reply]:
        """Send packets, and what else goes in and out with them."""
        words = packet_words(self.spec, commands, labels, x)
        records = {f"record{i}": len(words) for i in range(len(self.plans))}
        return self._request(
            inputs={"sample": words, **(inputs or {})}, outputs={**records, **(outputs or {})}
        )

    def _records(self, reply: Reply) -> Samples:
        """Decode the records of a reply."""
        records = []
        for i, plan in enumerate(self.plans):
            layout = self._harness.signature.members[f"record{i}"].shape
            record = {
                name.removeprefix("result.").removeprefix("header."): values
                for name, values in decode(layout, reply.words[f"record{i}"]).items()
            }
            # Neurons that only fill up the last group are no part of the network.
            for name in ("y", "g"):
                record[name] = record[name][:, : plan.layer.neurons]
            records.append(record)
            if len(record["y"]):
                self.counters[i] = {
                    name: int(record[f"counters.{name}"][-1]) for name in counter_names(plan)
                }
        return records

    def run(
        self,
        commands: Sequence[Command],
        labels: Any,
        x: Any,
        *,
        loads: Sequence[Weights] = (),
    ) -> Iterator[Samples]:
        """Send packets and yield what the layers make of the samples among them, as it comes.

        Parameters
        ----------
        commands
            In any order.
        labels, x
            Labels (packets,) and inputs (packets, M), 0 to 255, of each packet; those of a READ or
            LOAD are of no matter.
        loads
            What each LOAD brings.

        Yields
        ------
        Samples
            All quantities of `sim.harness.Recorder` of the next samples. Every layer yields the
            same samples. What each READ gave is appended to `reads` at the end.
        """
        reads = sum(command is Command.READ for command in commands)
        outputs = {
            f"weights_out{i}": reads * plan.weights // burst(plan)
            for i, plan in enumerate(self.plans)
        }
        words: dict[str, list[str]] = {name: [] for name in outputs}
        kept = np.array([command in SAMPLES for command in commands])
        waiting: Samples = []
        sent = {
            "inputs": self._load_words(loads) if loads else {},
            "outputs": outputs if reads else {},
        }
        for reply in self._packets(commands, labels, x, **sent):
            for name in words:
                words[name] += reply.words.get(name, [])
            records = self._records(reply)
            if waiting:
                records = [
                    {name: np.concatenate([old[name], new[name]]) for name in new}
                    for old, new in zip(waiting, records, strict=True)
                ]
            ready = min(len(record["y"]) for record in records)
            waiting = [{name: v[ready:] for name, v in r.items()} for r in records]
            mask, kept = kept[:ready], kept[ready:]
            if mask.any():
                yield [{name: v[:ready][mask] for name, v in r.items()} for r in records]
        self.reads += self._read_words(words, reads)

    def train(self, x: Any, labels: Any) -> Iterator[Samples]:
        """Train on samples (n, M) with labels (n,); yield as `run`."""
        return self.run([Command.TRAIN] * len(x), labels, x)

    def infer(self, x: Any, labels: Any) -> Iterator[Samples]:
        """Infer samples (n, M); `correct` compares with labels (n,); yield as `run`."""
        return self.run([Command.INFER] * len(x), labels, x)

    def read(self) -> Weights:
        """Read all weights, int64."""
        for _ in self.run([Command.READ], 0, 0):
            pass
        return self.reads.pop()

    def load(self, weights: Weights):
        """Replace all weights."""
        for _ in self.run([Command.LOAD], 0, 0, loads=[weights]):
            pass

    def _load_words(self, loads: Sequence[Weights]) -> dict[str, np.ndarray]:
        """Write the weights of LOADs as words of `weights_in`."""
        return {
            f"weights_in{i}": np.concatenate(
                [_sent(weights.W[i], weights.V[i]).reshape(-1, burst(plan)) for weights in loads]
            ).view(np.uint8)
            for i, plan in enumerate(self.plans)
        }

    def _read_words(self, words: Mapping[str, list[str]], reads: int) -> list[Weights]:
        """Take words of `weights_out` apart, those of each READ."""
        layers = [
            decode(self._harness.signature.members[name].shape, words[name])["weights"].reshape(
                reads, plan.weights
            )
            for name, plan in zip(words, self.plans, strict=True)
        ]
        return [
            _received([(plan, rows[k]) for plan, rows in zip(self.plans, layers, strict=True)])
            for k in range(reads)
        ]


def _sent(W: np.ndarray, V: np.ndarray | None) -> np.ndarray:
    """Write the weights of a layer in the order in which they are loaded."""
    parts = [W] if V is None else [W, V]
    return np.concatenate([np.asarray(part, "<i4").ravel() for part in parts])


def _received(layers: Sequence[tuple[LayerPlan, np.ndarray]]) -> Weights:
    """Take the weights of all layers apart, each as they were read."""
    parts = [
        (numbers[: plan.layer.weights], numbers[plan.layer.weights :]) for plan, numbers in layers
    ]
    shapes = [(plan.layer.neurons, -1) for plan, _ in layers]
    return Weights(
        W=tuple(W.reshape(shape) for (W, _), shape in zip(parts, shapes, strict=True)),
        V=tuple(
            V.reshape(shape) if len(V) else None
            for (_, V), shape in zip(parts, shapes, strict=True)
        ),
    )
