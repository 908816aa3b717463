# SPDX-License-Identifier: BSD-2-Clause
"""Payloads and interfaces that more than one component speaks."""

from collections.abc import Iterable
from typing import Any

from amaranth.hdl import Shape, ShapeLike, Signal, Value, signed, unsigned
from amaranth.lib import data, enum, stream, wiring
from amaranth.lib.wiring import In, Out

from .plan import INPUT_WIDTH, LayerPlan

__all__ = [
    "CLOCK_COUNTERS",
    "COUNTERS",
    "HEALTH",
    "HEALTH_TOTALS",
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
    "counted",
    "counter_names",
    "counters",
    "errors",
    "gradient_beat",
    "has_left",
    "header",
    "is_sample",
    "margin",
    "output_beat",
    "outputs",
    "packets",
    "result",
    "samples",
    "scores",
    "trains",
    "update_counts",
    "y_beat",
]

#: Bits of an activation and of an input pixel.
X_WIDTH = INPUT_WIDTH
#: Bits of each counter.
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
    #: Initialisation, loading and reading of weights, commands; and fields of stochastic rounding
    #: that are drawn though no group is updated.
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
#: Counter of a layer below which samples may leave, behind the others.
LEFT = "left"  # samples that did, and have cost the layer nothing
#: The health counters of a layer that has them, named as in `golden.health`. They are right when
#: all that came before has been carried out, such as at the record of a READ. These count on from
#: reset:
HEALTH_TOTALS = (
    "samples",  # training samples
    "no_error",  # of them, those whose errors are all 0
    "saturated",  # of their activations, those at their upper end
    "updates",  # weights to change: neither local error nor input is 0
    "updates_lost",  # of them, those whose change was rounded to 0
)
HEALTH = (
    *HEALTH_TOTALS,
    "at_limit",  # weights of the last READ that are the lowest or the highest that there is
    "dead",  # neurons without an activation in the training samples from the last READ before them
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
    """Which weights carry the class errors back to the neurons (contract, "rule").

    A layer whose classifier is trained knows two of them: TLC, which SCFB and RANDOM act as, and
    FROZEN, by which the classifier stays what it is as well.
    """

    SYM = 0
    #: Those of the classifier carry them back, as in SYM.
    TLC = 0
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


def is_sample(header: data.View) -> Value:
    """Tell whether a packet of this header comes with inputs."""
    sample = Value.cast(header.command) <= Command.INFER.value
    return sample & ~header.left if has_left(header) else sample


def trains(header: data.View) -> Value:
    """Tell whether a sample of this header trains."""
    return Value.cast(header.command) == Command.TRAIN.value


def has_left(header: data.View) -> bool:
    """Tell whether headers have the bit `left`."""
    return "left" in dict(header.shape())


def header(plan: LayerPlan) -> data.StructLayout:
    """Layout of what travels with a packet through a layer: the command and the label.

    Above a layer that samples leave there is `left` too: the packet is an INFER that has left, one
    beat, whose inputs are of no matter.
    """
    return _header(plan, plan.layer.exits_below)


def _header(plan: LayerPlan, left: bool) -> data.StructLayout:
    fields = {"command": Command, "label": range(plan.layer.classes)}
    return data.StructLayout({**fields, "left": 1} if left else fields)


def beat(header: data.StructLayout, columns: int, width: int) -> data.StructLayout:
    """Layout of one beat of a packet: the header, and `width` activations of `columns`.

    The beats of a sample go through its columns from the first to the last. `gap` is the distance
    from the first column of the beat before to the first of this one; in the first beat of a
    packet, from column 0. So a dense source says 0 and then always `width`, and a source of lists
    puts every activation that is not 0 into a beat of its own, with zeros beside it. Columns that
    no beat brings are 0; `x` beyond the last column must be. A packet ends with `last`.
    """
    return data.StructLayout(
        {
            "header": header,
            "last": 1,
            "gap": range(columns),
            "x": data.ArrayLayout(unsigned(X_WIDTH), width),
        }
    )


def result(plan: LayerPlan) -> data.StructLayout:
    """Layout of what a layer says of each packet.

    A layer that samples leave says their `margin`, the largest score less the second largest. Of a
    packet that is no sample for the layer, `prediction`, `correct` and `margin` are 0.
    """
    fields = {
        "header": header(plan),
        "prediction": range(plan.layer.classes),
        "correct": 1,
    }
    return data.StructLayout(
        fields if plan.layer.margin is None else {**fields, "margin": plan.s_width}
    )


def margin(plan: LayerPlan) -> Valid:
    """Signature of the margins of samples that are inferred, in order."""
    return Valid(unsigned(plan.s_width))


def counted(plan: LayerPlan) -> tuple[str, ...]:
    """Name the performance counters of a layer."""
    return (*COUNTERS, LEFT) if plan.layer.exits_below else COUNTERS


def counter_names(plan: LayerPlan) -> tuple[str, ...]:
    """Name all counters of a layer, in their order."""
    return (*counted(plan), *(HEALTH if plan.layer.health else ()))


def counters(names: Iterable[str]) -> data.StructLayout:
    """Layout of counters of these names."""
    return data.StructLayout(dict.fromkeys(names, Shape.cast(COUNTER_WIDTH)))


def update_counts(plan: LayerPlan) -> data.StructLayout:
    """Layout of the weights that are to change, and of those whose change is rounded to 0.

    They are those of two U events, one some clocks after the other.
    """
    return data.StructLayout(dict.fromkeys(("made", "lost"), Shape.cast(range(plan.lanes + 1))))


def packets(plan: LayerPlan) -> stream.Signature:
    """Signature of a stream of headers, one for each packet."""
    return stream.Signature(header(plan))


def samples(plan: LayerPlan, width: int) -> stream.Signature:
    """Signature of the stream of packets into a layer, `width` activations a beat."""
    return stream.Signature(beat(header(plan), plan.layer.inputs, width))


def output_beat(plan: LayerPlan) -> data.StructLayout:
    """Layout of a beat of packets out of a layer, `drain_width` activations."""
    return beat(_header(plan, plan.layer.exits), plan.layer.neurons, plan.drain_width)


def outputs(plan: LayerPlan) -> stream.Signature:
    """Signature of the stream of packets out of a layer."""
    return stream.Signature(output_beat(plan))


def y_beat(plan: LayerPlan) -> data.ArrayLayout:
    """Layout of the activations of `drain_width` neurons."""
    return data.ArrayLayout(unsigned(plan.layer.yb), plan.drain_width)


def activation_beat(plan: LayerPlan) -> data.StructLayout:
    """Layout of a beat of a sample's activations, n ascending, those of missing neurons 0."""
    return data.StructLayout(
        {
            "y": y_beat(plan),
            "last": 1,  # of the sample
            "header": header(plan),
        }
    )


def scores(plan: LayerPlan) -> data.StructLayout:
    """Layout of the scores of all classes, and of the header of their sample."""
    return data.StructLayout(
        {
            "s": data.ArrayLayout(signed(plan.s_width), plan.layer.classes),
            "header": header(plan),
        }
    )


def errors(plan: LayerPlan) -> data.StructLayout:
    """Layout of the errors of all classes; `update` tells whether they change weights.

    They do if their sample trains and not all of them are 0, unless the rule is FROZEN.
    """
    e = data.ArrayLayout(signed(plan.e_width), plan.layer.classes)
    return data.StructLayout({"e": e, "update": 1})


def gradient_beat(plan: LayerPlan) -> data.StructLayout:
    """Layout of `drain_width` local errors for the lanes, shifted left: see `Gradients`."""
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
    - `left`: by how much the updates of the last sample that updates are shifted left, lr_max - lr;
      it counts from the clock after its `update`. Local errors are by what inputs cannot be.
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
                "left": Out(plan.left_shape),
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
    - `threshold`: samples that are inferred leave after the layer if their margin is at least this,
      `plan.never` being more than any. It is sampled in the clock in which the record of the sample
      is first shown. Only layers whose description has a `margin` have it.
    - `weights_in`: N (M + 1) weights in the order n, then j, after LOAD. If the classifier is
      trained, its N C weights follow, in the order n, then c.
    - `weights_out`: weights in the same order, after READ; all packets before have been carried
      out.
    - `counters`: see `counter_names`.
    - `monitor`: see `MonitorSignature`.
    """

    def __init__(self, plan: LayerPlan):
        weights = stream.Signature(signed(plan.word_width))
        threshold = {} if plan.layer.margin is None else {"threshold": In(plan.s_width)}
        super().__init__(
            {
                "result": Out(stream.Signature(result(plan))),
                "lr": In(LR_WIDTH),
                "rule": In(Rule),
                **threshold,
                "weights_in": In(weights),
                "weights_out": Out(weights),
                "counters": Out(counters(counter_names(plan))),
                "monitor": Out(MonitorSignature(plan)),
            }
        )
