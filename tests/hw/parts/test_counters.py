# SPDX-License-Identifier: BSD-2-Clause
"""The counters against plain Python."""

import random

from hw.parts.counters import Counters
from hw.ports import CLOCK_COUNTERS, COUNTERS, Activity
from tests.hw.bench import plan, simulate

EVENTS = (Activity.FORWARD, Activity.UPDATE)


def test_counts():
    """Every counter in every clock, each two clocks after what it counts."""
    rng = random.Random(1)
    dut = Counters(plan=plan(inputs=9, lanes=6))
    counts = [dict.fromkeys(COUNTERS, 0)]

    async def bench(ctx):
        for clock in range(500):
            activity, weights = rng.choice(list(Activity)), rng.randint(1, 6)
            columns, update, group = (rng.choice([0, 0, n]) for n in (rng.randint(1, 9), 1, 1))
            work = {"activity": activity, "weights": weights}
            ctx.set(dut.work, {**work, "update_skipped": update, "group_skipped": group})
            ctx.set(dut.columns_skipped, columns)
            if clock >= 2:
                values = ctx.get(dut.values)
                assert {name: values[name] for name in COUNTERS} == counts[clock - 1]
            now = dict(counts[-1])
            now["cycles"] += 1
            now[activity.name.lower()] += 1
            now["columns_skipped"] += columns
            now["updates_skipped"] += update
            now["groups_skipped"] += group
            now["weight_reads"] += weights * (activity in EVENTS)
            now["weight_writes"] += weights * (activity is Activity.UPDATE)
            counts.append(now)
            await ctx.tick()
        last = counts[-1]
        assert last["cycles"] == 500 == sum(last[name] for name in CLOCK_COUNTERS)

    simulate(dut, bench)
