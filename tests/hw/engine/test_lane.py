# SPDX-License-Identifier: BSD-2-Clause
"""The lane against plain Python, its controls given as the schedule says."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from hw.engine.lane import CONTROL_STAGES, Lane, Stage, schedule
from hw.primitives import PORTABLE
from tests.hw.bench import Twin, plans, simulate

CLOCK = schedule(PORTABLE)


@given(plan=plans(lanes=st.just(1)), seed=st.integers(0, 2**32))
@settings(deadline=None, max_examples=40)
def test_groups(plan, seed):
    """Weights, activations and the time of both, over several steps with gaps between inputs."""
    rng = random.Random(seed)
    dut = Lane(plan=plan, primitives=PORTABLE)
    layer = plan.layer
    limit = 1 << (layer.wb - 1)
    top = 1 << (plan.update_width - 1)

    def extreme(low, high):
        return rng.choice([low, high, rng.randint(low, high)])

    events = {}  # by clock: what to set, and what to see

    def at(clock, kind, name, value):
        events.setdefault(clock, {}).setdefault(kind, {})[name] = value

    def control(clock, **fields):
        for name, value in fields.items():
            at(clock + CLOCK[CONTROL_STAGES[name]], "set", name, value)

    bank = [extreme(-limit, limit - 1) for _ in range(plan.depth)]
    for addr, word in enumerate(bank):
        control(addr, load=1, word=word, write_addr=addr)
        at(addr + CLOCK[Stage.WRITE], "write", "write", 1)
    clock = plan.depth + CLOCK[Stage.WRITE]
    twin = Twin(plan, [bank])
    x_old = [extreme(0, 255) for _ in range(layer.columns)]
    for _step in range(3):
        x_new = [extreme(0, 255) for _ in range(layer.columns)]
        update = rng.random() < 0.8
        for group in range(plan.groups):
            base = group * layer.columns
            g = extreme(-top, top - 1)
            at(clock - 1, "g", "g", g)
            for j in range(layer.columns):
                addr = base + j
                control(clock, read_addr=addr, accept=j == 0, x_old=x_old[j] if update else 0)
                control(clock, write_addr=addr, x_new=x_new[j], accumulate=1, restart=j == 0)
                at(clock + CLOCK[Stage.WEIGHT], "weight", "weight", bank[addr])
                if update:
                    at(clock + CLOCK[Stage.WRITE], "write", "write", 1)
                last = clock
                clock += 1 + (rng.random() < 0.2)
            control(last, capture=1)
            y = twin.group(base, x_old, x_new, [g], update)[0]
            at(last + CLOCK[Stage.RESULT], "y", "y", y)
        x_old = x_new
        clock += CLOCK[Stage.WRITE] + 1

    async def bench(ctx):
        for now in range(max(events) + 1):
            event = events.get(now, {})
            ctx.set(dut.control, event.get("set", {}))
            ctx.set(dut.write, event.get("write", {}).get("write", 0))
            ctx.set(dut.g_load, "g" in event)
            ctx.set(dut.g, event.get("g", {}).get("g", 0))
            if "weight" in event:
                assert ctx.get(dut.weight) == event["weight"]["weight"]
            if "y" in event:
                assert ctx.get(dut.y) == event["y"]["y"]
            await ctx.tick()

    simulate(dut, bench)
