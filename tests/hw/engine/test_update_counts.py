# SPDX-License-Identifier: BSD-2-Clause
"""The update counts against plain Python, local errors coming as late and as early as they may."""

import random

import pytest

from hw.engine.update_counts import UpdateCounts
from tests.hw.bench import plan, simulate


@pytest.mark.parametrize("lanes", [1, 8, 17, 34])
@pytest.mark.parametrize("accept", [0, 1, 3])
def test_counts(lanes, accept):
    """In every clock, that of the event `delay` clocks ago."""
    rng = random.Random(lanes + accept)
    p = plan(neurons=3 * lanes, lanes=lanes, health=True)
    dut = UpdateCounts(plan=p, accept=accept)
    beats, events, expected, free = {}, {}, {}, 0
    while len(events) < 60:
        g = [rng.choice([0, 0, -1, 5, 1 << p.update_width - 2]) for _ in range(lanes)]
        # The last beat is the last that the event still accepts, or has come before.
        first = free + rng.choice([0, 0, 3])
        clock = max(first + p.beats - accept, max(events, default=-1) + 1) + rng.choice([0, 0, 2])
        for index in range(p.beats):
            beats[first + index] = {
                "index": index,
                "g": g[index * p.drain_width :][: p.drain_width],
            }
        free = clock + accept
        for place in range(rng.randint(1, 4)):
            events[clock + place] = {"update": 1, "accept": place == 0}
            expected[clock + place + dut.delay] = sum(error != 0 for error in g)

    async def bench(ctx):
        for clock in range(max(expected) + 3):
            ctx.set(dut.g.valid, clock in beats)
            ctx.set(dut.g.p, beats.get(clock, {"g": [1] * p.drain_width}))
            for name in "update", "accept":
                ctx.set(getattr(dut, name), events.get(clock, {}).get(name, 0))
            assert ctx.get(dut.o) == expected.get(clock, 0), clock
            await ctx.tick()

    simulate(dut, bench)
    assert len(set(expected.values())) > 1
