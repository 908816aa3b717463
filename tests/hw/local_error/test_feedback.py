# SPDX-License-Identifier: BSD-2-Clause
"""The feedback against the contract, clock by clock: values, order, and when it is ready."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw.local_error.feedback import Feedback
from hw.local_error.random_weights import fields
from hw.plan import MULTIPLIER_WIDTH
from hw.ports import LR_WIDTH, Rule
from tests.hw.bench import clip, plan, simulate


@st.composite
def plans(draw):
    classes, mb = draw(st.integers(2, 26)), draw(st.integers(1, 4))
    fe = draw(st.integers(1, 8))
    bits = ((2**mb - 1) * (2**fe - 1) * classes).bit_length() + 1
    return plan(
        neurons=draw(st.integers(1, 60)),
        lanes=draw(st.sampled_from([1, 3, 4, 7, 16, 24, 48, 64])),  # 1 to 4 neurons a beat
        classes=classes,
        mb=mb,
        fe=fe,
        ms=draw(st.integers(max(-2, bits - MULTIPLIER_WIDTH), 8)),
        seed=draw(st.integers(0, 2**32)),
    )


def odd(u, width):
    return 2 * u - 2**width + 1


def weights(layer, rule):
    """Compute K: its signs from stream 1, its magnitudes from stream 2, or both from one."""
    u1, u2 = (
        fields(seed, neurons=layer.neurons, classes=layer.classes, width=layer.mb)
        for seed in layer.seeds[1:3]
    )

    def weight(a, b):
        m, k = odd(a, layer.mb), odd(b, layer.mb)
        if rule == Rule.SCFB:
            return abs(k) if m > 0 else -abs(k)
        return k if rule == Rule.RANDOM else m

    return [
        [weight(a, b) for a, b in zip(*rows, strict=True)] for rows in zip(u1, u2, strict=True)
    ]


def local_errors(layer, rule, e, d):
    def g(row):
        v = sum(k * error for k, error in zip(row, e, strict=True))
        return (v + (1 << (layer.ms - 1))) >> layer.ms if layer.ms >= 1 else v << -layer.ms

    return [g(row) if d[n] else 0 for n, row in enumerate(weights(layer, rule))]


class Bench:
    """Drives a feedback and says for every clock what must be seen."""

    def __init__(self, plan, lead, rng):
        self.plan, self.lead, self.rng = plan, lead, rng
        self.dut = Feedback(plan=plan, lead=lead)
        self.clock = 0
        self.pending = []  # beats of d that may be written
        self.expected = {}  # clock: index, g, shift
        self.ready_from = 0

    async def tick(self, ctx):
        """Check the outputs of this clock, perhaps write a beat of d, and go on."""
        dut = self.dut
        beats = dut.gradients.beats
        assert ctx.get(dut.gradients.ready) == (self.clock >= self.ready_from)
        assert ctx.get(beats.valid) == (self.clock in self.expected)
        assert ctx.get(dut.g.valid) == (self.clock + 1 in self.expected)
        if self.clock in self.expected:
            index, g, shift = self.expected.pop(self.clock)
            assert ctx.get(beats.payload.index) == index
            assert list(ctx.get(beats.payload.g)) == [value << shift for value in g]
        if self.clock + 1 in self.expected:
            assert list(ctx.get(dut.g.payload)) == self.expected[self.clock + 1][1]
        write = bool(self.pending) and self.rng.random() < 0.7
        ctx.set(dut.activations.valid, write)
        d, last = self.pending.pop(0) if write else (self.rng.getrandbits(self.plan.drain_width), 1)
        y = [(d >> n & 1) * self.rng.choice([1, 128, 255]) for n in range(self.plan.drain_width)]
        ctx.set(dut.activations.payload, {"y": y, "last": last})
        await ctx.tick()
        self.clock += 1

    def allow(self, d, group):
        """Let the derivatives of a group be written."""
        p = self.plan
        for beat in range(group * p.beats, (group + 1) * p.beats):
            bits = d[beat * p.drain_width : (beat + 1) * p.drain_width]
            word = sum(bit << n for n, bit in enumerate(bits))
            self.pending.append((word, beat == p.sample_beats - 1))

    def begin(self, g, group, shift):
        """Expect the beats of a group, which was started in the clock before."""
        p, first = self.plan, self.clock + self.dut.delay
        for index in range(p.beats):
            place = (group * p.beats + index) * p.drain_width
            self.expected[first + index] = index, g[place : place + p.drain_width], shift
        # No sooner than the last beat has started on its way.
        last = first + p.beats - 1
        self.ready_from = max(last - self.lead, last - self.dut.delay + 1)

    async def pulse(self, ctx, signal):
        ctx.set(signal, 1)
        await self.tick(ctx)
        ctx.set(signal, 0)

    async def written(self, ctx):
        """Wait until all derivatives have been written, and perhaps longer."""
        while self.pending or self.rng.random() < 0.3:
            await self.tick(ctx)

    async def job(self, ctx, rule, lr, e, d, d_next):
        """Send the local errors of a sample while the derivatives of the next one are written."""
        p, dut = self.plan, self.dut
        padding = [0] * (p.sample_beats * p.drain_width - p.layer.neurons)
        g = [*local_errors(p.layer, rule, e, d), *padding]
        ctx.set(dut.errors.payload, {"e": e, "train": 1})
        ctx.set(dut.rule, rule)
        ctx.set(dut.lr, lr)
        ctx.set(dut.errors.valid, 1)
        assert ctx.get(dut.gradients.update.valid)
        assert ctx.get(dut.gradients.update.payload) == (rule != Rule.FROZEN)
        await self.pulse(ctx, dut.errors.valid)
        assert not ctx.get(dut.gradients.update.valid)
        # They count at the start only.
        ctx.set(dut.rule, self.rng.choice(list(Rule)))
        ctx.set(dut.lr, self.rng.randrange(2**LR_WIDTH))
        for group in range(p.groups):
            self.begin(g, group, p.lr_max - clip(lr, p.lr_min, p.lr_max))
            while not ctx.get(dut.gradients.ready):
                await self.tick(ctx)
            self.allow([*d_next, *padding], group)
            # The array accepts a group when it is there, and never sooner.
            while self.expected or self.rng.random() < 0.3:
                await self.tick(ctx)
            await self.pulse(ctx, dut.gradients.advance)


def run(plan, lead, rng, jobs):
    """Do jobs (rule, lr, e, d) in a row, with samples between them that do not train."""
    bench = Bench(plan, lead, rng)
    neurons = plan.layer.neurons
    padding = [0] * (plan.sample_beats * plan.drain_width - neurons)

    async def stimulus(ctx):
        derivatives = [d for *_, d in jobs]
        missing = True  # the derivatives of the present sample have not been written
        for (rule, lr, e, d), d_next in zip(jobs, [*derivatives[1:], [0] * neurons], strict=True):
            if missing:
                for group in range(plan.groups):
                    bench.allow([*d, *padding], group)
            await bench.written(ctx)
            missing = rng.random() < 0.3
            if missing:
                d_next = [rng.randrange(2) for _ in range(neurons)]
            await bench.job(ctx, rule, lr, e, d, d_next)
            await bench.written(ctx)
            if missing:
                # The errors of a sample that does not train begin nothing.
                ctx.set(bench.dut.errors.payload.train, 0)
                ctx.set(bench.dut.errors.valid, 1)
                assert not ctx.get(bench.dut.gradients.update.payload)
                await bench.pulse(ctx, bench.dut.errors.valid)
                # The array accepts local errors in every pass, whether there are any or not.
                for _ in range(plan.groups):
                    await bench.pulse(ctx, bench.dut.gradients.advance)

    simulate(bench.dut, stimulus)
    return bench.dut


@given(plan=plans(), lead=st.integers(0, 12), seed=st.integers(0, 2**32))
@settings(deadline=None, max_examples=20)
def test_jobs(plan, lead, seed):
    rng, layer = random.Random(seed), plan.layer
    limit = 2**layer.fe - 1
    errors = [0, -limit, limit, *rng.choices(range(-limit, limit + 1), k=4)]
    run(plan, lead, rng, [
        (
            rule,
            rng.randrange(2**LR_WIDTH),
            rng.choices(errors, k=layer.classes),
            [rng.random() < 0.8 for _ in range(layer.neurons)],
        )
        for rule in rng.sample(list(Rule), k=4)
    ])


@pytest.mark.parametrize("ms", [-2, 0, 1, 6])
@pytest.mark.parametrize("mb", range(1, 5))
def test_extremes(mb, ms):
    """Errors that drive the local error of a neuron as far up and down as they can."""
    p = plan(neurons=6, lanes=3, classes=9, mb=mb, fe=5, ms=ms)
    jobs = []
    for sign in 31, -31:
        for row in weights(p.layer, Rule.SYM):
            e = [sign if k > 0 else -sign for k in row]
            jobs.append((Rule.SYM, p.lr_min, e, [1] * 6))
    run(p, 4, random.Random(0), jobs)


@pytest.mark.parametrize("lr_growth", [0, 5])
def test_every_learning_rate(lr_growth):
    """Each value of the register: one out of range acts as the nearest in range."""
    p = plan(neurons=3, lanes=3, lr=4, mb=2, fe=3, lr_growth=lr_growth)
    jobs = [(Rule.SYM, lr, [7, -7, 3], [1] * 3) for lr in range(2**LR_WIDTH)]
    run(p, 4, random.Random(0), jobs)


def test_delay():
    """The serial tail of a step is short."""
    p = plan(neurons=64, lanes=64, classes=10, mb=2)
    jobs = [(Rule.SYM, p.lr_min, [1] * 10, [1] * 64)]
    assert run(p, 4, random.Random(0), jobs).delay <= 9
