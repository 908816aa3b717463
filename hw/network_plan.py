# SPDX-License-Identifier: BSD-2-Clause
"""The dimensions of a network's hardware, and whether there can be such hardware."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from golden.errors import shown
from golden.spec import NetworkSpec

from .plan import LayerPlan, PlanError

__all__ = ["NetworkPlan"]

#: Pixels in a beat of the network's input.
PIXELS = 8
#: The most lanes, all layers together. A large device has multipliers for as many.
LANES = 2048
#: The most bits of classifier weights that are made in a clock, all layers together. Each is about
#: 30 LUTs of classifier, feedback and random generators.
TERMS = 4096
#: The most bits in weight memories, all layers together.
MEMORY = 1 << 26


@dataclass(frozen=True)
class NetworkPlan:
    """What the hardware of a network needs to know beyond its description.

    Whatever is made of a network, its hardware or an estimate of it, is made of this. So what the
    hardware does not do, and what it cannot hold, is refused here and nowhere else.

    Parameters
    ----------
    spec
        The description.

    Raises
    ------
    PlanError
        If the hardware does not do what the description asks for, or would be too large.
    """

    spec: NetworkSpec

    def __post_init__(self):
        spec = self.spec
        for layer in spec.layers:
            for key, what, asked in (
                ("kind", "conv layers", layer.conv),
                ("centred", "centred inputs", layer.centred),
            ):
                if asked:
                    raise self._error(
                        f"layer {layer.index}: {key}: {what} are golden only, for no hardware "
                        "computes them yet; train with python -m golden"
                    )
        if spec.batch != 1:
            raise self._error(
                f"batch: the hardware trains on one sample at a time, not on {spec.batch}; "
                "set batch = 1, or train with python -m golden"
            )
        for name, limit, numbers, keys in self._sizes():
            if sum(numbers) > limit:
                worst = max(range(len(numbers)), key=numbers.__getitem__)
                raise self._error(
                    f"layer {worst}: {keys}: the network has {sum(numbers):,} {name}, "
                    f"{numbers[worst]:,} of them in this layer, and the hardware has at most "
                    f"{limit:,}; lower {keys}"
                )

    def _sizes(self) -> Iterator[tuple[str, int, list[int], str]]:
        """Yield what is limited: its name, the limit, that of each layer, and what it follows from.

        All of it follows from a few numbers, so that a network is refused before it is made.
        """
        plans = self.layers
        yield "lanes", LANES, [plan.lanes for plan in plans], "lanes"
        yield (
            "bits of classifier weights a clock",
            TERMS,
            [
                0 if plan.trained else plan.drain_width * plan.layer.classes * plan.random_bits
                for plan in plans
            ],
            "lanes, classes or mb",
        )
        yield (
            "multipliers of trained classifiers",
            LANES,
            [plan.trained.multipliers if plan.trained else 0 for plan in plans],
            "v_lanes",
        )
        yield (
            "bits of weight memory",
            MEMORY,
            [plan.lanes * plan.depth * plan.layer.wb + _trained_bits(plan) for plan in plans],
            "neurons, lanes or wb",
        )

    @cached_property
    def layers(self) -> tuple[LayerPlan, ...]:
        """The plan of each layer."""
        try:
            return tuple(LayerPlan(layer, self.spec.lr_growth) for layer in self.spec.layers)
        except PlanError as error:
            raise self._error(str(error)) from None

    @property
    def widths(self) -> tuple[int, ...]:
        """Activations in a beat of each layer's input."""
        return (min(PIXELS, self.spec.inputs), *(plan.drain_width for plan in self.layers[:-1]))

    def _error(self, text: str) -> PlanError:
        return PlanError(f"{shown(self.spec.path)}: {text}")


def _trained_bits(plan: LayerPlan) -> int:
    """Count the bits of the memories of a classifier that is trained."""
    trained = plan.trained
    return trained.units * trained.word_bits * trained.depth if trained else 0
