# SPDX-License-Identifier: BSD-2-Clause
"""The health counters against plain Python."""

import random

import pytest
import torch

from golden import health
from golden.spec import parse
from hw.health import Health
from hw.ports import COUNTERS, HEALTH, HEALTH_TOTALS, Command, counter_names
from tests.hw.bench import plan, simulate

#: Clocks in which whatever was counted has been.
SETTLED = 12


class World:
    """What surrounds the counters of a layer: samples, one after the other, and READs."""

    def __init__(self, p, rng):
        self.plan, self.rng = p, rng
        self.dut = Health(plan=p)
        self.counts = dict.fromkeys(HEALTH, 0) | {"dead": p.layer.neurons}
        self.alive, self.anew = set(), True

    async def tick(self, ctx):
        """Let a clock pass, in which weights may be updated."""
        made, lost = (self.rng.choice([0, self.rng.randint(0, self.plan.lanes)]) for _ in range(2))
        ctx.set(self.dut.updates, {"made": made, "lost": lost})
        self.counts["updates"] += made
        self.counts["updates_lost"] += lost
        await ctx.tick()
        for valid in self.dut.activations.valid, self.dut.errors.valid, self.dut.weights.valid:
            ctx.set(valid, 0)
        ctx.set(self.dut.read, 0)

    async def pause(self, ctx):
        while self.rng.random() < 0.3:
            await self.tick(ctx)

    async def sample(self, ctx, command):
        """Show the activations and errors of a sample."""
        dut, p, rng = self.dut, self.plan, self.rng
        top, train = p.layer.y_max, command == Command.TRAIN
        ys = [rng.choice([0, 0, top, rng.randint(0, top)]) for _ in range(p.layer.neurons)]
        ys += [0] * (p.sample_beats * p.drain_width - len(ys))
        for beat in range(p.sample_beats):
            last, y = beat == p.sample_beats - 1, ys[beat * p.drain_width :][: p.drain_width]
            ctx.set(dut.activations.p, {"y": y, "last": last, "header": {"command": command}})
            ctx.set(dut.activations.valid, 1)
            await self.tick(ctx)
            await self.pause(ctx)
        update = train and rng.random() < 0.5
        ctx.set(dut.errors.p.update, update)
        ctx.set(dut.errors.valid, 1)
        ctx.set(dut.trains, train)
        await self.tick(ctx)
        ctx.set(dut.trains, rng.random() < 0.5)
        if train:
            self.alive = {*(() if self.anew else self.alive), *(n for n, y in enumerate(ys) if y)}
            self.anew = False
            self.counts["samples"] += 1
            self.counts["no_error"] += not update
            self.counts["saturated"] += ys.count(top)
            self.counts["dead"] = p.layer.neurons - len(self.alive)

    async def read(self, ctx):
        """Read all weights; the neurons are counted anew from then on."""
        dut, limit = self.dut, 1 << self.plan.layer.wb - 1
        near = -limit, limit - 1, 1 - limit, limit - 2, 0, -1
        self.counts["at_limit"] = 0
        for _ in range(self.plan.layer.weights):
            weight = self.rng.choice(near)
            self.counts["at_limit"] += weight in (-limit, limit - 1)
            ctx.set(dut.weights.p, weight)
            ctx.set(dut.weights.valid, 1)
            await self.tick(ctx)
            ctx.set(dut.weights.p, -limit)
            await self.pause(ctx)
        ctx.set(dut.read, 1)
        await self.tick(ctx)
        self.anew = True

    async def bench(self, ctx):
        for _ in range(40):
            kind = self.rng.choice([Command.TRAIN] * 4 + [Command.INFER, Command.READ])
            await (self.read(ctx) if kind == Command.READ else self.sample(ctx, kind))
            if self.rng.random() < 0.4:
                ctx.set(self.dut.updates, {})
                await ctx.tick().repeat(SETTLED)
                values = ctx.get(self.dut.values)
                assert {name: values[name] for name in HEALTH} == self.counts


@pytest.mark.parametrize(
    "layer",
    [
        {"neurons": 1, "lanes": 1, "yb": 1, "wb": 2},
        {"neurons": 5, "lanes": 8},
        {"neurons": 19, "lanes": 4, "yb": 5, "wb": 7},
        {"neurons": 60, "lanes": 34},
    ],
)
def test_counts(layer):
    world = World(plan(inputs=2, health=True, **layer), random.Random(3))
    simulate(world.dut, world.bench)
    assert all(world.counts[name] for name in HEALTH_TOTALS)


def test_counters_are_named_as_in_the_golden_model():
    layer = parse({"inputs": 2, "classes": 2, "layer": [{"neurons": 2}]}, "x.toml").layers[0]
    assert set(health.Health(layer).take(torch.zeros(2, 3))) == set(HEALTH)
    assert {*health.SIGNS} < set(HEALTH)
    assert not set(HEALTH) & set(COUNTERS)


def test_a_layer_has_the_counters_that_it_chose():
    assert counter_names(plan()) == COUNTERS
    assert counter_names(plan(health=True)) == COUNTERS + HEALTH
