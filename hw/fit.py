# SPDX-License-Identifier: BSD-2-Clause
"""The lanes of each layer, chosen so that a device is used as well as it can be.

All layers work at the same time, so that a network is as fast as its slowest layer. More lanes make
a layer faster and take more of the device. What is looked for is the fewest clocks of the slowest
layer for which all layers together still fit, and for as many clocks, or hardly more, the fewest
LUTs: that leaves out lanes of no use, and those in numbers whose activations can only be drained
many at once.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from golden.errors import shown
from golden.layer_spec import FORMATS, LayerSpec
from golden.spec import NetworkSpec

from .cells import layer_cells, link_cells, list_cells
from .clocks import Density, step_clocks, typical
from .devices import BOARDS, Resources, device
from .network_plan import PIXELS, NetworkPlan
from .plan import LayerPlan, PlanError
from .search import Choice, Search
from .trained_plan import choices

__all__ = ["GIVEN", "LUT_SHARE", "SLACK", "Fit", "FitError", "fit"]

#: Share of the LUTs of a device that may be used; place and route need the rest to find their way.
LUT_SHARE = 0.85
#: Clocks of the slowest layer over the fewest possible, for the sake of fewer LUTs.
SLACK = 1.02
#: How much faster a network would have to be for it to be of interest what it would take.
FASTER = 1.1
#: Numbers of multipliers of a trained classifier that are tried, from the usual one down.
V_CHOICES = 4
#: Why a layer has no more lanes than the description gives it.
GIVEN = "given"


class FitError(PlanError):
    """Nothing fits the board; `lacking` says what there is too little of."""

    def __init__(self, text: str, lacking: str):
        super().__init__(text)
        self.lacking = lacking


@dataclass(frozen=True)
class Fit:
    """The lanes that were chosen.

    Parameters
    ----------
    spec
        The description, with a number of lanes in every layer.
    limits
        Of each layer, why it has no more lanes.
    """

    spec: NetworkSpec
    limits: tuple[str, ...]


def fit(spec: NetworkSpec, density: Density | None = None) -> Fit:
    """Choose the lanes of the layers that have none, for the board that a description is meant for.

    Parameters
    ----------
    spec
        The description. Lanes that it gives are kept.
    density
        What share of the work there is; by default what is typical of the data.

    Raises
    ------
    PlanError
        If there is no such board, no such hardware, or nothing that fits.
    """
    room = device(spec)
    if all(layer.lanes for layer in spec.layers):
        NetworkPlan(spec)
        return Fit(spec, (GIVEN,) * len(spec.layers))
    # Has an error for what no number of lanes would mend.
    NetworkPlan(_with(spec, [(layer.lanes or 1, layer.v_lanes) for layer in spec.layers]))

    density = density or typical(spec)
    search = _search(spec, density, room)
    bound = search.fastest()
    best = None if bound is None else search.within(SLACK * bound)
    if bound is None or best is None:
        raise _refusal(spec, density, search)
    chosen = _with(spec, [(choice.lanes, choice.v_lanes) for choice in best])
    NetworkPlan(chosen)
    return Fit(chosen, tuple(_limits(spec, search, bound, best)))


def _with(spec: NetworkSpec, lanes: Iterable[tuple[int, int | None]]) -> NetworkSpec:
    """Give the layers of a description their lanes, and those of their classifiers."""
    layers = tuple(
        replace(layer, lanes=count, v_lanes=v_count)
        for layer, (count, v_count) in zip(spec.layers, lanes, strict=True)
    )
    return replace(spec, layers=layers)


def _search(spec: NetworkSpec, density: Density, room: Resources) -> Search:
    """Find what lanes each layer may have on a device, and what they come to."""
    options = []
    spare = room.dsp - sum(layer.lanes or 1 for layer in spec.layers)
    for layer in spec.layers:
        most = min(layer.neurons, FORMATS["lanes"][1])
        # Those that there are, and the most that are of use: if they are short, that shows.
        some = min(most, max(spare, 0) + 1)
        counts = [layer.lanes] if layer.lanes else {*range(1, some + 1), most}
        options.append(
            [
                choice
                for lanes in sorted(counts)
                for choice in _choices(spec, replace(layer, lanes=lanes), density)
            ]
        )
    base = link_cells(spec) + list_cells(min(PIXELS, spec.inputs))
    return Search(options, base, replace(room, lut=int(LUT_SHARE * room.lut)))


def _choices(spec: NetworkSpec, layer: LayerSpec, density: Density) -> Iterator[Choice]:
    """Give what a layer with its lanes may come to, if there is a choice left."""
    plan = LayerPlan(layer, spec.lr_growth)
    for v_lanes in _v_lanes(plan):
        plan = LayerPlan(replace(layer, v_lanes=v_lanes), spec.lr_growth)
        cells = layer_cells(plan)
        if layer.index != len(spec.layers) - 1:
            # What comes out of a layer decides how wide the input of the next is.
            cells += list_cells(plan.drain_width)
        yield Choice(plan.lanes, step_clocks(plan, density), cells, v_lanes)


def _v_lanes(plan: LayerPlan) -> Sequence[int | None]:
    """Give the multipliers that a layer's classifier may have, if that is trained."""
    layer, trained = plan.layer, plan.trained
    if trained is None or layer.v_lanes:
        return [layer.v_lanes]
    sizes = {
        other.multipliers
        for other in choices(layer.classes, plan.drain_width, plan.sample_beats)
        if other.multipliers <= trained.multipliers
    }
    return sorted(sizes)[-V_CHOICES:]


def _limits(
    spec: NetworkSpec, search: Search, bound: float, best: Sequence[Choice]
) -> Iterator[str]:
    """Say for each layer why it has no more lanes; no network that fits is below `bound`."""
    faster = [other for other in search.bounds if FASTER * other <= bound]
    if faster:
        limit = ", ".join(search.short(faster[-1]))
        slowest = [i for i, choice in enumerate(best) if choice.clocks >= bound]
    else:
        limit = "as fast as can be"
        slowest = [i for i in range(len(best)) if FASTER * search.floor(i) > bound]
    for i, layer in enumerate(spec.layers):
        if layer.lanes:
            yield GIVEN
        else:
            yield limit if i in slowest else f"layer {slowest[0]} is slower"


def _refusal(spec: NetworkSpec, density: Density, search: Search) -> FitError:
    """Say what is short, by how much, and what to do."""
    lacking = ", ".join(
        f"{needed:,} {name} of {there:,}, {needed - there:,} too many"
        for name, (needed, there) in search.short().items()
    )
    mends = ["fewer neurons, inputs or layers"]
    if any(layer.lanes for layer in spec.layers):
        mends.insert(0, "fewer lanes where they are given")
    sizes = list(BOARDS[spec.board])
    for size in sizes[sizes.index(spec.size) + 1 :]:
        if _search(spec, density, BOARDS[spec.board][size]).fastest():
            mends.insert(0, f"size {size}")
            break
    return FitError(
        f"{shown(spec.path)}: lanes: no number of them makes the network fit {spec.board} "
        f"{spec.size}: it takes at least {lacking}; take {' or '.join(mends)}",
        lacking,
    )
