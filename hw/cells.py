# SPDX-License-Identifier: BSD-2-Clause
"""The cells of a network's hardware, before any synthesis.

Multipliers and memory blocks follow from the plan. LUTs and flip-flops are counted from the widths
of adders and registers, with factors and constants that were fitted to syntheses of layers. LUTs
are those of a placed design: a tenth more, since carry chains take some at their ends.
"""

from functools import cache

from golden.layer_spec import TRAINED_BITS
from golden.spec import NetworkSpec

from .devices import Resources
from .engine import draws
from .engine.events import entry
from .link_limits import body_max, ring_bytes
from .local_error import sample_store
from .local_error.cross_entropy import lookups
from .plan import LayerPlan, multipliers
from .ports import X_WIDTH, output_beat
from .primitives.ecp5 import geometry

__all__ = ["classifier_cells", "layer_cells", "link_cells", "list_cells"]

#: Serial line, link, clock and LEDs of a board, without the ring of received bytes.
BOARD = Resources(lut=2600, ff=760)
#: Bytes of a frame besides its body, which lie in the ring as well.
FRAME = 8
#: LUTs and flip-flops of a layer for each bit that is counted here: of its lanes, and of its local
#: error.
LANE = 1.53, 1.36
LOCAL_ERROR = 1.82, 1.63
#: LUTs of what is looked up for each class whose exponentials are made at once.
TABLES = 370
#: For each input of a beat, of which any may be the next that is not 0.
LIST = 36, 17
#: LUTs of health counters for each bit of a lane's product, and flip-flops for each lane; the rest.
HEALTH_LANE, HEALTH = (0.85, 8), Resources(lut=350, ff=300)
#: LUTs and flip-flops of an exit gate and its margins for each bit of a score; the rest.
EXIT_SCORE, EXIT = (6, 3), Resources(lut=130, ff=60)
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
    wb, operand, cells = plan.layer.wb, plan.operand_width, multipliers(plan.operand_width)
    lane_lut = (wb + max(plan.update_shift, 0) + 1) + plan.z_width + operand + wb + X_WIDTH
    lane_ff = 2 * plan.update_width + operand + (X_WIDTH + 1) + plan.z_width + wb + 2 + X_WIDTH
    rest = _local_error(plan)
    tables = lookups(plan) * TABLES if plan.layer.loss == "ce" else 0
    return (
        LAYER
        + Resources(
            lut=tables + round(LANE[0] * plan.lanes * lane_lut + LOCAL_ERROR[0] * rest),
            ff=round(LANE[1] * plan.lanes * lane_ff + LOCAL_ERROR[1] * rest),
            dsp=plan.lanes * cells,
            ebr=_blocks(plan),
        )
        + classifier_cells(plan)
        + _draws(plan)
        + _health(plan)
        + _exits(plan)
    )


def _draws(plan: LayerPlan) -> Resources:
    """Count what stochastic rounding takes: its generator, and what lanes subtract below a weight.

    Two states, of which the present one goes on by a number of bits that is chosen.
    """
    field = plan.drawn_bits
    if not field:
        return Resources()
    choice = 2 + (len(plan.left_shape) - 1).bit_length()
    return Resources(
        lut=draws.LENGTH * choice + field + plan.lanes * (field - 1),
        ff=2 * draws.LENGTH + field * len(plan.clusters),
    )


def _health(plan: LayerPlan) -> Resources:
    """Count what counts the health of a layer: in each lane, and once."""
    if not plan.layer.health:
        return Resources()
    product = plan.update_width + X_WIDTH
    return HEALTH + Resources(
        lut=round(HEALTH_LANE[0] * plan.lanes * product), ff=HEALTH_LANE[1] * plan.lanes
    )


def _exits(plan: LayerPlan) -> Resources:
    """Count what lets samples leave: the margin, and room for a sample until it is known."""
    if plan.layer.margin is None:
        return Resources()
    lut, ff = (each * plan.s_width for each in EXIT_SCORE)
    room = blocks(output_beat(plan).size, plan.output_beats)
    return EXIT + Resources(lut=lut, ff=ff, ebr=room)


def classifier_cells(plan: LayerPlan) -> Resources:
    """Count the multipliers and blocks of a classifier that is trained."""
    trained = plan.trained
    if trained is None:
        return Resources()
    weights = trained.units * blocks(trained.word_bits, trained.depth)
    samples = blocks(sample_store.stored(plan).size, sample_store.depth(plan))
    return Resources(dsp=trained.multipliers, ebr=weights + samples)


def _local_error(plan: LayerPlan) -> float:
    """Count the bits of the adders in the local error; nearly all go into a register.

    What lets terms through fits into the LUTs of their first adders.
    """
    layer, classes, drain, bits = plan.layer, plan.layer.classes, plan.drain_width, plan.random_bits
    score, e, g = plan.s_width, plan.e_width, plan.g_width + abs(layer.ms)
    if layer.loss == "ce":
        loss = classes * e + lookups(plan) * 4 * score
    else:
        loss = classes * (2 * score + 2 * e)
    prediction = score * (classes / 2 + 3)
    dropout = max(64, 3 * drain) + drain * 2 * X_WIDTH if layer.dropout else 0
    common = loss + prediction + dropout
    if plan.trained:
        return common + _trained(plan)
    classifier = classes * ((drain * bits - 1) * (X_WIDTH + 3) + 2 * score)
    feedback = drain * ((classes * bits - 1) * (e + 2) + 3 * g)
    # Of Gaussian weights the signs: both streams again, sums and comparisons.
    signs = 6 * drain * classes * bits if layer.terms > 1 else 0
    return common + classifier + feedback + signs


def _trained(plan: LayerPlan) -> float:
    """Count the bits of the adders of a classifier that is trained, and of its registers."""
    trained, e = plan.trained, plan.e_width
    assert trained is not None
    product = TRAINED_BITS + e + 4
    # Operands, what is updated and written, and the sum for the feedback.
    each = 2 * TRAINED_BITS + (TRAINED_BITS + max(e, X_WIDTH)) + 2 * TRAINED_BITS + product
    scores = trained.width * ((trained.units - 1) * (TRAINED_BITS + X_WIDTH) + plan.s_width)
    beat = plan.drain_width * (2 * plan.g_width + 4 * X_WIDTH)
    return trained.multipliers * each + scores + beat + TRAINED_BITS * trained.width


def _blocks(plan: LayerPlan) -> int:
    """Count the blocks of the weights and of the lists."""
    lists = blocks(entry(plan).size, plan.lists * plan.layer.columns)
    sizes = [len(bank) for cluster in range(len(plan.clusters)) for bank in plan.banks(cluster)]
    return lists + sum(blocks(size * plan.layer.wb, plan.depth) for size in sizes)
