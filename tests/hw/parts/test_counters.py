# SPDX-License-Identifier: BSD-2-Clause
"""The counters against plain Python."""

import random

from hw.parts.counters import Counters
from hw.ports import CLOCK_COUNTERS, Activity
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
            ctx.set(
                dut.work,
                {"activity": activity, "weights": weights, "used": used, "updated": updated},
            )
            expected[activity.name.lower()] += 1
            if activity is Activity.BUSY:
                expected["weight_reads"] += weights
                expected["weight_writes"] += weights * updated
                expected["macs"] += weights * (used + updated)
            await ctx.tick()
        # Two registers further; these clocks count as well.
        ctx.set(dut.work.activity, Activity.OTHER)
        await ctx.tick().repeat(2)
        expected["other"] += 1
        values = ctx.get(dut.values)
        assert {name: values[name] for name in expected} == expected
        assert values["cycles"] == sum(values[name] for name in CLOCK_COUNTERS)

    simulate(dut, bench)
