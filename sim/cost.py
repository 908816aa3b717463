# SPDX-License-Identifier: BSD-2-Clause
"""What each choice of a description costs, and what it earns.

One layer is synthesised and simulated with each choice; the whole network is trained with it in the
golden model.
"""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from boards.synthesis import synthesise
from golden import runs, spec
from golden.cli import UsageError, data_of
from golden.exhibit import table
from golden.tables import read
from hw.layer import Layer
from hw.network_plan import NetworkPlan
from hw.primitives import ECP5

from . import measure

__all__ = ["CHOICES", "Choice", "Cost", "costs", "described", "report", "with_others"]


@dataclass(frozen=True)
class Choice:
    """One choice.

    Parameters
    ----------
    name
        In the table.
    keys
        Of a layer, which replace those of the description in all layers.
    beside
        Name of the choice that it is compared with.
    below
        It is for layers with another one above them.
    """

    name: str
    keys: Mapping[str, Any] = field(default_factory=dict, hash=False)
    beside: str = "sym"
    below: bool = False


#: A line for each row, after the one that it is compared with.
CHOICES = (
    Choice("sym"),
    Choice("scfb", {"rule": "scfb"}),
    Choice("random", {"rule": "random"}),
    Choice("tlc", {"rule": "tlc"}),
    Choice("tlc, v_lanes 10", {"rule": "tlc", "v_lanes": 10}, "tlc"),
    Choice("tlc, v_lanes 1", {"rule": "tlc", "v_lanes": 1}, "tlc"),
    Choice("loss ce", {"loss": "ce"}),
    Choice("dropout 1", {"dropout": 1}),
    Choice("init gauss", {"init": "gauss"}),
    Choice("source array", {"source": "array"}),
    Choice("yb 6", {"yb": 6, "fy": 2}),
    Choice("mb 1", {"mb": 1}),
    Choice("mb 8", {"mb": 8}),
    Choice("wb 18", {"wb": 18}),
    Choice("wb 10", {"wb": 10}),
    Choice("wb 10, sr", {"wb": 10, "sr": True}, "wb 10"),
    Choice("health", {"health": True}),
    Choice("margin 2", {"margin": 2.0}, below=True),
)


@dataclass(frozen=True)
class Cost:
    """What a layer takes, and what a network of such layers comes to.

    Parameters
    ----------
    lut, ff, dsp, ebr
        Cells of the layer, as synthesised.
    clocks
        Of a training step of it, in the mean.
    accuracy
        Of the last layer of the network on the test set, a share for each seed.
    """

    lut: int
    ff: int
    dsp: int
    ebr: int
    clocks: float
    accuracy: tuple[float, ...]


def described(
    config: str, choice: Choice, *, lanes: int | None = None, seed: int | None = None
) -> spec.NetworkSpec:
    """Describe a network with a choice; if `lanes` are given, its first layer alone, with those.

    Where the choice is for layers below another, the last one is without it, and above the first
    layer alone comes a frozen neuron, which never keeps it waiting.

    Raises
    ------
    SpecError
        If the description is not valid, or not with the choice.
    """
    path = spec.find(config)
    base = spec.load(path)
    table = read(path)
    layers = [{**layer, **choice.keys} for layer in table["layer"]]
    if choice.below:
        layers[-1] = table["layer"][-1]
    if lanes is not None:
        above = [{"neurons": 1, "lanes": 1, "rule": "frozen"}] if choice.below else []
        layers = [{**table["layer"][0], **choice.keys, "lanes": lanes}, *above]
    changes = {"layer": layers, "seed": base.seed if seed is None else seed}
    return spec.parse({**table, **changes}, f"{path}, {choice.name}", path.parent)


def costs(
    config: str,
    choices: Sequence[Choice],
    *,
    lanes: int,
    samples: int,
    seeds: int,
    jobs: int = 1,
    progress: Callable[[str], Any] = str,
) -> dict[Choice, Cost]:
    """Measure what choices cost.

    Parameters
    ----------
    config
        The description that they are made in: its name, or its path.
    choices
        Of them.
    lanes
        Of the layer that is made.
    samples
        The clocks are those of the first so many in the training.
    seeds, jobs
        Trainings with each choice, and how many of them at once.
    progress
        Is told the name of each choice as its layer is begun.

    Raises
    ------
    InputError
        If one of them cannot be made, before any is.
    BuildError
        If Yosys fails or is missing.
    MismatchError
        If the hardware has learned anything else than the golden model.
    """
    alone = {choice: described(config, choice, lanes=lanes) for choice in choices}
    networks = {choice: NetworkPlan(network) for choice, network in alone.items()}
    data = data_of(alone[choices[0]])
    passes = alone[choices[0]].passes
    limit = passes * len(data.train_x)
    if samples > limit:
        raise UsageError(
            f"--samples: {passes} epochs have {limit} samples, not {samples}; lower it"
        )
    trainings = [
        runs.Integer.of(described(config, choice, seed=first.seed + k), name=choice.name)
        for choice, first in alone.items()
        for k in range(seeds)
    ]
    made = {}
    for choice, network in networks.items():
        progress(choice.name)
        layer = Layer(plan=network.layers[0], width=network.widths[0], primitives=ECP5)
        lut, ff, dsp, ebr = synthesise(layer).resources
        (use,) = measure.uses(alone[choice], data, [range(samples)], skip=2, quick=True)
        made[choice] = partial(Cost, lut, ff, dsp, ebr, use.layers[0]["cycles"])
    with tempfile.TemporaryDirectory() as folder:
        outcomes = iter(runs.perform(trainings, Path(folder), jobs=jobs))
        shares = {
            choice: tuple(next(outcomes).test[-1] for _ in range(seeds)) for choice in choices
        }
    return {choice: made[choice](shares[choice]) for choice in choices}


def report(made: Mapping[Choice, Cost]) -> str:
    """Set the costs of choices out as a table, beside those that they are compared with."""
    named = {choice.name: cost for choice, cost in made.items()}
    head = ["choice", "LUT", "FF", "DSP", "EBR", "clocks", "accuracy, %", "from", "to"]
    rows = []
    for choice, cost in made.items():
        # Itself, where that was not asked for.
        other = named.get(choice.beside, cost)
        cells = [
            _beside(getattr(cost, key), getattr(other, key))
            for key in ("lut", "ff", "dsp", "ebr", "clocks")
        ]
        shares = sum(cost.accuracy) / len(cost.accuracy), min(cost.accuracy), max(cost.accuracy)
        rows.append([choice.name, *cells, *(f"{100 * share:.2f}" for share in shares)])
    return table(head, rows)


def _beside(number: float, other: float) -> str:
    """Write a number, and how much more it is than another.

    >>> _beside(1200, 1000), _beside(6.6, 7.4), _beside(5, 5)
    ('1,200 (+200)', '7', '5')
    """
    more = round(number) - round(other)
    return f"{number:,.0f}" + (f" ({more:+,})" if more else "")


def with_others(names: Sequence[str]) -> tuple[Choice, ...]:
    """Give the choices of these names, and those that they are compared with; all for no names."""
    asked = [choice for choice in CHOICES if choice.name in names or not names]
    named = {choice.name for choice in asked} | {choice.beside for choice in asked}
    return tuple(choice for choice in CHOICES if choice.name in named)
