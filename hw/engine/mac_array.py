# SPDX-License-Identifier: BSD-2-Clause
"""The streaming MAC array: all lanes of a layer, as a systolic chain of clusters."""

from collections.abc import Sequence
from itertools import pairwise

from amaranth.hdl import Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..parts.pipeline import delayed
from ..plan import LayerPlan
from ..ports import Valid, ValidInterface, gradient_beat, update_counts, y_beat
from ..primitives import Primitives
from .cluster import Cluster
from .draws import Draws
from .events import event
from .lane import Schedule, control
from .update_counts import UpdateCounts

__all__ = ["MacArray", "accept_delay", "latency"]


def latency(primitives: Primitives) -> int:
    """Count the clocks through the first cluster: its registers, a lane, and the way out."""
    return 1 + Schedule(primitives).result + 1


def accept_delay(primitives: Primitives) -> int:
    """Clocks by which the last local errors of a group may come after its first U event."""
    # The event passes a register on its way to the lanes, a local error two.
    return 1 + Schedule(primitives).fields["accept"] - 2


class MacArray(wiring.Component):
    """Computes `lanes` neurons at once, and updates their weights, by one event a clock.

    - `event`: for all lanes. The last F events of two groups are at least `plan.drain_span`
      apart, and `clear` comes between them. An F event comes at least `lane.write_to_read` clocks
      after any U event and any move, a load or a read of an address at least `lane.reload` after
      a U event or a load of it.
    - `left`: see `hw.ports.Gradients`.
    - `g`: local errors of the next group; the last may come `accept_delay` clocks after the event
      that accepts them, the first of the group after it only later than that.
    - `y`: activations of a group after its last F event, `plan.beats` beats of
      `plan.drain_width` neurons.
    - `weight`: weights that were read, in order.
    - `updates`: see `hw.ports.update_counts`; only if the layer counts its health.

    Parameters
    ----------
    plan
        Dimensions of the layer.
    primitives
        Where memories and multipliers come from.
    """

    event: data.View
    left: Signal
    g: ValidInterface
    y: ValidInterface
    weight: ValidInterface
    updates: data.View

    def __init__(self, *, plan: LayerPlan, primitives: Primitives):
        self.plan = plan
        self.primitives = primitives
        #: Clocks from the last F event of a group to the first beat of its activations.
        self.delay = latency(primitives)
        super().__init__(
            {
                "event": In(event(plan)),
                "left": In(plan.left_shape),
                "g": In(Valid(gradient_beat(plan))),
                "y": Out(Valid(y_beat(plan))),
                "weight": Out(Valid(signed(plan.layer.wb))),
                **({"updates": Out(update_counts(plan))} if plan.layer.health else {}),
            }
        )

    def elaborate(self, platform):
        m = Module()
        clusters = [
            Cluster(plan=self.plan, index=index, primitives=self.primitives)
            for index in range(len(self.plan.clusters))
        ]
        for index, cluster in enumerate(clusters):
            m.submodules[f"cluster{index}"] = cluster
        for before, behind in pairwise(clusters):
            m.d.comb += behind.control_i.eq(before.control_o)
            wiring.connect(m, before.g_o, behind.g_i)
            wiring.connect(m, before.weight_o, behind.weight_i)
            wiring.connect(m, behind.y_o, before.y_i)

        first, last = clusters[0], clusters[-1]
        m.d.comb += first.control_i.eq(self._control(m))
        wiring.connect(m, wiring.flipped(self.g), first.g_i)
        wiring.connect(m, first.y_o, wiring.flipped(self.y))
        wiring.connect(m, last.weight_o, wiring.flipped(self.weight))
        if self.plan.layer.health:
            self._count(m, clusters)
        return m

    def _count(self, m: Module, clusters: Sequence[Cluster]):
        """Count the updates that are made and, from cluster to cluster, those that are lost."""
        do, last = self.event, clusters[-1]
        for before, behind in pairwise(clusters):
            m.d.comb += behind.lost_i.eq(before.lost_o)
        m.submodules.made = made = UpdateCounts(
            plan=self.plan, accept=Schedule(self.primitives).fields["accept"]
        )
        wiring.connect(m, wiring.flipped(self.g), made.g)
        # A write is no update if it is a load, of which no lane says that it is lost.
        written = delayed(m, last.control_o.write, last.lost_delay)
        m.d.comb += [
            made.accept.eq(do.accept),
            made.update.eq(do.update),
            self.updates.made.eq(made.o),
            self.updates.lost.eq(Mux(written, last.lost_o, 0)),
        ]

    def _control(self, m: Module) -> data.View:
        """Hold each part of an event back until it is due."""
        schedule, do = Schedule(self.primitives), self.event
        late = ~do.forward
        largest = Const((1 << self.plan.layer.wb - 1) - 1, self.plan.layer.wb)
        # F events come long enough after all others that none is read late in their clock.
        addr = delayed(m, Mux(late, do.addr, 0), schedule.late_read)
        causes = {
            "read_addr": Mux(do.forward, do.addr, addr),
            "accept": do.accept,
            "forward": do.forward,
            "x": self._operand(m, do),
            "lane": do.lane,
            "load": do.load,
            "clear": do.clear,
            "accumulate": do.forward,
            "limit": Mux(do.load, do.word, largest),
            "capture": do.forward & do.last,
            "read": do.read,
            "write": do.update | do.load,
        }
        controls = Signal(control(self.plan))
        m.d.comb += [
            controls[name].eq(delayed(m, cause, schedule.fields[name]))
            for name, cause in causes.items()
        ]
        if self.plan.drawn_bits:
            m.submodules.draws = draws = Draws(plan=self.plan)
            m.d.comb += [draws.left.eq(self.left), controls.below.eq(~draws.o)]
            for name in "draw", "first", "again":
                # A clock before the field is due.
                due = delayed(m, do[name], schedule.fields["below"] - 1)
                m.d.comb += getattr(draws, name).eq(due)
        rest = schedule.fields["write_addr"] - schedule.late_read
        m.d.comb += controls.write_addr.eq(delayed(m, addr, rest))
        return controls

    def _operand(self, m: Module, do: data.View) -> Value:
        """Shift the input of a U event left by what its local error is not; see `Gradients`."""
        most = self.plan.x_growth
        if not most:
            return do.x
        left = Signal(range(most + 1))
        m.d.sync += left.eq(Mux(self.left > most, most, self.left))
        return do.x << Mux(do.update, left, 0)
