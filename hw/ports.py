# SPDX-License-Identifier: BSD-2-Clause
"""Payloads and interfaces that more than one component speaks."""

from amaranth.hdl import Shape, signed, unsigned
from amaranth.lib import data, enum, stream, wiring
from amaranth.lib.wiring import In, Out

from .plan import LayerPlan

__all__ = [
    "COUNTERS",
    "X_WIDTH",
    "Command",
    "LayerSignature",
    "MonitorSignature",
    "Rule",
    "beat",
    "drained",
    "gradient_beat",
    "header",
    "instruction",
    "result",
    "wave",
    "weight_out",
]

#: Bits of an activation and of an input pixel.
X_WIDTH = 8
#: Bits of each performance counter.
COUNTER_WIDTH = 48
#: Bits of the learning-rate register.
LR_WIDTH = 5
#: The performance counters of a layer. Every clock counts in exactly one of `busy`,
#: `stall_input`, `stall_error`, `stall_output` and `other`.
COUNTERS = (
    "cycles",  # clocks since reset
    "busy",  # clocks in which an input is issued to the lanes
    "macs",  # products: one for each weight that an input meets, one for each that is updated
    "weight_reads",
    "weight_writes",
    "stall_input",  # no sample has arrived
    "stall_error",  # the errors of the sample before are not made yet
    "stall_output",  # the next layer or the reader of results does not keep up
    "other",  # initialisation, loading and reading of weights, commands
)


class Command(enum.Enum, shape=3):
    """What to do with a packet of the sample stream."""

    TRAIN = 0
    INFER = 1
    #: Apply the last update.
    FLUSH = 2
    #: Stream all weights out.
    READ = 3
    #: Take all weights from the stream of weights.
    LOAD = 4


class Rule(enum.Enum, shape=2):
    """Which weights carry the class errors back to the neurons (contract, "rule")."""

    SYM = 0
    SCFB = 1
    RANDOM = 2
    #: As SYM, but the weights stay what they are.
    FROZEN = 3

    @classmethod
    def named(cls, rule: str) -> "Rule":
        """Look up the encoding of a description's `rule`; raises `KeyError` if it has none."""
        return cls[rule.upper()]


def header(classes: int) -> data.StructLayout:
    """Layout of what travels with a packet: the command and the label."""
    return data.StructLayout({"command": Command, "label": range(classes)})


def beat(classes: int, width: int) -> data.StructLayout:
    """Layout of one beat of a sample stream: the header and `width` activations."""
    return data.StructLayout({
        "header": header(classes),
        "x": data.ArrayLayout(unsigned(X_WIDTH), width),
    })


def result(classes: int) -> data.StructLayout:
    """Layout of what a layer says of each packet."""
    return data.StructLayout({
        "header": header(classes),
        "prediction": range(classes),
        "correct": 1,
    })


def instruction(plan: LayerPlan) -> data.StructLayout:
    """Layout of what the MAC array is told in a clock: to work on an input, or to move a weight.

    - `issue`: the lanes read the weight at `addr`. They take `update` into account: subtract the
      product of local error and `x_old` and write the weight back. Then they multiply it by
      `x_new` and accumulate. `first` and `last` mark a group's inputs: on `first` the local errors
      of the group are taken over, on `last` the sums become activations.
    - `load`: weight `addr` of lane `lane` becomes `word`.
    - `read`: weight `addr` of lane `lane` comes out of the array.
    """
    return data.StructLayout({
        "issue": 1,
        "first": 1,
        "last": 1,
        "update": 1,
        "load": 1,
        "read": 1,
        "addr": range(plan.depth),
        "lane": range(plan.layer.lanes),
        "word": signed(plan.layer.wb),
    })


def wave(plan: LayerPlan) -> data.StructLayout:
    """Layout of an instruction and its input, of the sample before and of the present one."""
    return data.StructLayout({"do": instruction(plan), "x_old": X_WIDTH, "x_new": X_WIDTH})


def gradient_beat(plan: LayerPlan) -> data.StructLayout:
    """Layout of `drain_width` local errors for the lanes, shifted left by lr_max - lr."""
    return data.StructLayout({
        "valid": 1,
        "index": range(plan.beats),
        "g": data.ArrayLayout(signed(plan.update_width), plan.drain_width),
    })


def drained(plan: LayerPlan) -> data.StructLayout:
    """Layout of `drain_width` activations on their way out of the lanes."""
    y = data.ArrayLayout(unsigned(X_WIDTH), plan.drain_width)
    return data.StructLayout({"valid": 1, "y": y})


def weight_out(plan: LayerPlan) -> data.StructLayout:
    """Layout of a weight on its way out of the lanes."""
    return data.StructLayout({"valid": 1, "word": signed(plan.layer.wb)})


class MonitorSignature(wiring.Signature):
    """Taps for verification; valid for one clock, without handshake.

    - `y_valid`, `y`: activations of a sample, `drain_width` neurons a beat, n ascending, padding 0.
    - `score_valid`, `s`, `e`: scores and class errors; `e` is 0 unless the sample trains.
    - `g_valid`, `g`: local errors of a training sample, in beats like `y`; they appear while the
      next packet is processed.
    """

    def __init__(self, plan: LayerPlan):
        classes, drain = plan.layer.classes, plan.drain_width
        super().__init__({
            "y_valid": Out(1),
            "y": Out(data.ArrayLayout(unsigned(X_WIDTH), drain)),
            "score_valid": Out(1),
            "s": Out(data.ArrayLayout(signed(plan.s_width), classes)),
            "e": Out(data.ArrayLayout(signed(plan.e_width), classes)),
            "g_valid": Out(1),
            "g": Out(data.ArrayLayout(signed(plan.g_width), drain)),
        })


class LayerSignature(wiring.Signature):
    """What a layer shows to its surroundings besides the sample streams.

    - `result`: one record for each packet, in order; for a command, when it is done.
    - `lr`, `rule`: run-time registers, sampled as the error of a training sample is made. `lr`
      must lie within the plan's `lr_min` and `lr_max`.
    - `weights_in`, `weights_out`: N (M + 1) weights in the order n, then j, after LOAD and READ.
    - `counters`: see `COUNTERS`.
    - `monitor`: see `MonitorSignature`.
    """

    def __init__(self, plan: LayerPlan):
        classes = plan.layer.classes
        weights = stream.Signature(signed(plan.layer.wb))
        super().__init__({
            "result": Out(stream.Signature(result(classes))),
            "lr": In(LR_WIDTH),
            "rule": In(Rule),
            "weights_in": In(weights),
            "weights_out": Out(weights),
            "counters": Out(
                data.StructLayout(dict.fromkeys(COUNTERS, Shape.cast(COUNTER_WIDTH)))
            ),
            "monitor": Out(MonitorSignature(plan)),
        })
