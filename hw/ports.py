# SPDX-License-Identifier: BSD-2-Clause
"""Payloads and interfaces that more than one component speaks."""

from typing import Any

from amaranth.hdl import Shape, ShapeLike, Signal, Value, ValueLike, signed, unsigned
from amaranth.lib import data, enum, stream, wiring
from amaranth.lib.wiring import In, Out

from .plan import INPUT_WIDTH, LayerPlan

__all__ = [
    "CLOCK_COUNTERS",
    "COUNTERS",
    "X_WIDTH",
    "Activity",
    "Command",
    "Credit",
    "Gradients",
    "LayerSignature",
    "MonitorSignature",
    "Rule",
    "Valid",
    "ValidInterface",
    "activation_beat",
    "beat",
    "counters",
    "errors",
    "gradient_beat",
    "header",
    "is_sample",
    "outputs",
    "packets",
    "result",
    "samples",
    "scores",
    "y_beat",
]

#: Bits of an activation and of an input pixel.
X_WIDTH = INPUT_WIDTH
#: Bits of each performance counter.
COUNTER_WIDTH = 48
#: Bits of the learning-rate register.
LR_WIDTH = 5


class Activity(enum.Enum, shape=3):
    """What a layer does in a clock. Every clock is exactly one of these."""

    #: An F event is issued: an input meets a weight of every lane.
    FORWARD = 1
    #: A U event is issued: a weight of every lane is updated.
    UPDATE = 2
    #: The pipeline runs empty: between groups, and before weights are read that were just written.
    GAP = 3
    #: No sample has arrived.
    STALL_INPUT = 4
    #: The errors, or the local errors of the next group, are not made yet.
    STALL_ERROR = 5
    #: The next layer or the reader of results does not keep up.
    STALL_OUTPUT = 6
    #: Initialisation, loading and reading of weights, commands.
    OTHER = 0


#: The counters that share out the clocks: one for each `Activity`.
CLOCK_COUNTERS = tuple(activity.name.lower() for activity in Activity)
#: The performance counters of a layer. Those of the events are `forward` and `update`.
COUNTERS = (
    "cycles",  # clocks since reset: the sum of `CLOCK_COUNTERS`
    *CLOCK_COUNTERS,
    "columns_skipped",  # inputs that were 0, once for each sample
    "updates_skipped",  # training samples that updated nothing: all errors 0, or the rule FROZEN
    "groups_skipped",  # groups of the other training samples whose local errors were all 0
    "weight_reads",  # of weights that exist, by events
    "weight_writes",  # of weights that exist, by events
)


class Command(enum.Enum, shape=2):
    """What to do with a packet of the sample stream."""

    TRAIN = 0
    INFER = 1
    #: Stream all weights out.
    READ = 2
    #: Take all weights from the stream of weights.
    LOAD = 3


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


class Valid(wiring.Signature):
    """What comes without being asked for: `payload` counts in each clock in which `valid` is high.

    There is no back-pressure. `wiring.connect` joins one source to any number of receivers.

    Parameters
    ----------
    shape
        Of the payload.
    """

    def __init__(self, shape: ShapeLike):
        self._shape = shape
        super().__init__({"valid": Out(1), "payload": Out(shape)})

    def __eq__(self, other):
        return isinstance(other, Valid) and other._shape == self._shape

    def create(self, *, path=None, src_loc_at=0):
        """Create an interface, whose payload is also `p`."""
        return ValidInterface(self, path=path, src_loc_at=1 + src_loc_at)

    def __repr__(self):
        return f"Valid({self._shape!r})"


class ValidInterface(wiring.PureInterface):
    """An interface of the signature `Valid`."""

    valid: Signal
    payload: Any

    @property
    def p(self) -> Any:
        """Short for `payload`."""
        return self.payload


class Credit(wiring.Signature):
    """Room for what comes without being asked for, seen from where the room is.

    `space` says that there is room, `reserve` takes it. `reserve` is high only while `space` is.
    """

    def __init__(self):
        super().__init__({"space": Out(1), "reserve": In(1)})


def is_sample(command: ValueLike) -> Value:
    """Tell whether a command comes with inputs."""
    return Value.cast(command) <= Command.INFER.value


def header(classes: int) -> data.StructLayout:
    """Layout of what travels with a packet: the command and the label."""
    return data.StructLayout({"command": Command, "label": range(classes)})


def beat(classes: int, columns: int, width: int) -> data.StructLayout:
    """Layout of one beat of a packet: the header, and `width` activations of `columns`.

    The beats of a sample go through its columns from the first to the last. `gap` is the distance
    from the first column of the beat before to the first of this one; in the first beat of a
    packet, from column 0. So a dense source says 0 and then always `width`, and a source of lists
    puts every activation that is not 0 into a beat of its own, with zeros beside it. Columns that
    no beat brings are 0; `x` beyond the last column must be. A packet ends with `last`.
    """
    return data.StructLayout(
        {
            "header": header(classes),
            "last": 1,
            "gap": range(columns),
            "x": data.ArrayLayout(unsigned(X_WIDTH), width),
        }
    )


def result(classes: int) -> data.StructLayout:
    """Layout of what a layer says of each packet."""
    return data.StructLayout(
        {
            "header": header(classes),
            "prediction": range(classes),
            "correct": 1,
        }
    )


def counters() -> data.StructLayout:
    """Layout of the performance counters of a layer."""
    return data.StructLayout(dict.fromkeys(COUNTERS, Shape.cast(COUNTER_WIDTH)))


def packets(plan: LayerPlan) -> stream.Signature:
    """Signature of a stream of headers, one for each packet."""
    return stream.Signature(header(plan.layer.classes))


def samples(plan: LayerPlan, width: int) -> stream.Signature:
    """Signature of the stream of packets into a layer, `width` activations a beat."""
    return stream.Signature(beat(plan.layer.classes, plan.layer.inputs, width))


def outputs(plan: LayerPlan) -> stream.Signature:
    """Signature of the stream of packets out of a layer, `drain_width` activations a beat."""
    return stream.Signature(beat(plan.layer.classes, plan.layer.neurons, plan.drain_width))


def y_beat(plan: LayerPlan) -> data.ArrayLayout:
    """Layout of the activations of `drain_width` neurons."""
    return data.ArrayLayout(unsigned(X_WIDTH), plan.drain_width)


def activation_beat(plan: LayerPlan) -> data.StructLayout:
    """Layout of a beat of a sample's activations, n ascending, those of missing neurons 0."""
    return data.StructLayout(
        {
            "y": y_beat(plan),
            "last": 1,  # of the sample
            "header": header(plan.layer.classes),
        }
    )


def scores(plan: LayerPlan) -> data.StructLayout:
    """Layout of the scores of all classes, and of the header of their sample."""
    classes = plan.layer.classes
    return data.StructLayout(
        {
            "s": data.ArrayLayout(signed(plan.s_width), classes),
            "header": header(classes),
        }
    )


def errors(plan: LayerPlan) -> data.StructLayout:
    """Layout of the errors of all classes; `update` tells whether they change weights.

    They do if their sample trains and not all of them are 0, unless the rule is FROZEN.
    """
    e = data.ArrayLayout(signed(plan.e_width), plan.layer.classes)
    return data.StructLayout({"e": e, "update": 1})


def gradient_beat(plan: LayerPlan) -> data.StructLayout:
    """Layout of `drain_width` local errors for the lanes, shifted left by lr_max - lr."""
    return data.StructLayout(
        {
            "index": range(plan.beats),
            "g": data.ArrayLayout(signed(plan.update_width), plan.drain_width),
        }
    )


class Gradients(wiring.Signature):
    """What the engine needs to update weights, seen from the local error.

    - `update`: the errors of a sample have been made; the payload tells whether the weights are
      to be updated with them. Local errors come only if they are.
    - `beats`: local errors for the lanes, n ascending: those of one group as soon as possible,
      those of the next group after `advance`.
    - `some`: of those that have come for the present group, not all are 0.
    - `ready`: the last beat of the present group comes within a time that both sides know, or has
      come. `complete`: it has come, so that `some` holds for the group.
    - `advance`: the lanes have accepted the local errors of the group, or have no use for them.
    """

    def __init__(self, plan: LayerPlan):
        super().__init__(
            {
                "update": Out(Valid(unsigned(1))),
                "beats": Out(Valid(gradient_beat(plan))),
                "some": Out(1),
                "ready": Out(1),
                "complete": Out(1),
                "advance": In(1),
            }
        )


class MonitorSignature(wiring.Signature):
    """Taps for verification.

    - `activations`: of each sample, `drain_width` neurons a beat.
    - `scores`: of each sample.
    - `errors`: of each sample, 0 unless it trains.
    - `gradients`: local errors of a sample that updates weights, not shifted, in beats like those
      of `activations`. Those of other samples are 0, or of no use, and do not come.
    """

    def __init__(self, plan: LayerPlan):
        g = data.ArrayLayout(signed(plan.g_width), plan.drain_width)
        super().__init__(
            {
                "activations": Out(Valid(activation_beat(plan))),
                "scores": Out(Valid(scores(plan))),
                "errors": Out(Valid(errors(plan))),
                "gradients": Out(Valid(g)),
            }
        )


class LayerSignature(wiring.Signature):
    """What a layer shows to its surroundings besides the sample streams.

    - `result`: one record for each packet, in order; for a command, when it is done.
    - `lr`, `rule`: the sample learns at the rate 2^-lr by this rule. Both are sampled in the clock
      in which the errors of a training sample are made, before its record comes; to change them
      later does not concern the sample. An `lr` below the plan's `lr_min` acts as `lr_min`, one
      above `lr_max` as `lr_max`.
    - `weights_in`: N (M + 1) weights in the order n, then j, after LOAD.
    - `weights_out`: weights in the same order, after READ; all packets before have been carried
      out.
    - `counters`: see `COUNTERS`.
    - `monitor`: see `MonitorSignature`.
    """

    def __init__(self, plan: LayerPlan):
        weights = stream.Signature(signed(plan.layer.wb))
        super().__init__(
            {
                "result": Out(stream.Signature(result(plan.layer.classes))),
                "lr": In(LR_WIDTH),
                "rule": In(Rule),
                "weights_in": In(weights),
                "weights_out": Out(weights),
                "counters": Out(counters()),
                "monitor": Out(MonitorSignature(plan)),
            }
        )
