# SPDX-License-Identifier: BSD-2-Clause
"""Which layers a training takes that adds them one by one, and stops where the next is no better.

The paper's section 5.2 proposes it: accuracy in training says nothing of how many layers are of
use, accuracy on samples that were held out does. They are held out of the training set; the test
set decides nothing.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from golden.data import Data, set_aside
from golden.errors import quoted
from golden.spec import NetworkSpec

__all__ = ["Growth", "last_of_use", "withhold"]


def last_of_use(shares: Sequence[float]) -> int:
    """Give the place of the last share before the first that is no better than the one before it.

    >>> last_of_use([0.4, 0.6, 0.6, 0.7])
    1
    """
    found = (k for k, (share, after) in enumerate(pairwise(shares)) if after <= share)
    return next(found, len(shares) - 1)


def withhold(network: NetworkSpec, data: Data) -> Data:
    """Hold out a sixth of the training samples, as `golden.data.held_out`, if the schedule asks.

    Raises
    ------
    DataError
        If there are too few samples.
    """
    if network.schedule != "grow":
        return data
    return set_aside(data)


class Growth:
    """How far the layers of a network have been added; with another schedule, all are there.

    Parameters
    ----------
    network
        The description.
    shares
        Of each layer that has had its turn so far, in their order, the accuracy on the samples held
        out, when its turn was over.
    """

    def __init__(self, network: NetworkSpec, shares: Iterable[float] = ()):
        self.network = network
        self.shares = list(shares)

    @property
    def over(self) -> bool:
        """Whether the last layer was no better than the one before, so that training ends."""
        return last_of_use(self.shares) < len(self.shares) - 1

    @property
    def last(self) -> int:
        """The highest layer that is of use, as far as is known."""
        turns = self.network.turns
        return turns[max(len(self.shares) - 1 - self.over, 0)] if self.shares else turns[-1]

    def due(self, epoch: int) -> int | None:
        """Name the layer to `add` after an epoch, that was trained to its end; None if none is."""
        network = self.network
        if network.schedule != "grow" or (epoch + 1) % network.epochs:
            return None
        return network.turns[epoch // network.epochs]

    def add(self, share: float):
        """Take the accuracy, on the samples held out, of the layer whose turn is over."""
        self.shares.append(share)

    @property
    def progress(self) -> dict[str, Any]:
        """What a weight file keeps of the schedule; nothing where all layers learn at once."""
        network = self.network
        kept = {"schedule": network.schedule, "epochs": network.epochs}
        held_out = {"held_out": self.shares} if network.schedule == "grow" else {}
        return {} if network.schedule == "all" else {**kept, **held_out}

    @classmethod
    def after(cls, network: NetworkSpec, progress: Mapping[str, Any], epochs: int) -> "Growth":
        """Take up a training that was cut after so many epochs, of which `progress` was kept.

        Raises
        ------
        ValueError
            If it had another schedule; the message says which, or what is missing.
        """
        theirs, ours = (
            tuple(kept.get(key, default) for key, default in (("schedule", "all"), ("epochs", 0)))
            for kept in (progress, cls(network).progress)
        )
        if theirs != ours:
            raise ValueError(f"was trained by the schedule {_named(theirs)}, not {_named(ours)}")
        if network.schedule != "grow":
            return cls(network)
        shares: Any = progress.get("held_out")
        if (
            not isinstance(shares, list)
            or len(shares) != epochs // network.epochs
            or not all(isinstance(share, int | float) for share in shares)
        ):
            raise ValueError("does not say how good each layer was on the samples held out")
        return cls(network, shares)

    def __str__(self):
        turns = self.network.turns[: len(self.shares)]
        found = ", ".join(
            f"layer {i} {100 * share:.2f}" for i, share in zip(turns, self.shares, strict=True)
        )
        ends = f"; layer {self.last} is the last that is of use" if self.over else ""
        return f"right on samples held out, %: {found}{ends}"


def _named(schedule: tuple[Any, Any]) -> str:
    """Name a schedule, with the epochs of a turn if there are turns."""
    name, epochs = schedule
    return quoted(name) + (f" with epochs = {quoted(epochs)}" if epochs else "")
