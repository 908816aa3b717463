# SPDX-License-Identifier: BSD-2-Clause
"""The FIFO with reservations: nothing lost, no promise too many, whatever the reader does."""

import random
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw.parts.credit_fifo import CreditFIFO
from tests.hw.bench import simulate


@given(burst=st.integers(1, 5), bursts=st.integers(1, 4), seed=st.integers(0, 2**32))
@settings(deadline=None, max_examples=30)
def test_words(burst, bursts, seed):
    rng = random.Random(seed)
    depth = burst * bursts + rng.randrange(burst)
    dut = CreditFIFO(shape=8, depth=depth, burst=burst)
    words = [rng.randrange(256) for _ in range(burst * 10)]
    pace = rng.choice([0.1, 0.5, 1])
    owed, got = [], []

    async def promise(ctx):
        for first in range(0, len(words), burst):
            while not ctx.get(dut.room.space):
                await ctx.tick()
            ctx.set(dut.room.reserve, 1)
            await ctx.tick()
            ctx.set(dut.room.reserve, 0)
            owed.extend(words[first : first + burst])
            assert len(owed) <= depth
            while rng.random() < 0.3:
                await ctx.tick()

    async def bring(ctx):
        brought = 0
        while brought < len(words):
            # What is promised may come in any later clock.
            ready = len(owed) > brought - len(got)
            send = ready and rng.random() < 0.7
            ctx.set(dut.i.valid, send)
            if send:
                ctx.set(dut.i.payload, owed[brought - len(got)])
                brought += 1
            await ctx.tick()
        ctx.set(dut.i.valid, 0)

    async def take(ctx):
        assert ctx.get(dut.idle)
        while len(got) < len(words):
            ctx.set(dut.o.ready, rng.random() < pace)
            _clock, _reset, valid, ready, word = await ctx.tick().sample(
                dut.o.valid, dut.o.ready, dut.o.payload
            )
            if valid and ready:
                got.append(word)
                owed.pop(0)
        ctx.set(dut.o.ready, 0)
        await ctx.tick()
        assert ctx.get(dut.idle)

    simulate(dut, promise, bring, take)
    assert got == words


def test_no_space_without_room():
    dut = CreditFIFO(shape=1, depth=5, burst=2)

    async def bench(ctx):
        for _ in range(2):
            assert ctx.get(dut.room.space)
            ctx.set(dut.room.reserve, 1)
            await ctx.tick()
        ctx.set(dut.room.reserve, 0)
        assert not ctx.get(dut.room.space)
        assert not ctx.get(dut.idle)

    simulate(dut, bench)


def test_message():
    message = "burst must be between 1 and depth, 4, not 5"
    with pytest.raises(ValueError, match=re.escape(message)):
        CreditFIFO(shape=1, depth=4, burst=5)
