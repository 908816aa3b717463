# SPDX-License-Identifier: BSD-2-Clause
"""What a network will take of a device and of time, before any synthesis.

Clocks, multipliers and memory blocks follow from the plan. LUTs and flip-flops are counted from
the widths of the registers and adders of each component, with factors and constants that were
fitted to syntheses (`tests/boards/test_bitstream.py` says how far off they may be).
"""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from math import ceil
from typing import Self

from golden.spec import NetworkSpec

from .engine import activation_buffer, mac_array
from .link_limits import body_max, exceeded, ring_bytes
from .local_error import classifier, feedback
from .local_error.error_unit import ErrorUnit
from .network_plan import NetworkPlan
from .plan import CLUSTER_LANES, LayerPlan
from .ports import COUNTER_WIDTH, COUNTERS, X_WIDTH
from .primitives import ECP5
from .primitives.ecp5 import geometry

__all__ = ["BOARDS", "Estimate", "LayerEstimate", "Resources", "estimate"]


#: Clocks from the first input of a group at the MAC array until the feedback knows of it.
ACCEPTED = 3
#: Clocks that an activation takes through the output stage.
OUTPUT = 2


@dataclass(frozen=True)
class Resources:
    """Cells of a device: LUTs (carries included), flip-flops, multipliers, memory blocks."""

    lut: int = 0
    ff: int = 0
    dsp: int = 0
    ebr: int = 0

    def __add__(self, other: Self) -> "Resources":
        return Resources(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    @classmethod
    def sum(cls, parts: Iterable["Resources"]) -> "Resources":
        """Add any number of resources."""
        total = cls()
        for part in parts:
            total += part
        return total


#: What the variants of each board have.
BOARDS = {
    "ulx3s": {
        "12F": Resources(lut=24288, ff=24288, dsp=28, ebr=56),
        "25F": Resources(lut=24288, ff=24288, dsp=28, ebr=56),
        "45F": Resources(lut=43848, ff=43848, dsp=72, ebr=108),
        "85F": Resources(lut=83640, ff=83640, dsp=156, ebr=208),
    }
}
#: Serial line, link, clock and LEDs of a board, without the ring of received bytes.
BOARD = Resources(lut=1700, ff=760)
#: Bytes of a frame besides its body, which lie in the ring as well.
FRAME = 8


#: LUTs and flip-flops of a synthesised layer, for each bit that is counted here.
LUT, FF = 1.48, 1.02
#: What is the same in every layer: states, handshakes, FIFOs of a few words, and the choice of one
#: of its counters, which the link reads.
LAYER = Resources(lut=1050, ff=600)


@dataclass(frozen=True)
class LayerEstimate:
    """What a layer takes.

    Parameters
    ----------
    clocks
        Of a training step, from one sample to the next.
    utilisation
        Products of weights that exist, over multipliers times clocks.
    resources
        Cells.
    """

    clocks: int
    utilisation: float
    resources: Resources


@dataclass(frozen=True)
class Estimate:
    """What a network takes, on a board.

    Parameters
    ----------
    layers
        Each layer on its own.
    clocks
        Of a training step: those of the slowest layer, since all work at the same time.
    utilisation
        Of all multipliers.
    board
        What surrounds the network.
    unlinked
        What of the network the serial link of a board cannot carry; see `hw.link_limits`.
    """

    layers: tuple[LayerEstimate, ...]
    clocks: int
    utilisation: float
    board: Resources
    unlinked: tuple[str, ...]

    @property
    def total(self) -> Resources:
        """All cells."""
        return Resources.sum([*(layer.resources for layer in self.layers), self.board])

    def lacking(self, device: Resources) -> str:
        """Say what a board with this device has too little of; nothing if the network fits."""
        total = self.total
        cells = ", ".join(
            f"{getattr(total, f.name):,} {f.name.upper()} of {getattr(device, f.name):,}"
            for f in fields(total)
            if getattr(total, f.name) > getattr(device, f.name)
        )
        return "; ".join([*([cells] if cells else []), *self.unlinked])


def estimate(spec: NetworkSpec) -> Estimate:
    """Estimate the network of a description on a board.

    Raises
    ------
    PlanError
        If there can be no hardware of it.
    """
    network = NetworkPlan(spec)
    layers = []
    for plan, width in zip(network.layers, network.widths, strict=True):
        clocks = step_clocks(plan, width)
        resources = _resources(plan, width)
        layer = plan.layer
        layers.append(LayerEstimate(clocks, layer.weights / layer.lanes / clocks, resources))
    clocks = max(layer.clocks for layer in layers)
    used = sum(layer.weights for layer in spec.layers)
    lanes = sum(layer.lanes for layer in spec.layers)
    ring = geometry(X_WIDTH, ring_bytes(FRAME + body_max(spec))).blocks
    return Estimate(
        layers=tuple(layers),
        clocks=clocks,
        utilisation=used / lanes / clocks,
        board=BOARD + Resources(ebr=ring),
        unlinked=tuple(exceeded(spec)),
    )


def step_clocks(plan: LayerPlan, width: int) -> int:
    """Count the clocks of a training step whose inputs, `width` a beat, are there in time.

    The passes over the groups, and the serial tail: the last group leaves the lanes, is
    classified, the errors are made, and those of the first group come back to the lanes.
    """
    lead = activation_buffer.latency(width, ECP5)
    # From the start of a group until the local errors of the next one are on their way.
    sent = plan.beats + max(feedback.latency(plan) - lead, 1)
    period = max(plan.group_clocks, lead + ACCEPTED + sent)
    tail = lead + mac_array.latency(ECP5) + plan.drain_span + OUTPUT + classifier.latency(plan)
    tail += ErrorUnit.delay + sent
    return (plan.groups - 1) * period + plan.layer.columns + tail


def _resources(plan: LayerPlan, width: int) -> Resources:
    """Count the cells of a layer whose inputs come `width` a beat."""
    layer, classes, drain = plan.layer, plan.layer.classes, plan.drain_width
    mb, wb, ms = layer.mb, layer.wb, abs(layer.ms)
    addr = (plan.depth - 1).bit_length()

    # Registers; adders, and gates and multiplexers by the bits that come out.
    lane_ff = 2 * plan.update_width + 2 * wb + 2 * (wb + 1) + plan.z_width + X_WIDTH
    lane_lut = (wb + plan.update_shift + 1) + plan.z_width + 2 * wb + X_WIDTH
    cluster_ff = 7 * wb + 6 * addr + 8 * X_WIDTH + drain * (plan.update_width + X_WIDTH) + 60
    cluster_lut = wb + drain * X_WIDTH + CLUSTER_LANES

    score = plan.s_width
    terms = drain * mb
    classifier = classes * (terms * X_WIDTH + (terms - 1) * (X_WIDTH + 3) + 2 * score)
    error = classes * (2 * score + 2 * plan.e_width)
    prediction = score * (classes / 2 + 3)
    g = plan.g_width + ms
    terms = classes * mb
    feedback = drain * (terms * plan.e_width + (terms - 1) * (plan.e_width + 2) + 3 * g)
    random = 3 * drain * classes * mb
    counters = 2 * COUNTER_WIDTH * len(COUNTERS)
    tail = classifier + error + prediction + feedback + random
    words = 2 * X_WIDTH * (width + drain) + 3 * wb
    control = 4 * addr + words

    clusters, lanes = len(plan.clusters), layer.lanes
    blocks = lanes * geometry(wb, plan.depth).blocks
    blocks += 3 * geometry(X_WIDTH * width, ceil(layer.inputs / width)).blocks
    rest = tail + counters / 2 + control
    return LAYER + Resources(
        lut=round(LUT * (lanes * lane_lut + clusters * cluster_lut + rest)),
        ff=round(FF * (lanes * lane_ff + clusters * cluster_ff + rest)),
        dsp=2 * lanes,
        ebr=blocks,
    )
