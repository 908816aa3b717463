# SPDX-License-Identifier: BSD-2-Clause
"""Figures: how fast the simulation runs, and how well the hardware uses its clocks."""

import subprocess
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import torch

from golden.model import IntegerNetwork
from golden.spec import LayerSpec, NetworkSpec
from hw.network import Network
from hw.ports import CLOCK_COUNTERS, Command, Rule

from . import verilator
from .check import Pair
from .harness import Harness
from .rtl import Rtl, packet_words

__all__ = ["Speed", "Use", "speed", "use"]

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
        packet_words(spec.inputs, [Command.TRAIN] * len(x), labels, x).tofile(words)
        for _ in range(ROUNDS):
            checked = _rate(rtl, pair.train(x, labels, epoch=0))
            # The golden model has not seen these; the weights go back to where it stands.
            recorded = _rate(rtl, rtl.train(x, labels))
            rtl.load([layer.W.numpy() for layer in pair.golden.layers])
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
        f"constexpr size_t WORD_BYTES = {packet_words(spec.inputs, [], [], 0).shape[1]};\n"
        f"static void set_registers(Vtop& top) {{ {registers} }}\n"
    )
    return verilator.build_bare(harness, main=BARE.read_text("utf-8"), header=header)


def _bare_rate(program: Path, words: Path) -> float:
    done = subprocess.run([program, words], capture_output=True, text=True, check=True)
    clocks, seconds = map(float, done.stdout.split())
    return clocks / seconds


@dataclass(frozen=True)
class Use:
    """How a layer used its clocks, per training step, in the steady state.

    Parameters
    ----------
    clocks
        Clocks of a step.
    utilisation
        Products of weights that exist over multipliers times clocks.
    reads, writes
        Reads and writes of the weight memory, per weight and step.
    shares
        Counter of clocks, such as `busy`, and its share of the clocks.
    """

    clocks: float
    utilisation: float
    reads: float
    writes: float
    shares: dict[str, float]


def use(spec: NetworkSpec, x: np.ndarray, labels: np.ndarray, *, skip: int) -> list[Use]:
    """Read from the counters of each layer how it trains on samples (n, M).

    The first `skip` samples, in which the chain fills, do not count; nor does the end of the last.
    """
    with tempfile.TemporaryDirectory() as folder, Rtl(spec, folder=Path(folder)) as rtl:
        parts = list(rtl.train(x, labels))
    return [_use(layer, [part[layer.index] for part in parts], skip) for layer in spec.layers]


def _use(layer: LayerSpec, parts: list[dict[str, np.ndarray]], skip: int) -> Use:
    """Compare the counters at the results of two samples, whole steps apart.

    When the result of the last sample comes, a FLUSH may have begun, which is no step: it does not
    count.
    """

    def spent(name: str) -> float:
        values = np.concatenate([part[f"counters.{name}"] for part in parts])[skip:-1]
        return float(values[-1] - values[0]) / (len(values) - 1)

    clocks = spent("cycles")
    return Use(
        clocks=clocks,
        utilisation=spent("macs") / (2 * layer.lanes * clocks),
        reads=spent("weight_reads") / layer.weights,
        writes=spent("weight_writes") / layer.weights,
        shares={name: spent(name) / clocks for name in CLOCK_COUNTERS},
    )
