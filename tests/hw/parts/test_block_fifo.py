# SPDX-License-Identifier: BSD-2-Clause
"""The FIFO in blocks: nothing lost or out of order, as many words as it says, one every clock."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw.parts.block_fifo import BlockFIFO
from tests.hw.bench import simulate

WORDS = 60


@given(
    depth=st.integers(1, 9),
    give=st.sampled_from([0.2, 0.6, 1]),
    take=st.sampled_from([0.2, 0.6, 1]),
    seed=st.integers(0, 2**32),
)
@settings(deadline=None, max_examples=40)
def test_words(depth, give, take, seed):
    rng = random.Random(seed)
    dut = BlockFIFO(8, depth=depth)
    words = [rng.randrange(256) for _ in range(WORDS)]
    # The clocks in which words came and went.
    sent, got, clock = [], [], 0

    async def drive(ctx):
        nonlocal clock
        while len(got) < WORDS:
            held = len(sent) < WORDS and rng.random() < give
            ctx.set(dut.i.valid, held)
            ctx.set(dut.i.payload, words[len(sent)] if held else rng.randrange(256))
            ctx.set(dut.o.ready, 0)
            ready = ctx.get(dut.i.ready)
            assert ready == (len(sent) - len(got) < depth)
            wanted = rng.random() < take
            ctx.set(dut.o.ready, wanted)
            assert ctx.get(dut.i.ready) == ready
            there = len(got) < len(sent) and clock >= sent[len(got)] + 2
            assert ctx.get(dut.o.valid) == there
            if there:
                assert ctx.get(dut.o.payload) == words[len(got)]
            if wanted and there:
                got.append(clock)
            if held and ready:
                sent.append(clock)
            clock += 1
            await ctx.tick()

    simulate(dut, drive)
    if give == take == 1 and depth > 2:
        assert got[-1] == got[0] + WORDS - 1


def test_depth_is_checked():
    with pytest.raises(ValueError, match="depth must be at least 1, not 0"):
        BlockFIFO(8, depth=0)
