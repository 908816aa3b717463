# SPDX-License-Identifier: BSD-2-Clause
"""The dimensions of a layer's hardware, derived once from the network description."""

from dataclasses import dataclass
from functools import cached_property
from math import ceil

from amaranth.hdl import Shape

from golden.errors import InputError
from golden.layer_spec import TRAINED_BITS, LayerSpec

from .trained_plan import TrainedPlan, shared

__all__ = ["LayerPlan", "PlanError", "multipliers", "signed_width"]

#: Width of both operands of a lane's multiplier.
MULTIPLIER_WIDTH = 18
#: Bits of the widest word of a block memory.
BANK_WIDTH = 36
#: Lanes that share one set of broadcast registers; the next cluster sees them a clock later.
CLUSTER_LANES = 16
#: Samples that a layer keeps: the one that it works on, and others that arrive meanwhile.
LISTS = 3
#: Entries of lists that fit into a block of memory, and the lists for which it is used if so.
LIST_ENTRIES, LISTS_MAX = 1024, 7
#: Bits of an input.
INPUT_WIDTH = 8
#: The serial tail of a step grows by two clocks for each beat of a drained group.
DRAIN_BEATS = 16
#: Steps of learning-rate decay that the registers can always reach.
LR_SPAN = 3


class PlanError(InputError):
    """The description is valid, but the hardware cannot hold it; the message names the mend."""


def signed_width(bound: int) -> int:
    """Bits of a two's complement number that holds -`bound` to `bound`."""
    return bound.bit_length() + 1


def multipliers(width: int) -> int:
    """Count the multipliers that a signed operand of so many bits takes.

    >>> multipliers(18), multipliers(19), multipliers(36)
    (1, 2, 3)
    """
    return max(ceil((width - 1) / (MULTIPLIER_WIDTH - 1)), 1)


@dataclass(frozen=True)
class LayerPlan:
    """What the hardware of one layer needs to know beyond its description.

    Parameters
    ----------
    layer
        The description.
    lr_growth
        How far the learning-rate shift grows over the run: the run-time register covers it.
    signed_inputs
        Whether an input is two's complement.

    Raises
    ------
    PlanError
        If the lanes are not chosen.
    """

    layer: LayerSpec
    lr_growth: int = 0
    signed_inputs: bool = False

    def __post_init__(self):
        layer = self.layer
        if layer.lanes is None:
            raise PlanError(
                f"layer {layer.index}: lanes: are not chosen; hw.fit chooses them, or give a number"
            )

    # Lanes and their order

    @property
    def lanes(self) -> int:
        """Neurons that are computed at once."""
        assert self.layer.lanes is not None
        return self.layer.lanes

    @property
    def groups(self) -> int:
        """Visits of the inputs in each direction of a step: neurons over lanes, rounded up."""
        return ceil(self.layer.neurons / self.lanes)

    @property
    def depth(self) -> int:
        """Weights of a lane, and words of the bank in which they lie."""
        return self.groups * self.layer.columns

    @cached_property
    def drain_width(self) -> int:
        """Neurons per clock between lanes, classifier and feedback; divides the lanes."""
        lanes = self.lanes
        return next(d for d in range(1, lanes + 1) if lanes % d == 0 and lanes // d <= DRAIN_BEATS)

    @property
    def beats(self) -> int:
        """Clocks in which one group of neurons is drained."""
        return self.lanes // self.drain_width

    @property
    def sample_beats(self) -> int:
        """Beats of a whole sample, those of padding neurons included."""
        return self.groups * self.beats

    @property
    def output_beats(self) -> int:
        """Beats of a whole sample that hold at least one neuron: what the next layer receives."""
        return ceil(self.layer.neurons / self.drain_width)

    @cached_property
    def clusters(self) -> tuple[range, ...]:
        """The lanes of each cluster, in the order in which inputs pass through them."""
        size = max(CLUSTER_LANES // self.drain_width, 1) * self.drain_width
        lanes = self.lanes
        return tuple(range(a, min(a + size, lanes)) for a in range(0, lanes, size))

    def banks(self, cluster: int) -> tuple[range, ...]:
        """The lanes of each bank of a cluster: as many as fit in a word share a memory."""
        lanes, size = self.clusters[cluster], max(BANK_WIDTH // self.layer.wb, 1)
        return tuple(lanes[a : a + size] for a in range(0, len(lanes), size))

    def drain_delay(self, cluster: int) -> int:
        """Clocks for which a cluster holds its results back so that all beats arrive in order.

        Cluster k captures its results k clocks after cluster 0, and they pass k registers on
        their way out.
        """
        return max(self.clusters[cluster].start // self.drain_width - 2 * cluster, 0)

    @cached_property
    def drain_span(self) -> int:
        """Clocks between the first beat of a group at the sink and the first free one after it.

        The last F events of two groups are at least so far apart.
        """
        return max(
            self.drain_delay(k) + 2 * k + len(lanes) // self.drain_width
            for k, lanes in enumerate(self.clusters)
        )

    @property
    def lists(self) -> int:
        """Samples that the layer keeps as lists; more of them even out steps of unequal length."""
        return max(LISTS, min(LIST_ENTRIES // self.layer.columns, LISTS_MAX))

    # Widths

    @property
    def x_shape(self) -> Shape:
        """Shape of an input; the bias's constant input, which is positive, must fit as well."""
        return Shape(INPUT_WIDTH + self.signed_inputs, signed=self.signed_inputs)

    @cached_property
    def z_width(self) -> int:
        """Bits of a lane's accumulator."""
        return signed_width(self.layer.z_bound)

    @property
    def z_shift(self) -> int:
        """Fraction bits that an activation drops."""
        return self.layer.fw + self.layer.fx - self.layer.fy

    @cached_property
    def s_width(self) -> int:
        """Bits of a score."""
        return signed_width(self.layer.s_bound)

    @property
    def never(self) -> int:
        """The threshold that no margin reaches; a margin has as many bits as a score.

        It is all ones, 2^s_width - 1. A score is at most `s_bound` < 2^(s_width - 1) from 0, so the
        largest margin is 2 s_bound <= 2^s_width - 2.
        """
        return (1 << self.s_width) - 1

    def threshold(self, margin: float | None) -> int:
        """Compute what the register holds for samples to leave from `margin` on; None: never."""
        return self.never if margin is None else min(self.layer.threshold(margin), self.never)

    @property
    def random_bits(self) -> int:
        """Bits that are drawn for a classifier weight: `mb` for each of its terms."""
        return self.layer.terms * self.layer.mb

    @property
    def e_width(self) -> int:
        """Bits of a class error, two's complement."""
        return self.layer.fe + 1

    @cached_property
    def g_width(self) -> int:
        """Bits of a local error."""
        return signed_width(self.layer.g_bound)

    # Classifiers that are trained

    @cached_property
    def trained(self) -> TrainedPlan | None:
        """How a classifier that is trained is shared out; None if the layer's is a random one."""
        layer = self.layer
        if layer.rule != "tlc":
            return None
        return shared(layer.classes, self.drain_width, self.sample_beats, layer.v_lanes)

    @property
    def classifier_weights(self) -> int:
        """Weights of a classifier that is trained: they are read and loaded behind the others."""
        return self.layer.neurons * self.layer.classes if self.trained else 0

    @property
    def weights(self) -> int:
        """Weights that are read and loaded."""
        return self.layer.weights + self.classifier_weights

    @property
    def word_width(self) -> int:
        """Bits of a weight as it is read and loaded."""
        return max(self.layer.wb, TRAINED_BITS) if self.trained else self.layer.wb

    # Learning rate

    @property
    def lr_min(self) -> int:
        """The lowest learning-rate shift; a lower one in the register acts as this."""
        return self.layer.lr

    @property
    def lr_max(self) -> int:
        """The highest learning-rate shift; a higher one in the register acts as this."""
        span = min(LR_SPAN, MULTIPLIER_WIDTH - self.g_width)
        return self.layer.lr + max(self.lr_growth, span, 0)

    @property
    def x_growth(self) -> int:
        """Bits by which the input of an update can be shifted left, where a local error cannot.

        A multiplier has bits to spare for an input that a wide local error does not leave.
        """
        span, spare = self.lr_max - self.lr_min, MULTIPLIER_WIDTH - INPUT_WIDTH - 1
        return min(max(self.g_width + span - MULTIPLIER_WIDTH, 0), span, spare)

    @property
    def left_shape(self) -> range:
        """By how much updates are shifted left for a higher rate: lr_max - lr."""
        return range(self.lr_max - self.lr_min + 1)

    @property
    def update_width(self) -> int:
        """Bits of a local error as the lanes receive it, shifted left for the learning rate."""
        return self.g_width + self.lr_max - self.lr_min - self.x_growth

    @property
    def operand_width(self) -> int:
        """Bits of what a lane multiplies by an input: a weight, or a shifted local error."""
        return max(self.update_width, self.layer.wb)

    @property
    def update_shift(self) -> int:
        """Right shift of every update; the learning rate is in the operands already.

        It may be negative.
        """
        return self.layer.update_shift(self.lr_max)

    @property
    def drawn_bits(self) -> int:
        """Bits of the longest field of stochastic rounding; 0 if none is drawn."""
        return max(self.update_shift, 0) if self.layer.sr else 0
