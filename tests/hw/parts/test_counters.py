# SPDX-License-Identifier: BSD-2-Clause
"""The counters against plain Python."""

import random

from hw.parts.counters import Activity, Counters
from tests.hw.bench import plan, simulate


def test_counts():
    rng = random.Random(1)
    dut = Counters(plan=plan(lanes=6))
    expected = dict.fromkeys(("macs", "weight_reads", "weight_writes"), 0)
    expected |= {kind.name.lower(): 0 for kind in Activity}

    async def bench(ctx):
        for _ in range(500):
            activity, weights = rng.choice(list(Activity)), rng.randint(1, 6)
            used, updated = rng.randint(0, 1), rng.randint(0, 1)
            ctx.set(dut.activity, activity)
            ctx.set(dut.weights, weights)
            ctx.set(dut.used, used)
            ctx.set(dut.updated, updated)
            expected[activity.name.lower()] += 1
            if activity is Activity.BUSY:
                expected["weight_reads"] += weights
                expected["weight_writes"] += weights * updated
                expected["macs"] += weights * (used + updated)
            await ctx.tick()
        # Two registers further; these clocks count as well.
        ctx.set(dut.activity, Activity.OTHER)
        await ctx.tick().repeat(2)
        expected["other"] += 1
        values = ctx.get(dut.values)
        assert {name: values[name] for name in expected} == expected
        assert values["cycles"] == sum(expected[kind.name.lower()] for kind in Activity)

    simulate(dut, bench)
