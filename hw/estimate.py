# SPDX-License-Identifier: BSD-2-Clause
"""What a network will take of a device and of time, before any synthesis."""

from collections.abc import Sequence
from dataclasses import dataclass

from golden.spec import NetworkSpec

from .cells import classifier_cells, layer_cells, link_cells, list_cells
from .clocks import DENSE, Density, step_clocks, typical, wait_clocks
from .devices import BOARDS, Resources
from .link_limits import exceeded
from .network_plan import NetworkPlan
from .plan import LayerPlan

__all__ = ["BOARDS", "ClassifierEstimate", "Estimate", "LayerEstimate", "Resources", "estimate"]


@dataclass(frozen=True)
class LayerEstimate:
    """What a layer takes.

    Parameters
    ----------
    clocks
        Of a training step in which nothing is 0, from one sample to the next.
    typical
        Of one at the estimate's density, on the average.
    utilisation
        Products of weights that exist, zeros included, over multipliers times `typical` clocks.
        It exceeds 1 where more zeros are left out than clocks are lost.
    resources
        Cells.
    classifier
        What of them is for a classifier that is trained; None if the layer has none.
    """

    clocks: int
    typical: int
    utilisation: float
    resources: Resources
    classifier: "ClassifierEstimate | None"


@dataclass(frozen=True)
class ClassifierEstimate:
    """What a classifier that is trained takes.

    Parameters
    ----------
    multipliers, blocks
        Of them, and of memory.
    clocks, typical
        From the last input of a step to its first update, if nothing is 0 and at the estimate's
        density; they are part of the layer's.
    """

    multipliers: int
    blocks: int
    clocks: int
    typical: int


@dataclass(frozen=True)
class Estimate:
    """What a network takes, on a board.

    Parameters
    ----------
    density
        What `typical` clocks are for.
    layers
        Each layer on its own.
    clocks, typical
        Of a training step: those of the slowest layer, since all work at the same time.
    utilisation
        Of all multipliers.
    board
        What surrounds the network.
    unlinked
        What of the network the serial link of a board cannot carry; see `hw.link_limits`.
    """

    density: Density
    layers: tuple[LayerEstimate, ...]
    clocks: int
    typical: int
    utilisation: float
    board: Resources
    unlinked: tuple[str, ...]

    @property
    def total(self) -> Resources:
        """All cells."""
        return Resources.sum([*(layer.resources for layer in self.layers), self.board])

    def lacking(self, device: Resources) -> str:
        """Say what a board with this device has too little of; nothing if the network fits."""
        cells = ", ".join(
            f"{used:,} {name} of {available:,}"
            for name, (used, available) in self.total.over(device).items()
        )
        return "; ".join([*([cells] if cells else []), *self.unlinked])


def estimate(spec: NetworkSpec, density: Density | None = None) -> Estimate:
    """Estimate the network of a description on a board.

    Parameters
    ----------
    spec
        The description, its lanes all chosen.
    density
        What share of the work there is; by default what is typical of the data.

    Raises
    ------
    PlanError
        If there can be no hardware of it.
    """
    density = density or typical(spec)
    network = NetworkPlan(spec)
    layers = tuple(
        _layer(plan, width, density)
        for plan, width in zip(network.layers, network.widths, strict=True)
    )
    slowest = max(layer.typical for layer in layers)
    return Estimate(
        density=density,
        layers=layers,
        clocks=max(layer.clocks for layer in layers),
        typical=slowest,
        utilisation=_utilisation(network.layers, slowest),
        board=link_cells(spec),
        unlinked=tuple(exceeded(spec)),
    )


def _layer(plan: LayerPlan, width: int, density: Density) -> LayerEstimate:
    clocks = round(step_clocks(plan, density))
    return LayerEstimate(
        clocks=round(step_clocks(plan, DENSE)),
        typical=clocks,
        utilisation=_utilisation([plan], clocks),
        resources=layer_cells(plan) + list_cells(width),
        classifier=_classifier(plan, density) if plan.trained else None,
    )


def _classifier(plan: LayerPlan, density: Density) -> ClassifierEstimate:
    cells = classifier_cells(plan)
    return ClassifierEstimate(
        multipliers=cells.dsp,
        blocks=cells.ebr,
        clocks=round(wait_clocks(plan, DENSE)),
        typical=round(wait_clocks(plan, density)),
    )


def _utilisation(plans: Sequence[LayerPlan], clocks: int) -> float:
    """Compare products, those with 0 included, with what the multipliers could make."""
    products = sum((1 + (plan.layer.rule != "frozen")) * plan.layer.weights for plan in plans)
    return products / sum(plan.lanes for plan in plans) / clocks
