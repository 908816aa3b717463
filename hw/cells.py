# SPDX-License-Identifier: BSD-2-Clause
"""The cells of a network's hardware, before any synthesis.

Multipliers and memory blocks follow from the plan. LUTs and flip-flops are counted from the widths
of adders and registers, with factors and constants that were fitted to syntheses of layers. LUTs
are those of a placed design: a tenth more, since carry chains take some at their ends.
"""

from functools import cache

from golden.spec import NetworkSpec

from .devices import Resources
from .engine.events import entry
from .link_limits import body_max, ring_bytes
from .plan import LayerPlan
from .ports import X_WIDTH
from .primitives.ecp5 import geometry

__all__ = ["layer_cells", "link_cells", "list_cells"]

#: Serial line, link, clock and LEDs of a board, without the ring of received bytes.
BOARD = Resources(lut=2600, ff=760)
#: Bytes of a frame besides its body, which lie in the ring as well.
FRAME = 8
#: LUTs and flip-flops of a layer for each bit that is counted here: of its lanes, and of its local
#: error.
LANE = 1.53, 1.36
LOCAL_ERROR = 1.82, 1.63
#: For each input of a beat, of which any may be the next that is not 0.
LIST = 36, 17
#: What is the same in every layer: states, handshakes, FIFOs of a few words, counters.
LAYER = Resources(lut=1390, ff=1330)


@cache
def blocks(width: int, depth: int) -> int:
    """Count the blocks of a memory of `depth` words of `width` bits."""
    return geometry(width, depth).blocks


def link_cells(spec: NetworkSpec) -> Resources:
    """Count what surrounds a network on a board."""
    return BOARD + Resources(ebr=blocks(X_WIDTH, ring_bytes(FRAME + body_max(spec))))


def list_cells(width: int) -> Resources:
    """Count what finds the inputs that are not 0 in beats of `width`."""
    return Resources(lut=LIST[0] * width, ff=LIST[1] * width)


def layer_cells(plan: LayerPlan) -> Resources:
    """Count the cells of a layer, without those that its `list_cells` are."""
    # Of a lane: adders and multiplexers by the bits that come out, and registers.
    wb, operand = plan.layer.wb, max(plan.update_width, plan.layer.wb)
    lane_lut = (wb + plan.update_shift + 1) + plan.z_width + operand + wb + X_WIDTH
    lane_ff = 2 * plan.update_width + operand + (X_WIDTH + 1) + plan.z_width + wb + 2 + X_WIDTH
    rest = _local_error(plan)
    return LAYER + Resources(
        lut=round(LANE[0] * plan.lanes * lane_lut + LOCAL_ERROR[0] * rest),
        ff=round(LANE[1] * plan.lanes * lane_ff + LOCAL_ERROR[1] * rest),
        dsp=plan.lanes,
        ebr=_blocks(plan),
    )


def _local_error(plan: LayerPlan) -> float:
    """Count the bits of the adders in the local error; nearly all go into a register.

    What lets terms through fits into the LUTs of their first adders.
    """
    layer, classes, drain = plan.layer, plan.layer.classes, plan.drain_width
    score, e, g = plan.s_width, plan.e_width, plan.g_width + abs(layer.ms)
    classifier = classes * ((drain * layer.mb - 1) * (X_WIDTH + 3) + 4 * score + 2 * e)
    prediction = score * (classes / 2 + 3)
    feedback = drain * ((classes * layer.mb - 1) * (e + 2) + 3 * g)
    return classifier + prediction + feedback


def _blocks(plan: LayerPlan) -> int:
    """Count the blocks of the weights and of the lists."""
    lists = blocks(entry(plan).size, plan.lists * plan.layer.columns)
    sizes = [len(bank) for cluster in range(len(plan.clusters)) for bank in plan.banks(cluster)]
    return lists + sum(blocks(size * plan.layer.wb, plan.depth) for size in sizes)
