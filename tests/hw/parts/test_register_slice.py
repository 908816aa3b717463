# SPDX-License-Identifier: BSD-2-Clause
"""The register slice: nothing lost or out of order, a word every clock, no path through."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from hw.parts.register_slice import RegisterSlice
from tests.hw.bench import simulate

WORDS = 50


@given(
    give=st.sampled_from([0.2, 0.6, 1]),
    take=st.sampled_from([0.2, 0.6, 1]),
    seed=st.integers(0, 2**32),
)
@settings(deadline=None, max_examples=30)
def test_words(give, take, seed):
    rng = random.Random(seed)
    dut = RegisterSlice(8)
    words = [rng.randrange(256) for _ in range(WORDS)]
    sent, got, clocks = 0, [], 0

    async def drive(ctx):
        nonlocal sent, clocks
        while len(got) < WORDS:
            held = sent < WORDS and rng.random() < give
            ctx.set(dut.i.valid, held)
            ctx.set(dut.i.payload, words[sent] if held else 0)
            ready = ctx.get(dut.i.ready)
            wanted = rng.random() < take
            ctx.set(dut.o.ready, wanted)
            # The other side's answer does not show before the next clock.
            assert ctx.get(dut.i.ready) == ready
            if wanted and ctx.get(dut.o.valid):
                got.append(ctx.get(dut.o.payload))
            sent += held and ready
            clocks += 1
            await ctx.tick()

    simulate(dut, drive)
    assert got == words
    if give == take == 1:
        assert clocks == WORDS + 2
