# SPDX-License-Identifier: BSD-2-Clause
"""The prediction against the contract: ties, margins, order of records, back-pressure."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from hw.local_error.prediction import Prediction
from hw.ports import Command
from tests.hw.bench import exiting, plan, simulate

PLANS = st.builds(
    lambda margin, below, **layer: exiting(plan(**layer), margin=margin, below=below),
    margin=st.sampled_from([None, 1.0]),
    below=st.booleans(),
    neurons=st.integers(1, 60),
    classes=st.integers(2, 26),
    mb=st.integers(1, 4),
)
SAMPLES = (Command.TRAIN, Command.INFER)


def record(command, label, prediction, correct, **more):
    header = {"command": command, "label": label}
    if "left" in more:
        header["left"] = more.pop("left")
    return {"header": header, "prediction": prediction, "correct": correct, **more}


def plain(payload):
    """Give a record as plain values."""
    header, shape = payload.header, dict(payload.shape())
    more = {"left": header.left} if "left" in dict(header.shape()) else {}
    more |= {"margin": payload.margin} if "margin" in shape else {}
    return record(header.command, header.label, payload.prediction, payload.correct, **more)


def expect(layer, command, label, s, left=False):
    """Make the record of a packet with scores `s`, if it is a sample."""
    sample = command in SAMPLES and not left
    best = s.index(max(s)) if sample else 0
    more = {"left": int(left)} if layer.exits_below else {}
    if layer.margin is not None:
        first, second, *_ = sorted(s, reverse=True)
        more["margin"] = first - second if sample else 0
    return record(command, label, best, int(sample and best == label), **more)


@given(plan=PLANS, seed=st.integers(0, 2**32))
@settings(deadline=None, max_examples=25)
def test_records(plan, seed):
    """Samples and commands in any order: a record of each, in order, held until it is taken."""
    rng, layer = random.Random(seed), plan.layer
    dut = Prediction(plan=plan)
    bound = (2**layer.mb - 1) * 255 * layer.neurons
    # Few different scores make ties.
    scores = [-bound, bound, 0, *(rng.randint(-bound, bound) for _ in range(2))]
    packets = [
        (
            rng.choice([*SAMPLES * 2, *Command]),
            rng.randrange(layer.classes),
            rng.choices(rng.sample(scores, rng.randint(1, 5)), k=layer.classes),
        )
        for _ in range(12)
    ]
    packets = [
        (*packet, layer.exits_below and packet[0] == Command.INFER and rng.random() < 0.4)
        for packet in packets
    ]

    async def stimulus(ctx):
        for command, label, s, left in packets:
            while rng.random() < 0.3:
                await ctx.tick()
            header = {"command": command, "label": label}
            if layer.exits_below:
                header["left"] = left
            if command in SAMPLES and not left:
                while not ctx.get(dut.room.space):
                    await ctx.tick()
                ctx.set(dut.room.reserve, 1)
                await ctx.tick()
                ctx.set(dut.room.reserve, 0)
                # The classifier takes a while after the last beat.
                for _ in range(rng.randint(0, 3)):
                    assert not ctx.get(dut.room.space)
                    await ctx.tick()
                ctx.set(dut.scores.payload.s, s)
                ctx.set(dut.scores.payload.header, header)
                ctx.set(dut.scores.valid, 1)
                await ctx.tick()
                ctx.set(dut.scores.valid, 0)
                other = {"command": Command.LOAD, "label": layer.classes - 1 - label}
                if layer.exits_below:
                    other["left"] = 1
                ctx.set(dut.scores.payload.header, other)
            else:
                ctx.set(dut.packet.payload, header)
                ctx.set(dut.packet.valid, 1)
                await ctx.tick().until(dut.packet.ready)
                ctx.set(dut.packet.valid, 0)

    def margin(ctx):
        """Give the margin that comes in this clock, if one does."""
        if layer.margin is None or not ctx.get(dut.margin.valid):
            return None
        return ctx.get(dut.margin.payload)

    async def check(ctx):
        for command, label, s, left in packets:
            while not ctx.get(dut.result.valid):
                assert margin(ctx) is None
                await ctx.tick()
            expected = expect(layer, command, label, s, left)
            # The margin comes as the record is shown first, and only then.
            decides = layer.margin is not None and command == Command.INFER and not left
            assert margin(ctx) == (expected["margin"] if decides else None)
            for _ in range(rng.choice([0, 0, 1, 5])):
                assert not ctx.get(dut.room.space)
                assert ctx.get(dut.result.valid)
                assert plain(ctx.get(dut.result.payload)) == expected
                await ctx.tick()
                assert margin(ctx) is None
            ctx.set(dut.result.ready, 1)
            assert plain(ctx.get(dut.result.payload)) == expected
            await ctx.tick()
            assert margin(ctx) is None
            ctx.set(dut.result.ready, 0)
        await ctx.tick().repeat(3)
        assert not ctx.get(dut.result.valid)

    simulate(dut, stimulus, check)


@given(classes=st.integers(2, 26))
@settings(deadline=None, max_examples=5)
def test_sample_wins(classes):
    """A command that comes with a sample waits for its record; a class takes one clock."""
    dut = Prediction(plan=plan(classes=classes))

    async def stimulus(ctx):
        ctx.set(dut.scores.payload.s, list(range(classes)))
        ctx.set(dut.scores.payload.header, {"command": Command.TRAIN, "label": classes - 1})
        ctx.set(dut.scores.valid, 1)
        ctx.set(dut.packet.payload, {"command": Command.READ, "label": 0})
        ctx.set(dut.packet.valid, 1)
        assert not ctx.get(dut.packet.ready)
        await ctx.tick()
        ctx.set(dut.scores.valid, 0)
        await ctx.tick().until(dut.packet.ready)
        ctx.set(dut.packet.valid, 0)

    async def check(ctx):
        ctx.set(dut.result.ready, 1)
        records, clocks = [], []
        for clock in range(classes + 8):
            if ctx.get(dut.result.valid):
                records.append(plain(ctx.get(dut.result.payload)))
                clocks.append(clock)
            await ctx.tick()
        assert records == [
            record(Command.TRAIN, classes - 1, classes - 1, 1),
            record(Command.READ, 0, 0, 0),
        ]
        assert clocks[0] == classes + 2

    simulate(dut, stimulus, check)
