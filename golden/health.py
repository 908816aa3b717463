# SPDX-License-Identifier: BSD-2-Clause
"""Whether a training is in good health: numbers that have no room, or nothing to do, are counted.

Of each layer, over the samples that it was trained on (contract, "One training step of a layer"):

    samples        that it saw
    at_limit       weights that are the lowest or the highest that there is, when all is counted
    updates        (n, j) of each step whose sum over b of g x is not 0; in a step of one sample,
                   each n whose g is not 0 with each j whose x is not 0, the bias among them
    updates_lost   of those, that were rounded to 0
    saturated      y of each sample and neuron that were at their upper end
    no_error       samples whose e are all 0
    dead           neurons whose y was 0 in all samples

y is what goes on to the classifier, so that a neuron which is dropped has a y of 0. A layer that is
frozen makes no updates.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from golden.layer_spec import LayerSpec

if TYPE_CHECKING:
    # What explains the counts shall not wait for it.
    from torch import Tensor

__all__ = ["SIGNS", "Health", "Sign", "shares"]


class Sign(NamedTuple):
    """What a count is called for people, of how many it is, what it means, and what to change."""

    title: str
    meaning: str
    mend: str


#: The counts that say something as a share, by their name.
SIGNS = {
    "at_limit": Sign(
        "weights at a limit",
        "They cannot grow any more. A few are harmless.",
        "If there are ever more of them, raise lr, which learns more slowly, or lower fw, or raise "
        "wb.",
    ),
    "updates_lost": Sign(
        "updates rounded to 0",
        "They are below half a unit of a weight, and are not learned. They become more as the "
        "learning rate falls.",
        "If nearly all are while accuracy still rises, lower lr or raise lr_step; or raise fw and "
        "wb, or set sr for narrow weights.",
    ),
    "saturated": Sign(
        "saturated activations",
        "They are cut off at their upper end, and the next layer cannot tell them apart.",
        "If there are more than a few, lower fy, or raise lr.",
    ),
    "no_error": Sign(
        "samples without error",
        "The layer gets them right by more than its margin: they change nothing, and take the "
        "hardware less time.",
        "If nearly all are, the layer has learned what it can from them: fewer epochs do.",
    ),
    "dead": Sign(
        "dead neurons",
        "They were 0 for every sample of the epoch, and neither say nor learn anything.",
        "If most are, raise lr; if accuracy is good, fewer neurons do.",
    ),
}


class Health:
    """The counts of a layer, from when it was made, or they were last taken.

    Parameters
    ----------
    layer
        The layer.
    """

    def __init__(self, layer: LayerSpec):
        self.layer = layer
        self._begin()

    def _begin(self):
        self._counts = dict.fromkeys(
            ("samples", "updates", "updates_lost", "saturated", "no_error"), 0
        )
        self._alive: Tensor | None = None

    def see(self, y: "Tensor", e: "Tensor", updates: int, u: "Tensor | None"):
        """Count a step: y (B, N) and e (B, C), and if there are updates, their number and u.

        All are integers, and u (rows, M + 1) is what the weights were to change by.
        """
        counts = self._counts
        counts["samples"] += len(y)
        counts["saturated"] += _some(y == self.layer.y_max)
        counts["no_error"] += len(e) - _some(e.any(1))
        alive = y.any(0)
        self._alive = alive if self._alive is None else self._alive | alive
        if u is not None:
            counts["updates"] += updates
            counts["updates_lost"] += updates - _some(u)

    def take(self, W: "Tensor") -> dict[str, int]:
        """Give all counts, the weights now being W (N, M + 1), and begin anew."""
        alive = 0 if self._alive is None else _some(self._alive)
        limit = 2 ** (self.layer.wb - 1)
        counts = {
            **self._counts,
            "at_limit": _some(W.eq(-limit) | W.eq(limit - 1)),
            "dead": self.layer.neurons - alive,
        }
        self._begin()
        return counts


def _some(values: "Tensor") -> int:
    return int(values.count_nonzero())


def shares(layer: LayerSpec, counts: Mapping[str, int]) -> dict[str, float]:
    """Give the counts of a layer that are `SIGNS` as shares of what they could have been."""
    most = {
        "at_limit": layer.weights,
        "updates_lost": counts["updates"],
        "saturated": counts["samples"] * layer.neurons,
        "no_error": counts["samples"],
        "dead": layer.neurons,
    }
    return {name: counts[name] / max(most[name], 1) for name in SIGNS}
