# SPDX-License-Identifier: BSD-2-Clause
"""The clocks of a training step, before any simulation: they depend on how much is not 0."""

from dataclasses import dataclass

from golden.data_spec import NONZERO
from golden.spec import NetworkSpec

from .engine import engine, event_lists, lane, mac_array, output_stage
from .local_error import classifier, feedback, trained_classifier
from .local_error.gradient_sender import spare
from .local_error.local_error import error_latency
from .plan import LayerPlan
from .primitives import ECP5

__all__ = ["ACTIVATIONS", "DENSE", "UPDATES", "Density", "step_clocks", "typical", "wait_clocks"]

#: Clocks in which the sums of a group are cleared before its first event.
CLEAR = 1
#: Clocks from the last event of a group in its list to its first activation.
DELAY = event_lists.latency(ECP5) + mac_array.latency(ECP5)
#: Clocks that an activation takes through the output stage.
OUTPUT = 2
#: Clocks between local errors and the decision that they are not 0.
SEEN = 2
#: Clocks for which local errors may come after the event that needs them.
LEAD = engine.lead(ECP5)
#: Clocks from the last update until the sums of the next sample may be cleared.
SETTLE = lane.write_to_read(ECP5) - 1 - CLEAR
#: Share of the activations of a layer that are not 0, and of the samples that update weights: what
#: is seen once a network has been trained for a while.
ACTIVATIONS, UPDATES = 0.3, 0.5


@dataclass(frozen=True)
class Density:
    """What share of the work there is.

    Parameters
    ----------
    inputs
        Share of the network's inputs that are not 0.
    activations
        Share of each layer's activations that are not 0.
    updates
        Share of the samples for which not all errors of a layer are 0.
    """

    inputs: float
    activations: float
    updates: float

    def __str__(self) -> str:
        return (
            f"{self.inputs:.0%} of the inputs and {self.activations:.0%} of the activations are "
            f"not 0, {self.updates:.0%} of the samples update"
        )


#: Nothing is 0.
DENSE = Density(1, 1, 1)


def typical(spec: NetworkSpec) -> Density:
    """Expect what is typical of the data that a description names.

    Other data than the project's have no 0 among their inputs, as far as is known here.
    """
    named = spec.data.source if spec.data and spec.data.path is None else ""
    return Density(NONZERO.get(named, 1), ACTIVATIONS, UPDATES)


def step_clocks(plan: LayerPlan, density: Density) -> float:
    """Count the clocks of a training step, on the average, of a layer that nothing keeps waiting.

    Its list goes past every group of lanes. Then the last group leaves the lanes, is classified,
    and the errors are made. If they update weights, the local errors come back, and the list goes
    past every group that has some which is not 0. The next sample begins when the last weight that
    was written may be read.
    """
    layer, groups = plan.layer, plan.groups
    share = density.activations if layer.index else density.inputs
    events = 1 + layer.inputs * share
    # A group waits for the one before to be drained, and for room for its own activations, which
    # those of a few groups before have left.
    period = max(CLEAR + events, plan.drain_span)
    stay = events + DELAY + plan.beats + OUTPUT
    rounds, others = divmod(groups - 1, output_stage.GROUPS)
    forward = CLEAR + events + others * period + rounds * max(output_stage.GROUPS * period, stay)
    updates = 0 if layer.rule == "frozen" else density.updates
    judged = _judged_clocks(plan, density, forward, events)
    return forward + judged + updates * (_update_clocks(plan, events, density) + SETTLE)


def wait_clocks(plan: LayerPlan, density: Density) -> float:
    """Count the clocks of a step from its last input to its first update, of a single group."""
    judged = _judged_clocks(plan, density, float("inf"), float("inf"))
    return judged + _returned_clocks(plan, density)[0]


def _judged_clocks(plan: LayerPlan, density: Density, forward: float, events: float) -> float:
    """Count the clocks from the last event of a list, after `forward` clocks, to its errors."""
    drained = DELAY + plan.drain_span + OUTPUT
    if not plan.trained:
        return drained + classifier.latency(plan) + error_latency(plan)
    beat = plan.trained.mean_clocks(density.activations)
    # Beats of a group come faster than they are gone through; those of another group may still
    # wait, or the update of the sample before may go on, for all of its beats.
    late = plan.beats * (beat - 1) + (plan.groups - 1) * max(plan.beats * beat - events, 0)
    updated = density.updates * plan.sample_beats * beat - events - SETTLE
    late = max(late, updated + plan.sample_beats * beat - forward - drained, 0)
    return drained + late + trained_classifier.score_latency(plan, ECP5) + error_latency(plan)


def _returned_clocks(plan: LayerPlan, density: Density) -> tuple[float, float]:
    """Count the clocks from errors to the first event that updates a group.

    And those that a group takes before, in which no neuron is active.
    """
    if plan.trained:
        beat = plan.trained.mean_clocks(density.activations)
        latency, begun = trained_classifier.feedback_latency(plan, ECP5), 1
    else:
        beat, latency, begun = 1, feedback.latency(plan), 0
    delay = latency + spare(latency, LEAD)
    first = begun + max(plan.beats * beat + max(delay - LEAD, 1), delay + SEEN)
    return first, begun + plan.beats * beat + delay + SEEN


def _update_clocks(plan: LayerPlan, events: float, density: Density) -> float:
    """Count the clocks from the errors of a sample to its last update.

    The local errors of a group are made while the group before is updated.
    """
    zeros = 1 - density.activations
    rest = plan.layer.neurons - (plan.groups - 1) * plan.lanes
    # Groups in which at least one neuron is active, and for each of them those in which none is.
    updated = (plan.groups - 1) * (1 - zeros**plan.lanes) + 1 - zeros**rest
    # Of no group, the list may go past for its fields alone.
    alone = zeros**plan.layer.neurons * events if plan.drawn_bits else 0
    if not updated:
        return alone
    skipped = plan.groups / updated - 1
    returned, passed = _returned_clocks(plan, density)
    returned += skipped * passed
    return returned + (updated - 1) * max(events, returned) + events + alone
