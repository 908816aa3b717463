# SPDX-License-Identifier: BSD-2-Clause
"""The clocks of a training step, before any simulation: they depend on how much is not 0."""

from dataclasses import dataclass

from golden.data_spec import NONZERO
from golden.spec import NetworkSpec

from .engine import engine, event_lists, lane, mac_array, output_stage
from .local_error import classifier, feedback
from .local_error.error_unit import ErrorUnit
from .plan import LayerPlan
from .primitives import ECP5

__all__ = ["ACTIVATIONS", "DENSE", "UPDATES", "Density", "step_clocks", "typical"]

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
    judged = DELAY + plan.drain_span + OUTPUT + classifier.latency(plan) + ErrorUnit.delay
    updates = 0 if layer.rule == "frozen" else density.updates
    return forward + judged + updates * (_update_clocks(plan, events, density) + SETTLE)


def _update_clocks(plan: LayerPlan, events: float, density: Density) -> float:
    """Count the clocks from the errors of a sample to its last update.

    The local errors of a group are made while the group before is updated.
    """
    zeros = 1 - density.activations
    rest = plan.layer.neurons - (plan.groups - 1) * plan.lanes
    # Groups in which at least one neuron is active, and for each of them those in which none is.
    updated = (plan.groups - 1) * (1 - zeros**plan.lanes) + 1 - zeros**rest
    if not updated:
        return 0
    skipped = plan.groups / updated - 1
    delay = feedback.latency(plan) + feedback.spare(plan, LEAD)
    returned = max(plan.beats + max(delay - LEAD, 1), delay + SEEN)
    returned += skipped * (plan.beats + delay + SEEN)
    return returned + (updated - 1) * max(events, returned) + events
