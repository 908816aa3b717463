# SPDX-License-Identifier: BSD-2-Clause
"""The weight mover: every weight once, n-major, loads of an address as far apart as they must."""

import random

import pytest

from hw.engine.weight_mover import WeightMover
from hw.parts.lfsr import bits
from tests.hw.bench import plan, simulate

RELOAD = 5
SIZES = [
    {"inputs": 1, "neurons": 1, "lanes": 1},
    {"inputs": 1, "neurons": 7, "lanes": 3},
    {"inputs": 3, "neurons": 5, "lanes": 5},
    {"inputs": 9, "neurons": 4, "lanes": 2},
    {"inputs": 2, "neurons": 3, "lanes": 8},
]


def places(layer):
    """Lane and address of each weight, n-major, and whether it is a bias."""
    return [
        (n % layer.lanes, n // layer.lanes * layer.columns + j, j == layer.inputs)
        for n in range(layer.neurons)
        for j in range(layer.columns)
    ]


def initial(layer):
    """What stream 0 makes of the weights (contract, "Random numbers")."""
    width, drawn, words = layer.init_bits, 0, []
    for *_, bias in places(layer):
        words.append(0 if bias else 2 * bits(layer.seeds[0], drawn, width) - (1 << width) + 1)
        drawn += 0 if bias else width
    return words


class World:
    """Asks for moves, and notes (kind, lane, addr, word) of those that come, with their clocks."""

    def __init__(self, p, seed, pace):
        self.dut = WeightMover(plan=p, reload=RELOAD)
        self.rng, self.pace = random.Random(seed), pace
        self.moves, self.clocks = [], []
        self.clock, self.words, self.delivered_at = 0, [], 0

    async def tick(self, ctx):
        """Note the move of this clock; return whether it is the last."""
        dut, rng = self.dut, self.rng
        ctx.set(dut.weights.valid, bool(self.words) and rng.random() < self.pace)
        ctx.set(dut.weights.p, self.words[0] if self.words else rng.randrange(-9, 9))
        ctx.set(dut.room.space, rng.random() < self.pace)
        ctx.set(dut.delivered, self.clock >= self.delivered_at)
        move, done = ctx.get(dut.move), ctx.get(dut.done)
        assert move.load + move.read <= 1
        assert move.read == ctx.get(dut.room.reserve)
        assert not move.read or ctx.get(dut.room.space)
        if ctx.get(dut.weights.valid) and ctx.get(dut.weights.ready):
            assert (move.load, move.word) == (1, self.words.pop(0))
        if move.load or move.read:
            word = (move.word,) if move.load else ()
            kind = "load" if move.load else "read"
            self.moves.append((kind, move.lane, move.addr, *word))
            self.clocks.append(self.clock)
        if move.read:
            self.delivered_at = self.clock + rng.randint(1, 10)
        await ctx.tick()
        self.clock += 1
        return done

    async def until_done(self, ctx):
        self.moves.clear()
        self.clocks.clear()
        while not await self.tick(ctx):
            pass


@pytest.mark.parametrize("pace", [0.4, 1])
@pytest.mark.parametrize("size", SIZES)
def test_moves(size, pace):
    p = plan(**size)
    layer, world = p.layer, World(p, 1, pace)
    rng, limit = world.rng, 1 << p.layer.wb - 1
    # Neurons follow each other at least so far apart.
    apart_by = max(RELOAD, layer.columns)
    clocks = [n * apart_by + j for n in range(layer.neurons) for j in range(layer.columns)]

    def apart():
        """Loads of an address are as far apart as they must be, and not much farther."""
        seen = {}
        for clock, (_, _, addr, *_) in zip(world.clocks, world.moves, strict=True):
            assert clock - seen.get(addr, -RELOAD) >= RELOAD
            seen[addr] = clock
        if pace == 1:
            assert [c - world.clocks[0] for c in world.clocks] == clocks

    async def bench(ctx):
        await world.until_done(ctx)
        expected = zip(places(layer), initial(layer), strict=True)
        assert world.moves == [("load", lane, addr, w) for (lane, addr, _), w in expected]
        apart()
        for command in "read", "load", "load", "read":
            words = [rng.randrange(-limit, limit) for _ in range(layer.weights)]
            world.words = words * (command == "load")
            for _ in range(3):
                assert not await world.tick(ctx)
            assert world.words == words * (command == "load")
            ctx.set(getattr(world.dut, command), 1)
            assert not await world.tick(ctx)
            ctx.set(getattr(world.dut, command), 0)
            words = list(world.words)
            await world.until_done(ctx)
            if command == "load":
                expected = zip(places(layer), words, strict=True)
                assert world.moves == [("load", lane, addr, w) for (lane, addr, _), w in expected]
                assert not world.words
                apart()
            else:
                assert world.moves == [("read", lane, addr) for lane, addr, _ in places(layer)]
                # It is done when the last weight has gone, not before.
                assert world.clock > world.delivered_at

    simulate(world.dut, bench)
