# SPDX-License-Identifier: BSD-2-Clause
"""The exit gate: what is sure leaves with one beat; all else goes on as it came, in order."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw.exit_gate import ExitGate
from hw.ports import Command
from tests.hw.bench import exiting, plan, simulate, sink, source


def packets(layer, rng, count):
    """Draw packets: whether samples are inferred for the layer, and the beats of each."""
    for _ in range(count):
        command = rng.choice([*Command, *[Command.INFER] * 3])
        left = int(layer.layer.exits_below and command == Command.INFER and rng.random() < 0.3)
        sample = command in (Command.TRAIN, Command.INFER) and not left
        header = {"command": command, "label": rng.randrange(3), "left": left}
        beats = layer.output_beats if sample else 1
        yield (
            command == Command.INFER and not left,
            [
                {
                    "header": header,
                    "last": int(k == beats - 1),
                    "gap": layer.drain_width if k else 0,
                    "x": [rng.randrange(256) for _ in range(layer.drain_width)],
                }
                for k in range(beats)
            ],
        )


def plain(beat):
    """Give a beat as plain values; of one that has left, what is of matter."""
    header = beat.header
    fields = {"command": header.command, "label": header.label, "left": header.left}
    more = {} if header.left else {"gap": beat.gap, "x": list(beat.x)}
    return {"header": fields, "last": beat.last, **more}


def expected(beats, leaves):
    """Say what goes on of a packet."""
    *_, last = beats
    if leaves or last["header"]["left"]:
        return [{"header": {**last["header"], "left": 1}, "last": 1}]
    return beats


@given(
    neurons=st.integers(1, 40),
    lanes=st.integers(1, 20),
    below=st.booleans(),
    pauses=st.tuples(*[st.sampled_from([0.0, 0.3, 0.7])] * 3),
    seed=st.integers(0, 2**32),
)
@settings(deadline=None, max_examples=20)
def test_packets(neurons, lanes, below, pauses, seed):
    rng = random.Random(seed)
    layer = exiting(plan(neurons=neurons, lanes=lanes), margin=1.0, below=below)
    dut, never = ExitGate(plan=layer), layer.never
    drawn = [*packets(layer, rng, 16)]
    thresholds = [0, 1, 5, never - 1, never]
    margins = [0, 1, 4, 5, 6, never - 2, never - 1]
    decisions, wanted = [], []
    for infers, beats in drawn:
        margin, threshold = rng.choice(margins), rng.choice(thresholds)
        if infers:
            decisions.append((margin, threshold))
        wanted += expected(beats, infers and margin >= threshold)
    received = []

    async def prediction(ctx):
        """Give the margin of each sample some time after its last beat has been taken."""
        for margin, threshold in decisions:
            while True:
                _, _, beat, taken = await ctx.tick().sample(
                    dut.i.payload, dut.i.valid & dut.i.ready
                )
                header = beat.header
                if taken and beat.last and header.command == Command.INFER and not header.left:
                    break
            while rng.random() < pauses[2]:
                ctx.set(dut.threshold, rng.choice(thresholds))
                ctx.set(dut.margin.payload, rng.choice(margins))
                await ctx.tick()
            ctx.set(dut.margin.payload, margin)
            ctx.set(dut.threshold, threshold)
            ctx.set(dut.margin.valid, 1)
            await ctx.tick()
            ctx.set(dut.margin.valid, 0)
            ctx.set(dut.threshold, never - threshold)

    simulate(
        dut,
        source(dut.i, [beat for _, beats in drawn for beat in beats], pauses=pauses[0], seed=seed),
        prediction,
        sink(dut.o, received, len(wanted), pauses=pauses[1], seed=seed),
    )
    assert [plain(beat) for beat in received] == wanted


@pytest.mark.parametrize("neurons", [1, 4, 40])
def test_a_whole_sample_finds_room_and_no_more(neurons):
    """Without its margin nothing of a sample goes on, and nothing behind it."""
    layer = exiting(plan(neurons=neurons, lanes=4), margin=1.0)
    dut = ExitGate(plan=layer)
    infer, train = ({"command": command} for command in (Command.INFER, Command.TRAIN))

    async def bench(ctx):
        ctx.set(dut.o.ready, 1)
        ctx.set(dut.i.valid, 1)
        for k in range(layer.output_beats):
            ctx.set(dut.i.payload, {"header": infer, "last": k == layer.output_beats - 1})
            await ctx.tick().until(dut.i.ready)
        ctx.set(dut.i.payload, {"header": train, "last": 1})
        for _ in range(10):
            assert not ctx.get(dut.o.valid)
            assert not ctx.get(dut.i.ready)
            await ctx.tick()

    simulate(dut, bench, clocks=500)


def test_no_margin_reaches_never():
    """Of the largest scores there are, of either sign."""
    for formats in ({}, {"neurons": 1, "yb": 1}, {"neurons": 300, "mb": 8}, {"rule": "tlc"}):
        layer = plan(**formats)
        bound = layer.layer.s_bound
        assert bound < 1 << layer.s_width - 1
        assert bound - -bound < layer.never == layer.threshold(None)
        assert layer.threshold(1e6) <= layer.never
        assert layer.threshold(0) == 0
