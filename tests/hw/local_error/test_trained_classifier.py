# SPDX-License-Identifier: BSD-2-Clause
"""A classifier that is trained, in its place in the local error, against plain integers."""

import random
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw.local_error.local_error import LocalError
from hw.local_error.random_weights import fields
from hw.local_error.trained_classifier import feedback_latency, score_latency
from hw.ports import Command, Rule
from hw.primitives import PORTABLE
from tests.hw.bench import clip, plan, simulate, sink, source
from tests.hw.local_error.engine_side import padded, send, take

HIGH = 2**15 - 1


def rs(v, k):
    """Shift right and round, halves up; see the contract."""
    return (v + (1 << (k - 1))) >> k if k >= 1 else v << -k


class Twin:
    """The trained classifier of a layer (contract, "Trained classifier")."""

    def __init__(self, layer):
        self.layer = layer
        u = fields(layer.seeds[1], neurons=layer.neurons, classes=layer.classes, width=layer.mb)
        self.V = [[(2 * v - 2**layer.mb + 1) << (12 - layer.ms) for v in row] for row in u]

    def scores(self, y):
        return [
            sum(row[c] * a for row, a in zip(self.V, y, strict=True))
            for c in range(self.layer.classes)
        ]

    def errors(self, s, label):
        p, e = self.layer, []
        for c, score in enumerate(s):
            t = 1 if c == label else -1
            missing = max(0, (1 << p.fy + 12) - t * score)
            e.append(-t * min(rs(missing, p.fy + 12 - p.fe), 2**p.fe - 1))
        return e

    def local_errors(self, e, y):
        return [
            rs(sum(v * error for v, error in zip(row, e, strict=True)), 12) if a else 0
            for row, a in zip(self.V, y, strict=True)
        ]

    def update(self, e, y):
        p = self.layer
        k = p.fe + p.fy - 12 + p.lrv
        for row, a in zip(self.V, y, strict=True):
            row[:] = [
                clip(v - rs(error * a, k), -HIGH - 1, HIGH) for v, error in zip(row, e, strict=True)
            ]


class Bench:
    """Drives a local error as an engine does, as early as it may, and notes what it shows."""

    def __init__(self, plan, lead, rng, pauses=0.0):
        self.plan, self.lead, self.rng, self.pauses = plan, lead, rng, pauses
        self.dut = LocalError(plan=plan, lead=lead)
        self.twin = Twin(plan.layer)
        self.clock, self.advanced = 0, -1000
        self.when = {}  # the clock in which something was last seen
        self.beats, self.g, self.made, self.records = [], [], [], []
        self.expected_beats, self.expected_g = [], []
        self.expected_made, self.expected_records = [], []

    async def pause(self, ctx):
        while self.rng.random() < self.pauses:
            await ctx.tick()

    async def watch(self, ctx):
        dut, s = self.dut, None
        port = dut.gradients
        end = dut.activations.valid & dut.activations.payload.last
        taps = (
            *(port.beats.valid, port.beats.payload, dut.g.valid, dut.g.payload, port.advance),
            *(dut.scores.valid, dut.scores.payload, dut.errors.valid, dut.errors.payload),
            *(dut.result.valid & dut.result.ready, dut.result.payload, end),
        )
        async for (
            _,
            _,
            sent,
            beat,
            made,
            g,
            advance,
            scored,
            scores,
            judged,
            e,
            told,
            record,
            last,
        ) in ctx.tick().sample(*taps):
            self.clock += 1
            seen = {"sent": sent, "scored": scored, "judged": judged, "last": last}
            self.when |= {name: self.clock for name, valid in seen.items() if valid}
            if sent:
                # Those of the group before have been accepted by then.
                assert self.clock - self.advanced > self.lead
                self.beats.append((beat.index, list(beat.g)))
            if made:
                self.g.append(list(g))
            if advance:
                self.advanced = self.clock
            if scored:
                s = list(scores.s)
            if judged:
                self.made.append((s, list(e.e)))
            if told:
                self.records.append((record.header.command, record.prediction))

    async def sample(self, ctx, command, label, y, rule=Rule.TLC):
        """Send a sample; if it trains, take its local errors, else go on at once."""
        p, dut, twin = self.plan, self.dut, self.twin
        await send(ctx, dut, p, command, label, y, pause=self.pause)
        s = twin.scores(y)
        e = twin.errors(s, label) if command == Command.TRAIN else [0] * p.layer.classes
        self.expected_made.append((s, e))
        self.expected_records.append((command, s.index(max(s))))
        if command == Command.TRAIN:
            ctx.set(dut.rule, rule)
            while len(self.made) < len(self.expected_made):
                await ctx.tick()
            if any(e) and rule != Rule.FROZEN:
                await self.groups(ctx, twin.local_errors(e, y))
                twin.update(e, y)

    async def groups(self, ctx, g):
        """Take local errors group by group."""
        p = self.plan
        values, width = padded(p, g), p.drain_width
        made = iter([values[first : first + width] for first in range(0, len(values), width)])
        async for group in take(ctx, self.dut, p, g, lead=self.lead):
            self.expected_beats += group
            self.expected_g += islice(made, p.beats)
            assert self.beats == self.expected_beats
            assert self.g == self.expected_g
            await self.pause(ctx)

    async def command(self, ctx, command):
        """Send a packet that is no sample."""
        dut = self.dut
        while len(self.made) < len(self.expected_made):
            await ctx.tick()
        ctx.set(dut.records.payload.command, command)
        ctx.set(dut.records.valid, 1)
        await ctx.tick().until(dut.records.ready)
        ctx.set(dut.records.valid, 0)
        self.expected_records.append((command, 0))

    def run(self, *scripts, loads=()):
        """Carry out a script, then READ; `loads` are the V that LOADs bring."""
        dut, p = self.dut, self.plan.layer
        read = []

        async def engine(ctx):
            ctx.set(dut.lr, p.lr)
            ctx.set(dut.result.ready, 1)
            for script in scripts:
                await script(ctx)
            await self.command(ctx, Command.READ)
            await ctx.tick().repeat(p.classes + 5)

        weights = [v for V in loads for row in V for v in row]
        simulate(
            dut,
            engine,
            source(dut.weights_in, weights, pauses=self.pauses),
            sink(dut.weights_out, read, p.neurons * p.classes, pauses=self.pauses),
            background=[self.watch],
            clocks=40_000,
        )
        assert self.made == self.expected_made
        assert self.records == self.expected_records
        assert (self.g, self.beats) == (self.expected_g, self.expected_beats)
        assert read == [v for row in self.twin.V for v in row]


def load(bench, V):
    """Make a script that loads V."""

    async def script(ctx):
        await bench.command(ctx, Command.LOAD)
        bench.twin.V = [list(row) for row in V]

    return script


def samples(bench, jobs):
    """Make a script of samples (command, label, y, rule)."""

    async def script(ctx):
        for job in jobs:
            await bench.sample(ctx, *job)

    return script


def random_jobs(rng, layer, count):
    jobs = []
    for _ in range(count):
        share, top = rng.choice([0.1, 0.5, 1]), rng.choice([255, 255, 3])
        y = [
            rng.choice([top, rng.randrange(top + 1)]) if rng.random() < share else 0
            for _ in range(layer.neurons)
        ]
        command = rng.choice([Command.TRAIN, Command.TRAIN, Command.INFER])
        rule = rng.choice([Rule.TLC, Rule.SCFB, Rule.RANDOM, Rule.FROZEN])
        jobs.append((command, rng.randrange(layer.classes), y, rule))
    return jobs


def random_weights(rng, layer):
    values = [-HIGH - 1, HIGH, 0, *(rng.randrange(-HIGH - 1, HIGH + 1) for _ in range(3))]
    return [rng.choices(values, k=layer.classes) for _ in range(layer.neurons)]


@st.composite
def plans(draw):
    classes, mb, fe = draw(st.integers(2, 12)), draw(st.integers(1, 4)), draw(st.integers(1, 9))
    return plan(
        rule="tlc",
        neurons=draw(st.integers(1, 40)),
        # 1 to 5 neurons a beat, and 17.
        lanes=draw(st.sampled_from([1, 3, 4, 7, 16, 24, 48, 64, 80, 17])),
        classes=classes,
        mb=mb,
        ms=draw(st.integers(mb - 3, 12)),
        fe=fe,
        fy=draw(st.integers(0, 8)),
        lrv=draw(st.integers(0, 12)),
        v_lanes=draw(st.sampled_from([1, 3, classes, 2 * classes, 4 * classes])),
        seed=draw(st.integers(0, 2**32)),
    )


@pytest.mark.parametrize("lead", [0, 20])
@pytest.mark.parametrize("v_lanes", [1, 5, 14, 28])
@pytest.mark.parametrize("lanes", [9, 48, 64, 80, 17])
def test_shapes(lanes, v_lanes, lead):
    """Each way to share V out: words, units, and neurons that do not go into them."""
    p = plan(rule="tlc", neurons=70, lanes=lanes, classes=7, v_lanes=v_lanes, lrv=5, lr=9)
    rng = random.Random(lanes)
    bench = Bench(p, lead, rng)
    bench.run(samples(bench, random_jobs(rng, p.layer, 5)))


@pytest.mark.parametrize("v_lanes", [5, 10, 40])
def test_latency(v_lanes):
    """It takes the clocks that are said, if all neurons are active."""
    p = plan(rule="tlc", neurons=64, lanes=64, classes=10, v_lanes=v_lanes)
    bench = Bench(p, 6, random.Random(1))

    async def initialised(ctx):
        await ctx.tick().repeat(p.classifier_weights + 2)

    bench.run(initialised, samples(bench, [(Command.TRAIN, 1, [255] * 64)]))
    late = p.beats * (p.trained.clocks - 1)
    when = bench.when
    assert when["scored"] - when["last"] == score_latency(p, PORTABLE) + late
    walked = 1 + p.beats * p.trained.clocks
    assert when["sent"] - when["judged"] == walked + feedback_latency(p, PORTABLE)


@given(
    plan=plans(),
    lead=st.integers(0, 20),
    pauses=st.sampled_from([0.0, 0.4]),
    seed=st.integers(0, 2**32),
)
@settings(deadline=None, max_examples=8)
def test_samples(plan, lead, pauses, seed):
    """Whatever comes after whatever: scores, errors, local errors, predictions, and V itself."""
    rng, layer = random.Random(seed), plan.layer
    bench = Bench(plan, lead, rng, pauses)
    V = random_weights(rng, layer)
    bench.run(
        samples(bench, random_jobs(rng, layer, 3)),
        load(bench, V),
        samples(bench, random_jobs(rng, layer, 4)),
        loads=[V],
    )
