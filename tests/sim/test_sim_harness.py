# SPDX-License-Identifier: BSD-2-Clause
"""The parts of the harness, against streams that stall at random."""

import random

import pytest
from amaranth.lib import data

from hw.ports import COUNTERS, Command, Rule
from sim.harness import Recorder, SampleSource, WeightSink, WeightSource, burst
from tests.hw.bench import plan, simulate, sink


@pytest.mark.parametrize(("inputs", "width"), [(1, 1), (5, 5), (5, 2), (6, 3), (9, 8)])
def test_sample_source(inputs, width):
    """Dense beats of all inputs, the last filled up with zeros; of a command one beat."""
    source = SampleSource(plan(inputs=inputs, classes=7), width)
    received = []
    commands = [Command.TRAIN, Command.LOAD, Command.INFER, Command.READ, Command.TRAIN]
    samples = [[random.Random(k).randrange(256) for _ in range(inputs)] for k in range(5)]
    filled = [[*x, *[0] * (-inputs % width)] for x in samples]
    beats = [[x[first : first + width] for first in range(0, inputs, width)] for x in filled]

    async def feed(ctx):
        for k, (command, x) in enumerate(zip(commands, beats, strict=True)):
            word = {"x": x, "command": command.value, "label": k, "toggle": ~k & 1}
            ctx.set(source.word, word)
            while ctx.get(source.accepted) != ~k & 1:
                await ctx.tick()

    expected = []
    for label, (command, x) in enumerate(zip(commands, beats, strict=True)):
        sent = x if command in (Command.TRAIN, Command.INFER) else x[:1]
        expected += [
            (command, label, k == len(sent) - 1, width * (k > 0), beat)
            for k, beat in enumerate(sent)
        ]
    take = sink(source.o, received, len(expected), pauses=0.4, seed=inputs)
    simulate(source, feed, take)
    assert [
        (b.header.command, b.header.label, b.last, b.gap, list(b.x)) for b in received
    ] == expected


@pytest.mark.parametrize(("neurons", "inputs", "words"), [(4, 15, 64), (1, 12, 13), (2, 66, 2)])
def test_burst(neurons, inputs, words):
    assert burst(plan(neurons=neurons, lanes=1, inputs=inputs)) == words


@pytest.mark.parametrize("neurons", [1, 67])
def test_weights_in(neurons):
    layer = plan(neurons=neurons, lanes=1, inputs=1)
    source = WeightSource(layer)
    received = []
    weights = [random.Random(1).randrange(-2048, 2048) for _ in range(4 * source.burst)]

    async def feed(ctx):
        for k in range(4):
            word = weights[k * source.burst : (k + 1) * source.burst]
            ctx.set(source.word, {"weights": word, "toggle": ~k & 1})
            while ctx.get(source.accepted) != ~k & 1:
                await ctx.tick()

    take = sink(source.o, received, len(weights), pauses=0.4, seed=neurons)
    simulate(source, feed, take)
    assert received == weights


@pytest.mark.parametrize("neurons", [1, 67])
def test_weights_out(neurons):
    layer = plan(neurons=neurons, lanes=1, inputs=1)
    gathered = WeightSink(layer)
    weights = [random.Random(2).randrange(-2048, 2048) for _ in range(4 * gathered.burst)]
    received = []

    async def feed(ctx):
        pause = random.Random(neurons)
        for weight in weights:
            while pause.random() < 0.4:
                await ctx.tick()
            ctx.set(gathered.i.payload, weight)
            ctx.set(gathered.i.valid, 1)
            await ctx.tick()
            ctx.set(gathered.i.valid, 0)
        await ctx.tick()

    async def read(ctx):
        async for _ in ctx.changed(gathered.given):
            if ctx.get(gathered.given) != len(received) // gathered.burst % 2:
                received.extend(ctx.get(gathered.word).weights)

    simulate(gathered, feed, background=[read])
    assert received == weights


class Layer:
    """Drives the taps of a recorder as a layer would."""

    def __init__(self, recorder, seed):
        self.recorder = recorder
        self.random = random.Random(seed)

    async def wait(self, ctx):
        for _ in range(self.random.randrange(3)):
            await ctx.tick()

    async def beats(self, ctx, name, values, *, end=True):
        taps, width = self.recorder.monitor, self.recorder.plan.drain_width
        tap, beat = {
            "y": (taps.activations, taps.activations.payload.y),
            "g": (taps.gradients, taps.gradients.payload),
        }[name]
        for k in range(0, len(values), width):
            await self.wait(ctx)
            ctx.set(beat, values[k : k + width])
            ctx.set(taps.activations.payload.last, end and k + width >= len(values))
            ctx.set(tap.valid, 1)
            await ctx.tick()
            ctx.set(tap.valid, 0)

    async def scores(self, ctx, s, e):
        taps = self.recorder.monitor
        errors = {"e": e, "update": any(e)}
        for tap, value in (taps.scores, {"s": s}), (taps.errors, errors):
            await self.wait(ctx)
            ctx.set(tap.payload, value)
            ctx.set(tap.valid, 1)
            await ctx.tick()
            ctx.set(tap.valid, 0)

    async def result(self, ctx, command, label):
        result = self.recorder.result
        await self.wait(ctx)
        ctx.set(result.payload, {"header": {"command": command, "label": label}, "prediction": 2})
        ctx.set(result.valid, 1)
        while not ctx.get(result.ready):
            await ctx.tick()
        await ctx.tick()
        ctx.set(result.valid, 0)


def recorder(seed=0):
    layout = data.StructLayout(dict.fromkeys(COUNTERS, 48))
    component = Recorder(plan(inputs=3, lanes=2), layout)
    words = []

    async def read(ctx):
        before = 0
        async for _ in ctx.changed(component.given):
            if ctx.get(component.given) != before:
                before = 1 - before
                words.append(ctx.get(component.word))

    return component, Layer(component, seed), words, read


@pytest.mark.parametrize("seed", range(5))
def test_recorder(seed):
    component, layer, words, read = recorder(seed)

    async def drive(ctx):
        ctx.set(component.counters.forward, 99)
        # A sample that updates, one that does not, one whose errors are all 0, and a command.
        await layer.beats(ctx, "y", [1, 2, 3, 255])
        await layer.scores(ctx, [-5, 6, -7], [-255, 255, 0])
        await layer.result(ctx, Command.TRAIN, 1)
        await layer.beats(ctx, "g", [-10, 20, -30, 40])
        await layer.beats(ctx, "y", [5, 6, 7, 8])
        await layer.scores(ctx, [1, 2, 3], [0, 0, 0])
        await layer.result(ctx, Command.INFER, 2)
        await layer.beats(ctx, "y", [9, 0, 0, 0])
        await layer.scores(ctx, [4, 5, 6], [0, 0, 0])
        await layer.result(ctx, Command.TRAIN, 0)
        await layer.result(ctx, Command.READ, 0)
        for _ in range(5):
            await ctx.tick()

    simulate(component, drive, background=[read])
    train, infer, quiet, command = words
    assert (list(train.y), train.y_beats, train.g_beats) == ([1, 2, 3, 255], 4, 4)
    assert (list(train.s), list(train.e)) == ([-5, 6, -7], [-255, 255, 0])
    assert list(train.g) == [-10, 20, -30, 40]
    assert (train.result.header.command, train.result.header.label) == (Command.TRAIN, 1)
    assert train.result.prediction == 2
    assert train.counters.forward == 99
    assert (list(infer.y), list(infer.g)) == ([5, 6, 7, 8], [0] * 4)
    assert (infer.y_beats, infer.g_beats, infer.overrun) == (4, 0, 0)
    assert (list(quiet.y), quiet.g_beats, list(quiet.s)) == ([9, 0, 0, 0], 0, [4, 5, 6])
    assert command.result.header.command == Command.READ


@pytest.mark.parametrize("result_first", [False, True])
def test_recorder_waits_for_local_errors(result_first):
    """A sample that updates is complete with the last of its g; by then the next may have y."""
    component, layer, words, read = recorder()

    async def drive(ctx):
        await layer.beats(ctx, "y", [1, 2, 3, 4])
        await layer.scores(ctx, [0, 0, 0], [1, 2, 3])
        if result_first:
            await layer.result(ctx, Command.TRAIN, 0)
        await layer.beats(ctx, "g", [9, 8, 7])
        for _ in range(5):
            await ctx.tick()
        assert not words
        await layer.beats(ctx, "g", [6])
        await layer.beats(ctx, "y", [5, 5], end=False)
        if not result_first:
            assert not words
            await layer.result(ctx, Command.TRAIN, 0)
        for _ in range(5):
            await ctx.tick()

    simulate(component, drive, background=[read])
    assert [(list(word.y), list(word.g), word.g_beats) for word in words] == [
        ([1, 2, 3, 4], [9, 8, 7, 6], 4)
    ]


def test_recorder_frozen():
    """A layer that is frozen makes no local errors, and nothing waits for them."""
    component, layer, words, read = recorder()

    async def drive(ctx):
        ctx.set(component.rule, Rule.FROZEN)
        await layer.beats(ctx, "y", [1, 2, 3, 4])
        await layer.scores(ctx, [0, 0, 0], [1, 2, 3])
        # What the next sample is trained by does not concern this one.
        ctx.set(component.rule, Rule.SYM)
        await layer.result(ctx, Command.TRAIN, 0)
        for _ in range(5):
            await ctx.tick()

    simulate(component, drive, background=[read])
    assert [(list(word.e), word.g_beats) for word in words] == [([1, 2, 3], 0)]


def test_recorder_result_before_scores():
    component, layer, words, read = recorder()

    async def drive(ctx):
        await layer.beats(ctx, "y", [1, 2, 3, 4])
        await layer.result(ctx, Command.TRAIN, 1)
        for _ in range(5):
            await ctx.tick()
        assert not words
        await layer.scores(ctx, [4, 5, 6], [0, 0, 0])
        for _ in range(5):
            await ctx.tick()

    simulate(component, drive, background=[read])
    assert [list(word.s) for word in words] == [[4, 5, 6]]


def test_recorder_tells_of_missing_and_surplus_beats():
    component, layer, words, read = recorder()

    async def drive(ctx):
        await layer.beats(ctx, "y", [1, 2, 3])
        await layer.scores(ctx, [0, 0, 0], [0, 0, 0])
        await layer.result(ctx, Command.INFER, 0)
        await layer.beats(ctx, "y", [1, 2, 3, 4, 5, 6, 7])
        await layer.scores(ctx, [0, 0, 0], [0, 0, 0])
        await layer.result(ctx, Command.INFER, 0)
        for _ in range(5):
            await ctx.tick()

    simulate(component, drive, background=[read])
    assert [word.y_beats for word in words] == [3, 5]


def test_recorder_overrun():
    component, layer, words, read = recorder()

    async def drive(ctx):
        for _ in range(2):
            await layer.scores(ctx, [0, 0, 0], [0, 0, 0])
            await ctx.tick()
        await layer.result(ctx, Command.INFER, 0)
        for _ in range(5):
            await ctx.tick()

    simulate(component, drive, background=[read])
    assert [word.overrun for word in words] == [1]
