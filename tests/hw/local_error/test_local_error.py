# SPDX-License-Identifier: BSD-2-Clause
"""The local error alone: activations and labels in, predictions and gradients out."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from hw.local_error.local_error import LocalError
from hw.ports import Command, Rule
from tests.hw.bench import plan, simulate
from tests.hw.local_error import test_cross_entropy, test_error_unit
from tests.hw.local_error.engine_side import send, take
from tests.hw.local_error.test_classifier import scores
from tests.hw.local_error.test_feedback import local_errors

LEAD = 2
PLANS = st.builds(
    plan,
    neurons=st.integers(1, 20),
    lanes=st.sampled_from([1, 3, 4, 20]),
    classes=st.integers(2, 5),
    mb=st.integers(1, 3),
    seed=st.integers(0, 2**32),
    loss=st.sampled_from(["hinge", "ce"]),
)


@given(plan=PLANS, rule=st.sampled_from(Rule), seed=st.integers(0, 2**32))
@settings(deadline=None, max_examples=10)
def test_samples(plan, rule, seed):
    rng, layer = random.Random(seed), plan.layer
    dut = LocalError(plan=plan, lead=LEAD)
    samples = [
        (
            rng.choice([Command.TRAIN, Command.INFER]),
            rng.randrange(layer.classes),
            [rng.choice([0, 0, top, rng.randrange(top + 1)]) for _ in range(layer.neurons)],
        )
        # Small activations miss every margin; large ones meet some, for some labels.
        for top in (255, 3, 255, 60, 255, 255)
    ]
    errors = (test_cross_entropy if layer.loss == "ce" else test_error_unit).errors
    records, beats, expected, made = [], [], [], []

    async def engine(ctx):
        ctx.set(dut.rule, rule)
        ctx.set(dut.lr, layer.lr)
        ctx.set(dut.result.ready, 1)
        for command, label, y in samples:
            await send(ctx, dut, plan, command, label, y)
            while not ctx.get(dut.gradients.update.valid):
                await ctx.tick()
            e = errors(layer, scores(layer, y), label)
            updates = command == Command.TRAIN and any(e) and rule != Rule.FROZEN
            assert ctx.get(dut.gradients.update.payload) == updates
            assert ctx.get(dut.errors.payload.update) == (command == Command.TRAIN and any(e))
            await ctx.tick()
            if not updates:
                # Nothing comes, for as long as something might.
                for _ in range(20):
                    assert not ctx.get(dut.g.valid)
                    await ctx.tick()
                assert beats == expected
                continue
            g = local_errors(layer, rule, e, [v > 0 for v in y])
            async for group in take(ctx, dut, plan, g, lead=LEAD):
                expected.extend(group)
                assert beats == expected
        await ctx.tick().repeat(layer.classes + 5)

    async def watch(ctx):
        port, result = dut.gradients.beats, dut.result
        async for *_, valid, beat, judged, recorded, record in ctx.tick().sample(
            port.valid, port.payload, dut.errors.valid, result.valid, result.payload
        ):
            if valid:
                beats.append((beat.index, list(beat.g)))
            if recorded:
                # Whoever sees it may set another rule or rate.
                assert len(records) < len(made)
                records.append((record.header.command, record.header.label, record.prediction))
            if judged:
                made.append(True)

    simulate(dut, engine, background=[watch])
    tallies = [scores(layer, y) for *_, y in samples]
    assert records == [
        (command, label, s.index(max(s)))
        for (command, label, _), s in zip(samples, tallies, strict=True)
    ]
