# SPDX-License-Identifier: BSD-2-Clause
"""The lane against plain Python, its controls given as the schedule says, events in any order."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from hw.engine.lane import Lane, Schedule, reload, write_to_read
from hw.primitives import PORTABLE
from tests.hw.bench import Extremes, Twin, plans, simulate

SCHEDULE = Schedule(PORTABLE)


class Script:
    """What is set and what is seen, clock by clock."""

    def __init__(self):
        self.inputs, self.seen = {}, {}

    def control(self, slot, **fields):
        """Give the parts of an event that is issued in a slot."""
        for name, value in fields.items():
            self.inputs.setdefault(slot + SCHEDULE.fields[name], {})[name] = value

    def input(self, clock, **values):
        self.inputs.setdefault(clock, {}).update({f"port {n}": v for n, v in values.items()})

    def see(self, clock, **values):
        self.seen.setdefault(clock, {}).update(values)


@given(plan=plans(lanes=st.just(1)), seed=st.integers(0, 2**32))
@settings(deadline=None, max_examples=40)
def test_events(plan, seed):
    """F, U, loads and moves in any order, one a clock; sums and new weights, in their clocks."""
    rng = random.Random(seed)
    draw, script = Extremes(plan, rng), Script()
    largest = (1 << plan.layer.wb - 1) - 1
    twin, g, next_g = Twin(plan, [[0]]), 0, 0
    late = set()  # clocks in which the weights of U events come
    events, y = 0, 0  # since the sums were cleared; the activation that is shown
    loaded_g = 0
    for slot in range(120):
        kind = rng.choice(["forward", "forward", "update", "update", "load", "move", "clear", ""])
        if kind == "forward" and (events == plan.layer.inputs or slot + SCHEDULE.operand in late):
            kind = "clear"
        x, w = draw.x(), draw.weight()
        if kind == "clear":
            script.control(slot, clear=1)
            twin.clear()
            events = 0
        elif kind == "forward":
            events += 1
            script.control(slot, forward=1, x=x, accumulate=1)
            script.input(slot + SCHEDULE.operand, weight=w)
            twin.weights = [[w]]
            twin.forward(0, x)
            if rng.random() < 0.3:
                script.control(slot, capture=1)
                y = twin.activations()[0]
        elif kind:
            late.add(slot + SCHEDULE.product)
            script.input(slot + SCHEDULE.product, weight=w)
            twin.weights = [[w]]
            word, lost = largest, [False]
            if kind == "update":
                # Not sooner than the one before has been accepted, and just in time.
                accept = slot + SCHEDULE.fields["accept"]
                if accept > loaded_g and rng.random() < 0.7:
                    next_g, loaded_g = draw.g(), rng.randint(loaded_g, accept - 1)
                    script.input(loaded_g, g=next_g, g_load=1)
                    script.control(slot, accept=1)
                    g, loaded_g = next_g, accept
                x <<= rng.randint(0, plan.x_growth)
                half = rng.randrange(1 << plan.drawn_bits) if plan.drawn_bits else None
                if plan.drawn_bits:
                    script.control(slot, below=(1 << plan.drawn_bits) - 1 - half)
                lost = twin.update(0, x, [g], half)
            else:
                x = 0
                if kind == "load":
                    word = draw.weight()
                    twin.weights = [[word]]
                    script.input(slot + SCHEDULE.fields["load"], load=1)
            script.control(slot, x=x, limit=word & (2 * largest + 1))
            script.see(slot + SCHEDULE.result, updated=twin.weights[0][0])
            if plan.layer.health:
                script.see(slot + SCHEDULE.result, lost=lost[0])
        script.see(slot + SCHEDULE.result, y=y)
    run(plan, script, rng, largest)


def run(plan, script, rng, largest):
    dut = Lane(plan=plan, primitives=PORTABLE)
    draw = Extremes(plan, rng)

    async def bench(ctx):
        for clock in range(max(script.seen) + 1):
            now = {"limit": largest, **script.inputs.get(clock, {})}
            ctx.set(dut.control, {n: v for n, v in now.items() if not n.startswith("port ")})
            for name in "weight", "g":
                # Where none is due, anything stands there.
                other = draw.weight() if name == "weight" else draw.g()
                ctx.set(getattr(dut, name), now.get(f"port {name}", other))
            for name in "load", "g_load":
                ctx.set(getattr(dut, name), now.get(f"port {name}", 0))
            seen = {name: ctx.get(getattr(dut, name)) for name in script.seen.get(clock, {})}
            assert seen == script.seen.get(clock, {}), clock
            await ctx.tick()

    simulate(dut, bench)


def test_distances():
    """A weight may be read 9 clocks after its U event was issued, and in the next after a write."""
    assert write_to_read(PORTABLE) == SCHEDULE.result + 1 == 9
    assert reload(PORTABLE) == SCHEDULE.result - SCHEDULE.late_read + 1 == 6
    assert all(clock >= 0 for clock in SCHEDULE.fields.values())
