# SPDX-License-Identifier: BSD-2-Clause
"""The event lists: the oldest is led through again and again while others arrive."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from hw.engine.event_lists import EventLists, latency
from hw.primitives import PORTABLE
from tests.hw.bench import Extremes, entries, plan, simulate

#: What an event has of its step.
FIELDS = ("forward", "last", "update", "accept", "draw", "first", "again", "clear")


class World:
    """Writes lists as long as there is room, and leads through each a few times.

    Parameters
    ----------
    lists
        Lists of (column, x).
    passes
        How often the steps lead through each.
    """

    def __init__(self, p, lists, passes, rng, *, write, step):
        self.plan, self.rng = p, rng
        self.dut = EventLists(plan=p, primitives=PORTABLE)
        self.lists, self.passes = lists, passes
        self.pace = write, step
        self.written, self.place, self.released = [], 0, 0
        self.clock, self.expected = 0, {}

    def write(self, ctx):
        """Perhaps write an entry of the list that arrives, if there is room for the list."""
        dut, rng = self.dut, self.rng
        ctx.set(dut.entry.valid, 0)
        ctx.set(dut.ended, 0)
        ctx.set(dut.entry.p, {"column": rng.randrange(self.plan.layer.columns), "x": 1})
        room = len(self.written) < min(self.released + self.plan.lists, len(self.lists))
        if not room or rng.random() > self.pace[0]:
            return
        one = self.lists[len(self.written)]
        column, x = one[self.place]
        ctx.set(dut.entry.valid, 1)
        ctx.set(dut.entry.p, {"column": column, "x": x})
        self.place = (self.place + 1) % len(one)
        ctx.set(dut.ended, self.place == 0)
        if self.place == 0:
            self.written.append(self.clock)

    async def tick(self, ctx):
        """Check the event of this clock, and go on to the next."""
        event = ctx.get(self.dut.event)
        due, addr, x = self.expected.pop(self.clock, ({}, 0, 0))
        assert {name: event[name] for name in FIELDS} == dict.fromkeys(FIELDS, 0) | due
        if due.get("forward") or due.get("update") or due.get("draw"):
            assert (event.addr, event.x) == (addr, x)
        assert not event.load
        assert not event.read
        self.write(ctx)
        await ctx.tick()
        self.clock += 1

    async def bench(self, ctx):
        """Lead through all lists; the first step of one may come a clock after its last entry."""
        dut, rng = self.dut, self.rng
        for k, (one, passes) in enumerate(zip(self.lists, self.passes, strict=True)):
            while len(self.written) <= k:
                await self.tick(ctx)
            for turn in range(passes):
                base = rng.randrange(self.plan.groups) * self.plan.layer.columns
                for place, (column, x) in enumerate(one):
                    assert ctx.get(dut.last) == (place == len(one) - 1)
                    while rng.random() > self.pace[1]:
                        await self.step(ctx, {"clear": rng.randrange(2)}, (0, 0))
                    draws = self.plan.drawn_bits > 0
                    kind = rng.choice(["forward", "update", *(["draw"] if draws else [])])
                    others = ("last", "accept", *(("first", "again") if draws else ()))
                    flags = {kind: 1, **{name: rng.randrange(2) for name in others}}
                    ends = turn == passes - 1 and place == len(one) - 1
                    await self.step(ctx, flags, (base + column, x), base=base, release=ends)
            if not passes:
                # The step in the clock of a release need not take an entry.
                await self.step(ctx, {}, (0, 0), release=True)
        for _ in range(latency(PORTABLE) + 1):
            await self.tick(ctx)

    async def step(self, ctx, flags, operands, *, base=0, release=False):
        dut = self.dut
        self.expected[self.clock + latency(PORTABLE)] = flags, *operands
        ctx.set(dut.step, {**flags, "base": base})
        ctx.set(dut.release, release)
        skipped = self.plan.layer.columns - len(self.lists[self.released])
        assert ctx.get(dut.skipped) == (skipped if release else 0)
        await self.tick(ctx)
        self.released += release
        ctx.set(dut.step, {})
        ctx.set(dut.release, 0)


@given(
    inputs=st.integers(1, 12),
    groups=st.integers(1, 4),
    signed=st.booleans(),
    sr=st.booleans(),
    write=st.sampled_from([0.2, 1]),
    step=st.sampled_from([0.5, 1]),
    seed=st.integers(0, 2**32),
)
@settings(deadline=None, max_examples=25)
def test_lists(inputs, groups, signed, sr, write, step, seed):
    """Lists of all lengths, led through up to four times or not at all, in all banks in turn."""
    rng = random.Random(seed)
    fx, wb = rng.choice([6, 7]), 8 if sr else 12
    p = plan(inputs=inputs, neurons=groups, fx=fx, signed_inputs=signed, lanes=1, wb=wb, sr=sr)
    lists = [entries(p, Extremes(p, rng).inputs(rng.choice([0, 0.3, 1]))) for _ in range(10)]
    passes = [rng.randrange(5) for _ in lists]
    world = World(p, lists, passes, rng, write=write, step=step)
    simulate(world.dut, world.bench)
    assert not world.expected
    assert world.released == len(lists)


def test_first_step_follows_the_last_entry():
    """A list of the bias alone is written in a clock and used in the next."""
    p = plan(inputs=3)
    dut = EventLists(plan=p, primitives=PORTABLE)

    async def bench(ctx):
        for x in range(1, 2 * p.lists + 2):
            ctx.set(dut.entry.valid, 1)
            ctx.set(dut.entry.p, {"column": 3, "x": x})
            ctx.set(dut.ended, 1)
            await ctx.tick()
            ctx.set(dut.entry.valid, 0)
            ctx.set(dut.ended, 0)
            ctx.set(dut.step.forward, 1)
            ctx.set(dut.release, 1)
            assert ctx.get(dut.last)
            assert ctx.get(dut.skipped) == 3
            await ctx.tick()
            ctx.set(dut.step.forward, 0)
            ctx.set(dut.release, 0)
            await ctx.tick().repeat(latency(PORTABLE) - 1)
            assert ctx.get(dut.event.forward)
            assert ctx.get(dut.event.x) == x

    simulate(dut, bench)
