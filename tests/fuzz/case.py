# SPDX-License-Identifier: BSD-2-Clause
"""A network, what surrounds it and what it is asked to do, as a file; and how it is carried out."""

import json
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from golden import spec
from golden.events import COUNTS
from golden.layer_spec import TRAINED_BITS
from golden.model import IntegerNetwork
from golden.training import weights_of
from golden.weights import Weights
from hw.network_plan import NetworkPlan
from hw.ports import Command
from sim.check import Pair
from sim.rtl import SAMPLES, Rtl
from sim.stalled_layer import STREAMS, StalledLayer

__all__ = ["LOADS", "SAMPLE_KINDS", "Case", "Material", "Run", "play", "read"]

#: Shares of the inputs that are not 0, by the kind of a sample. All samples are random but
#: "favourite", which is the same one throughout with the same label.
SAMPLE_KINDS = {
    "empty": 0.0,
    "rare": 0.001,
    "sparse": 0.1,
    "half": 0.5,
    "full": 1.0,
    "favourite": 0.5,
}
#: What a LOAD brings: any weights; such as leave half of the groups without an active neuron; the
#: lowest and the highest; those with which the favourite sample has no errors, if there are any.
LOADS = ("any", "dead", "limits", "settled")
#: Steps after which the favourite sample is given up.
SETTLING = 300


@dataclass(frozen=True)
class Run:
    """Packets one after the other, at the learning rates and by the rules of an epoch.

    A packet is "read", "load KIND", "train KIND" or "infer KIND": see `LOADS`, `SAMPLE_KINDS`.
    """

    epoch: int
    packets: tuple[str, ...]


@dataclass(frozen=True)
class Case:
    """What is tried.

    Parameters
    ----------
    network
        The description, as the table of a TOML file.
    seed
        Of samples, weights and stalls.
    stalls
        The rate of the stallers in each of `STREAMS`: see `sim.staller.Staller`.
    sparse
        Whether samples come as lists.
    runs
        What is done.
    """

    network: Mapping[str, Any]
    seed: int = 0
    stalls: Mapping[str, int] = field(default_factory=lambda: dict.fromkeys(STREAMS, 0))
    sparse: bool = False
    runs: tuple[Run, ...] = ()

    @property
    def spec(self) -> spec.NetworkSpec:
        """The description; raises an `InputError` if there can be no such network."""
        described = spec.parse(dict(self.network), "case.toml")
        NetworkPlan(described)
        return described

    def text(self) -> str:
        """Write it as TOML."""
        layers = self.network["layer"]
        top = {key: value for key, value in self.network.items() if key != "layer"}
        lines = [f"seed = {self.seed}", f"sparse = {json.dumps(self.sparse)}"]
        lines += ["\n[stalls]", *_lines(self.stalls)]
        for run in self.runs:
            lines += ["\n[[run]]", *_lines({"epoch": run.epoch})]
            lines += ["packets = [", *(f'    "{packet}",' for packet in run.packets), "]"]
        lines += ["\n[network]", *_lines(top)]
        for layer in layers:
            lines += ["\n[[network.layer]]", *_lines(layer)]
        return "\n".join([*lines, ""])


def _lines(table: Mapping[str, Any]) -> Iterator[str]:
    for key, value in table.items():
        yield f"{key} = {json.dumps(value)}"


def read(path: Path) -> Case:
    """Read what `Case.text` has written."""
    table = tomllib.loads(path.read_text(encoding="utf-8"))
    runs = tuple(Run(run["epoch"], tuple(run["packets"])) for run in table["run"])
    return Case(table["network"], table["seed"], table["stalls"], table["sparse"], runs)


class Material:
    """Samples and weights of a case."""

    def __init__(self, case: Case):
        self.case = case
        self.spec = case.spec

    def sample(self, kind: str, *place: int) -> tuple[np.ndarray, int]:
        """Make a sample (M,) and its label."""
        random = np.random.default_rng([self.case.seed, *(() if kind == "favourite" else place)])
        share, inputs = SAMPLE_KINDS[kind], self.spec.inputs
        x = random.integers(1, 256, inputs) * (random.random(inputs) < share)
        return x.astype(np.uint8), int(random.integers(0, self.spec.classes))

    def load(self, kind: str, *place: int) -> Weights:
        """Make weights."""
        if kind == "settled":
            return self._settled
        random = np.random.default_rng([self.case.seed, *place])

        def matrix(bits: int, *shape: int) -> np.ndarray:
            limit = 1 << bits - 1
            values = random.integers(-limit, limit, shape)
            return np.where(values < 0, -limit, limit - 1) if kind == "limits" else values

        W, V = [], []
        for layer in self.spec.layers:
            weights = matrix(layer.wb, layer.neurons, layer.columns)
            if kind == "dead":
                group = np.arange(layer.neurons) // layer.lanes
                asleep = random.random(group[-1] + 1) < 0.5
                weights[asleep[group]] = -1 << layer.wb - 1
            W.append(weights)
            trained = layer.rule == "tlc"
            V.append(matrix(TRAINED_BITS, layer.neurons, layer.classes) if trained else None)
        return Weights(W=tuple(W), V=tuple(V))

    @cached_property
    def _settled(self) -> Weights:
        # All layers at once, for one that waits for its turn would never settle.
        golden = IntegerNetwork(replace(self.spec, schedule="all"))
        x, label = self.sample("favourite")
        for _ in range(SETTLING):
            if not any(step.e.any() for step in golden.train(x[None], [label])):
                break
        return weights_of(golden)


def play(case: Case, folder: Path) -> dict[str, int]:
    """Carry a case out in hardware and in the golden model, compare every bit, and count events.

    Raises
    ------
    MismatchError, SimulationError
        If anything is wrong.
    """
    material = Material(case)
    layer = partial(StalledLayer, rates=case.stalls, seed=case.seed, sparse=case.sparse)
    with Rtl(material.spec, folder=folder, quick=True, layer=layer) as rtl:
        pair = Pair(rtl, IntegerNetwork(material.spec))
        pair.weights()
        for number, run in enumerate(case.runs):
            for _ in pair.run(**_packets(material, number, run)):
                pass
            pair.weights()
    counted = {name: sum(layer[name] for layer in pair.counts) for name in COUNTS}
    return {"values": pair.compared, "samples": pair.trained + pair.inferred, **counted}


def _packets(material: Material, number: int, run: Run) -> dict[str, Any]:
    """Make the arguments of `Pair.run`."""
    commands, labels, loads = [], [], []
    x = np.zeros((len(run.packets), material.spec.inputs), np.uint8)
    for k, packet in enumerate(run.packets):
        name, *kind = packet.split()
        commands.append(Command[name.upper()])
        labels.append(0)
        if commands[-1] in SAMPLES:
            x[k], labels[-1] = material.sample(*kind, number, k)
        elif kind:
            loads.append(material.load(*kind, number, k))
    return {
        "commands": commands,
        "labels": np.array(labels),
        "x": x,
        "epoch": run.epoch,
        "loads": loads,
    }
