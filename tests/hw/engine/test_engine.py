# SPDX-License-Identifier: BSD-2-Clause
"""The engine alone: samples, weights and any gradients in, activations and weights out."""

import random

import pytest

from hw.engine.engine import Engine
from hw.ports import Command
from hw.primitives import PORTABLE
from tests.hw.bench import Twin, plan, simulate

SIZES = [
    {"inputs": 3, "neurons": 5, "lanes": 2},
    {"inputs": 1, "neurons": 9, "lanes": 9},
    {"inputs": 4, "neurons": 40, "lanes": 20},
]


class World:
    """All that surrounds an engine: layer below, reader of weights, and a local error."""

    def __init__(self, plan, seed):
        self.plan, self.rng = plan, random.Random(seed)
        self.dut = Engine(plan=plan, width=1, primitives=PORTABLE)
        self.seen, self.read, self.done = [], [], 0
        self.pending = []  # groups of local errors that are to be sent

    def weights(self):
        limit = 1 << self.plan.layer.wb - 1
        return [self.rng.randrange(-limit, limit) for _ in range(self.plan.layer.weights)]

    def banks(self, weights):
        """Lay out weights, n-major, as the lanes hold them."""
        layer = self.plan.layer
        banks = [[0] * self.plan.depth for _ in range(layer.lanes)]
        for place, weight in enumerate(weights):
            n, j = divmod(place, layer.columns)
            banks[n % layer.lanes][n // layer.lanes * layer.columns + j] = weight
        return banks

    async def packet(self, ctx, command, x=(0,), weights=()):
        """Send a packet, and wait until all that follows from it has come."""
        i, source = self.dut.i, self.dut.weights_in
        sample = command in (Command.TRAIN, Command.INFER)
        beats = len(self.seen) + self.plan.sample_beats * sample
        done = self.done + (not sample)
        for value in x:
            ctx.set(i.payload, {"header": {"command": command, "label": 1}, "x": [value]})
            ctx.set(i.valid, 1)
            await ctx.tick().until(i.ready)
            ctx.set(i.valid, 0)
        for weight in weights:
            ctx.set(source.payload, weight)
            ctx.set(source.valid, 1)
            await ctx.tick().until(source.ready)
            ctx.set(source.valid, 0)
        while len(self.seen) < beats or self.done < done:
            await ctx.tick()

    async def judge(self, ctx, g):
        """Say whether the sample's update is due, and send its local errors, if any."""
        port = self.dut.gradients
        ctx.set(port.update.payload, g is not None)
        ctx.set(port.update.valid, 1)
        await ctx.tick()
        ctx.set(port.update.valid, 0)
        self.pending = [] if g is None else [
            g[first : first + self.plan.layer.lanes]
            for first in range(0, len(g), self.plan.layer.lanes)
        ]  # fmt: skip

    async def send(self, ctx):
        """Send the local errors of a group, then those of the next when they are accepted."""
        port, width = self.dut.gradients, self.plan.drain_width
        while True:
            if not self.pending:
                await ctx.tick()
                continue
            lanes = self.pending.pop(0)
            ctx.set(port.ready, 0)
            for index in range(self.plan.beats):
                beat = {"index": index, "g": lanes[index * width : (index + 1) * width]}
                ctx.set(port.beats.payload, beat)
                ctx.set(port.beats.valid, 1)
                await ctx.tick()
            ctx.set(port.beats.valid, 0)
            ctx.set(port.ready, 1)
            await ctx.tick().until(port.advance)

    async def watch(self, ctx):
        dut = self.dut
        ctx.set(dut.gradients.ready, 1)
        ctx.set(dut.score_room.space, 1)
        for port in dut.o, dut.records, dut.weights_out:
            ctx.set(port.ready, 1)
        async for *_, valid, beat, record, read, word in ctx.tick().sample(
            dut.activations.valid,
            dut.activations.payload,
            dut.records.valid,
            dut.weights_out.valid,
            dut.weights_out.payload,
        ):
            if valid:
                self.seen.append(list(beat.y))
            if read:
                self.read.append(word)
            self.done += record


@pytest.mark.parametrize("size", SIZES)
def test_load_drops_what_is_due(size):
    """An update is applied by the next sample; after a LOAD the weights are what was loaded."""
    p = plan(**size)
    layer, world = p.layer, World(p, 1)
    rng, top = world.rng, 1 << p.update_width - 1

    async def bench(ctx):
        old = [0] * layer.columns
        for _round in range(3):
            twin, due = Twin(p, world.banks(weights := world.weights())), None
            await world.packet(ctx, Command.LOAD, weights=weights)
            for updates in True, False, True:
                new = [rng.randrange(256) for _ in range(layer.inputs)]
                world.seen.clear()
                await world.packet(ctx, Command.TRAIN, new)
                expected = []
                for group in range(p.groups):
                    g = (due or [0] * 9999)[group * layer.lanes : (group + 1) * layer.lanes]
                    base = group * layer.columns
                    ys = twin.group(base, old, [*new, layer.one], g, due is not None)
                    expected += ys
                # Lanes without a neuron show nothing.
                shown = [y for beat in world.seen for y in beat]
                assert shown[: layer.neurons] == expected[: layer.neurons]
                assert not any(shown[layer.neurons :])
                old = [*new, layer.one]
                lanes = p.groups * layer.lanes
                due = [rng.randrange(-top, top) for _ in range(lanes)] if updates else None
                await world.judge(ctx, due)
            weights = world.weights()
            await world.packet(ctx, Command.LOAD, weights=weights)
            for commands in [Command.READ], [Command.FLUSH, Command.READ]:
                world.read.clear()
                for command in commands:
                    await world.packet(ctx, command)
                while len(world.read) < layer.weights:
                    await ctx.tick()
                assert world.read == weights

    simulate(world.dut, bench, background=[world.watch, world.send])
