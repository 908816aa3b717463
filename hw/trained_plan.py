# SPDX-License-Identifier: BSD-2-Clause
"""The dimensions of a classifier that is trained: how its weights are shared out."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil, comb, prod

from golden.layer_spec import TRAINED_BITS

__all__ = ["TrainedPlan", "choices", "shared"]

#: Clocks that a beat of activations takes at most if there are multipliers enough.
BEAT_CLOCKS = 2
#: The most multipliers that a classifier has unless it is given more.
MULTIPLIERS = 48


@dataclass(frozen=True)
class TrainedPlan:
    """How the weights V of a trained classifier lie in memories, and how many are used at once.

    The neurons of a beat are shared out to units, in turn. A unit has a memory, and takes one of
    its neurons at a time that is active, a word of V a clock, with a multiplier for each of its
    classes.

    Parameters
    ----------
    classes
        Of the layer.
    drain_width
        Neurons of a beat.
    beats
        Of a sample.
    units
        That share a beat.
    words
        That hold V of a neuron. More than one only where there is one unit.
    """

    classes: int
    drain_width: int
    beats: int
    units: int
    words: int

    @property
    def places(self) -> int:
        """Neurons of a beat that a unit has."""
        return ceil(self.drain_width / self.units)

    @property
    def width(self) -> int:
        """Classes of a word, and multipliers of a unit."""
        return ceil(self.classes / self.words)

    @property
    def multipliers(self) -> int:
        """Multipliers of all units."""
        return self.units * self.width

    @property
    def clocks(self) -> int:
        """Clocks that a beat takes in which all neurons are active."""
        return self.places * self.words

    def mean_clocks(self, active: float) -> float:
        """Compute the clocks of a beat on the average, if this share of the neurons is active.

        The unit with the most active neurons decides; a beat without any takes a clock as well.

        >>> TrainedPlan(classes=10, drain_width=1, beats=9, units=1, words=2).mean_clocks(0.25)
        1.25
        """
        sizes = [len(range(unit, self.drain_width, self.units)) for unit in range(self.units)]
        most = [
            prod(_at_most(limit, size, active) for size in sizes) for limit in range(self.places)
        ]
        return most[0] + self.words * sum(1 - share for share in most)

    @property
    def word_bits(self) -> int:
        """Bits of a word."""
        return self.width * TRAINED_BITS

    @property
    def address_bits(self) -> tuple[int, int, int]:
        """Bits of an address that tell the word of a neuron, the place, and the beat."""
        sizes = self.words, self.places, self.beats
        word, place, beat = ((size - 1).bit_length() for size in sizes)
        return word, place, beat

    @property
    def depth(self) -> int:
        """Words of a unit's memory, with those that only make addresses simple."""
        word, place, _ = self.address_bits
        return self.beats << word + place


def _at_most(limit: int, count: int, share: float) -> float:
    """Compute how likely it is that no more than `limit` of `count` neurons are active."""
    return sum(
        comb(count, k) * share**k * (1 - share) ** (count - k) for k in range(min(limit, count) + 1)
    )


def choices(classes: int, drain_width: int, beats: int) -> Iterator[TrainedPlan]:
    """Give the ways to share V out, the fewest clocks of a beat first.

    A beat is shared by as few units as its clocks allow; one unit alone has as few multipliers.
    """
    size = classes, drain_width, beats
    for places in range(1, drain_width + 1):
        yield TrainedPlan(*size, units=ceil(drain_width / places), words=1)
    for words in range(2, classes + 1):
        if ceil(classes / ceil(classes / words)) == words:
            yield TrainedPlan(*size, units=1, words=words)


def shared(classes: int, drain_width: int, beats: int, multipliers: int | None) -> TrainedPlan:
    """Share V out to at most so many multipliers, for the fewest clocks of a beat.

    By default to the fewest that take a beat in two clocks, if those are not too many.
    """
    options = [*choices(classes, drain_width, beats)]
    if multipliers is not None:
        options = [plan for plan in options if plan.multipliers <= multipliers]
        return min(options, key=lambda plan: (plan.clocks, plan.multipliers))
    few = [plan for plan in options if plan.multipliers <= MULTIPLIERS]
    fast = [plan for plan in few if plan.clocks <= BEAT_CLOCKS]
    if fast:
        return min(fast, key=lambda plan: plan.multipliers)
    return min(few, key=lambda plan: (plan.clocks, plan.multipliers))
