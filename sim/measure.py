# SPDX-License-Identifier: BSD-2-Clause
"""Figures: how fast the simulation runs, and what the hardware spends its clocks on."""

import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import torch

from golden.data import Data
from golden.model import IntegerNetwork
from golden.order import pieces
from golden.spec import NetworkSpec
from golden.training import weights_of
from hw.network import Network
from hw.ports import COUNTERS, Command, Rule

from . import verilator
from .check import Pair
from .harness import Harness
from .rtl import Rtl, Samples, packet_words

__all__ = ["Speed", "Use", "speed", "uses"]

#: How often each figure is taken.
ROUNDS = 3
BARE = files("sim") / "bare.cpp"


@dataclass(frozen=True)
class Speed:
    """Clocks per second of the same training.

    Parameters
    ----------
    bare
        In a bare C++ loop that looks at nothing.
    recorded
        Under cocotb, every record taken out and decoded.
    checked
        The same, beside the golden model: what `make sim` does.
    """

    bare: float
    recorded: float
    checked: float


def speed(spec: NetworkSpec, x: np.ndarray, labels: np.ndarray) -> Speed:
    """Measure how fast a network is simulated while it trains on samples (n, M).

    All three ways take turns, so that a busy machine slows them all; the medians count.
    """
    torch.set_num_threads(1)
    bare = _bare_program(spec)
    rates = []
    with tempfile.TemporaryDirectory() as folder, Rtl(spec, folder=Path(folder)) as rtl:
        pair = Pair(rtl, IntegerNetwork(spec))
        pair.weights()
        words = Path(folder) / "words"
        packet_words(spec, [Command.TRAIN] * len(x), labels, x).tofile(words)
        for _ in range(ROUNDS):
            checked = _rate(rtl, pair.train(x, labels, epoch=0))
            # The golden model has not seen these; the weights go back to where it stands.
            recorded = _rate(rtl, rtl.train(x, labels))
            rtl.load(weights_of(pair.golden))
            rates.append((_bare_rate(bare, words), recorded, checked))
    return Speed(*np.median(rates, axis=0).tolist())


def _rate(rtl: Rtl, work: Iterable[Any]) -> float:
    """Measure clocks per second while `work` is consumed."""
    clocks, begin = rtl.clocks, time.perf_counter()
    for _ in work:
        pass
    return (rtl.clocks - clocks) / (time.perf_counter() - begin)


def _bare_program(spec: NetworkSpec) -> Path:
    network = Network(spec=spec)
    harness = Harness(network, network.plans, clock=False)
    registers = " ".join(
        f"top.lr{layer.index} = {layer.lr}; top.rule{layer.index} = {Rule.named(layer.rule).value};"
        for layer in spec.layers
    )
    header = (
        "#pragma once\n"
        f"constexpr size_t WORD_BYTES = {packet_words(spec, [], [], 0).shape[1]};\n"
        f"static void set_registers(Vtop& top) {{ {registers} }}\n"
    )
    return verilator.build_bare(harness, main=BARE.read_text("utf-8"), header=header)


def _bare_rate(program: Path, words: Path) -> float:
    done = subprocess.run([program, words], capture_output=True, text=True, check=True)
    clocks, seconds = map(float, done.stdout.split())
    return clocks / seconds


@dataclass(frozen=True)
class Use:
    """What a network spent its clocks on while it trained.

    Parameters
    ----------
    seen
        Which samples of the training these are, from 0.
    layers
        For each layer its counters, per step of one sample.
    """

    seen: range
    layers: tuple[dict[str, float], ...]

    @property
    def clocks(self) -> float:
        """Clocks of a step: all layers work at the same time, so those of the slowest."""
        return max(layer["cycles"] for layer in self.layers)


def uses(
    spec: NetworkSpec,
    data: Data,
    wanted: Iterable[range],
    *,
    skip: int,
    progress: Callable[[int], Any] = int,
    quick: bool = False,
) -> Iterator[Use]:
    """Read from the counters of each layer what it does while the network trains on its data.

    The golden model trains up to where a measurement begins, and the hardware goes on with its
    weights. What it learns is compared with what the golden model learns of the same samples.

    Parameters
    ----------
    spec, data
        The description and its samples, in the contract's order.
    wanted
        Which samples of the training are measured, those that begin earlier first.
    skip
        Steps at the start of a measurement, and of an epoch, that do not count: the chain fills.
    progress
        Is told how many more samples have been trained on.
    quick
        See `Rtl`.

    Raises
    ------
    MismatchError
        If the hardware has learned anything else.
    """
    torch.set_num_threads(1)
    golden, done = IntegerNetwork(spec), 0
    with (
        tempfile.TemporaryDirectory() as folder,
        Rtl(spec, folder=Path(folder), quick=quick) as rtl,
    ):
        for seen in wanted:
            for _ in _learn(golden, data, range(done, seen.start)):
                progress(1)
            done = seen.start
            rtl.load(weights_of(golden))
            records = []
            for epoch, chosen in pieces(spec.seed, len(data.train_x), seen.start, seen.stop):
                rtl.begin(epoch)
                records.append([])
                for got in rtl.train(data.train_x[chosen], data.train_y[chosen]):
                    records[-1].append(got)
                    progress(len(got[0]["y"]))
            yield Use(seen, tuple(_steps(records, layer.index, skip) for layer in spec.layers))
            before = deepcopy(golden.state())
            for _ in _learn(golden, data, seen):
                pass
            Pair(rtl, golden).weights()
            golden.restore(before)


def _learn(golden: IntegerNetwork, data: Data, seen: range) -> Iterator[Any]:
    """Train the golden model on some samples of the training, one a step."""
    for epoch, chosen in pieces(golden.spec.seed, len(data.train_x), seen.start, seen.stop):
        for k in chosen:
            yield golden.train(data.train_x[k : k + 1], data.train_y[k : k + 1], epoch)


def _steps(records: Iterable[Sequence[Samples]], layer: int, skip: int) -> dict[str, float]:
    """Compute what each counter of a layer grew by in a step, in the mean.

    The counters are compared at the records of two samples, in each piece of the training.
    """
    grown, steps = dict.fromkeys(COUNTERS, 0), 0
    for parts in records:
        steps += max(sum(len(part[layer]["y"]) for part in parts) - skip - 1, 0)
        for name in COUNTERS:
            values = np.concatenate([part[layer][f"counters.{name}"] for part in parts])[skip:]
            grown[name] += int(values[-1] - values[0]) if len(values) else 0
    return {name: count / max(steps, 1) for name, count in grown.items()}
