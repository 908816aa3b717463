# SPDX-License-Identifier: BSD-2-Clause
"""The fastest of all combinations that fit: a choice for each layer, cells for all of them."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

import numpy as np

from .devices import Resources

__all__ = ["Choice", "Search"]

#: Sums of cells of the layers so far from which a search goes on.
KEPT = 32


@dataclass(frozen=True)
class Choice:
    """Lanes that a layer may have, the clocks of its step, and its cells.

    `v_lanes` are those of its classifier, if that is trained.
    """

    lanes: int
    clocks: float
    cells: Resources
    v_lanes: int | None = None


class Search:
    """Chooses for all layers together.

    The result is exact, unless the layers have so many choices of which none is better in all
    respects that only the roomiest of their sums are gone on with.

    Parameters
    ----------
    choices
        Those of each layer.
    base
        Cells that are needed beside those of the layers.
    limit
        Cells that there are.
    """

    def __init__(self, choices: Sequence[Sequence[Choice]], base: Resources, limit: Resources):
        self.choices = [_useful(options) for options in choices]
        self.base = base
        self.limit = limit
        clocks = {choice.clocks for options in self.choices for choice in options}
        least = max(self.floor(layer) for layer in range(len(choices)))
        #: What the clocks of the slowest layer may come to, the fewest first.
        self.bounds = sorted(value for value in clocks if value >= least)

    def floor(self, layer: int) -> float:
        """Find the fewest clocks that any choice gives a layer."""
        return min(choice.clocks for choice in self.choices[layer])

    def fastest(self) -> float | None:
        """Find the fewest clocks that the slowest layer can come to; None if nothing fits."""
        first = bisect_left(self.bounds, True, key=lambda bound: self.within(bound) is not None)
        return self.bounds[first] if first < len(self.bounds) else None

    def within(self, bound: float) -> list[Choice] | None:
        """Choose the fewest LUTs for which no layer takes more clocks; None if nothing fits."""
        options = self._options(bound)
        if not all(options):
            return None
        fewest = self._fewest(options)
        if not self._sum(fewest).over(self.limit):
            return fewest
        return None if self._least(options).over(self.limit) else self._combine(options)

    def short(self, bound: float = inf) -> dict[str, tuple[int, int]]:
        """Say what is short where nothing fits within a bound: what is needed and what there is.

        It is what any choice lacks; failing that, what that of the fewest LUTs does.
        """
        options = self._options(bound)
        return self._least(options).over(self.limit) or self._sum(self._fewest(options)).over(
            self.limit
        )

    def _options(self, bound: float) -> list[list[Choice]]:
        return [[choice for choice in layer if choice.clocks <= bound] for layer in self.choices]

    def _fewest(self, options: Sequence[Sequence[Choice]]) -> list[Choice]:
        return [min(layer, key=lambda choice: (*choice.cells, choice.clocks)) for layer in options]

    def _sum(self, choices: Sequence[Choice]) -> Resources:
        return Resources.sum([self.base, *(choice.cells for choice in choices)])

    def _least(self, options: Sequence[Sequence[Choice]]) -> Resources:
        """Add up the least of each resource, whichever choice that is."""
        return Resources.sum([self.base, *(_each(min, layer) for layer in options)])

    def _combine(self, options: Sequence[Sequence[Choice]]) -> list[Choice] | None:
        """Go from layer to layer with all sums of cells that may become the best.

        A sum is that of the LUTs and of what could become short; the rest does not matter.
        """
        most = Resources.sum([self.base, *(_each(max, layer) for layer in options)])
        names = ["lut", *(name.lower() for name in most.over(self.limit) if name != "LUT")]

        def vector(cells: Resources) -> np.ndarray:
            return np.array([getattr(cells, name) for name in names])

        least = [vector(_each(min, layer)) for layer in options]
        # What there is for the layers so far: the rest is needed by those that follow.
        room = vector(self.limit) - sum(least)
        sums, chains = vector(self.base)[None, :], [()]
        for layer, own in zip(options, least, strict=True):
            room = room + own
            cells = np.array([vector(choice.cells) for choice in layer])
            found = (sums[:, None, :] + cells[None, :, :]).reshape(-1, len(names))
            fitting = np.flatnonzero((found <= room).all(axis=1))
            # The roomiest first.
            fullest = (found[fitting] / np.maximum(room, 1)).max(axis=1)
            kept = fitting[_front(found[fitting], fullest, KEPT)]
            chains = [(layer[i % len(layer)], chains[i // len(layer)]) for i in kept]
            sums = found[kept]
        if not chains:
            return None
        choices, chain = [], chains[np.lexsort(sums.T[::-1])[0]]
        while chain:
            choice, chain = chain
            choices.append(choice)
        return choices[::-1]


def _each(pick, choices: Sequence[Choice]) -> Resources:
    """Apply min or max to each resource by itself."""
    return Resources(*map(pick, zip(*(choice.cells for choice in choices), strict=True)))


def _useful(choices: Sequence[Choice]) -> list[Choice]:
    """Leave out choices that another beats in all respects, or the first of equal ones."""
    vectors = np.array([(choice.clocks, *choice.cells) for choice in choices])
    return [choices[i] for i in sorted(_front(vectors, vectors[:, 0], len(choices)))]


def _front(vectors: np.ndarray, order: np.ndarray, most: int) -> np.ndarray:
    """Find the first vectors, in an order, that are somewhere below each one before them.

    The order is one that a vector comes in behind all that are nowhere above it.
    """
    left = np.lexsort((*vectors.T[::-1], order))
    front = []
    while len(left) and len(front) < most:
        front.append(left[0])
        left = left[(vectors[left] < vectors[left[0]]).any(axis=1)]
    return np.array(front, int)
