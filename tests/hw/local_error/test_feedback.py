# SPDX-License-Identifier: BSD-2-Clause
"""The feedback against the contract, clock by clock: values, order, and how far it has got."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw.local_error.feedback import Feedback
from hw.ports import LR_WIDTH, Rule
from tests.hw.bench import clip, drawn, plan, shift_parts, simulate


@st.composite
def plans(draw):
    classes, mb = draw(st.integers(2, 26)), draw(st.integers(1, 4))
    fe = draw(st.integers(1, 8))
    return plan(
        init=draw(st.sampled_from(["uniform", "gauss"])),
        neurons=draw(st.integers(1, 60)),
        lanes=draw(st.sampled_from([1, 3, 4, 7, 16, 24, 48, 64])),  # 1 to 4 neurons a beat
        classes=classes,
        mb=mb,
        fe=fe,
        ms=draw(st.integers(-2, 8)),
        lr_growth=draw(st.sampled_from([0, 0, 9])),
        seed=draw(st.integers(0, 2**32)),
    )


def weights(layer, rule):
    """Compute K: its signs from stream 1, its magnitudes from stream 2, or both from one."""
    first, second = drawn(layer, 1), drawn(layer, 2)
    if rule == Rule.SCFB:
        return [
            [abs(b) if a > 0 else -abs(b) for a, b in zip(*rows, strict=True)]
            for rows in zip(first, second, strict=True)
        ]
    return second if rule == Rule.RANDOM else first


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
        self.expected = {}  # clock: group, index, g, shift
        self.unshifted = {}
        # The present group, when it is ready and complete, and whether it has shown a g.
        self.group, self.ready, self.complete = None, 0, 0
        self.groups, self.some = 0, False

    async def tick(self, ctx):
        """Check the outputs of this clock, perhaps write a beat of d, and go on."""
        dut, port = self.dut, self.dut.gradients
        # Before the first sample nothing says how far it has got.
        if self.groups:
            assert ctx.get(port.ready) == (self.clock >= self.ready)
            assert ctx.get(port.complete) == (self.clock >= self.complete)
        assert ctx.get(port.some) == self.some
        assert ctx.get(port.beats.valid) == (self.clock in self.expected)
        if self.clock in self.expected:
            group, index, g, shift = self.expected.pop(self.clock)
            assert ctx.get(port.beats.p.index) == index
            # What exceeds the bits of a multiplier is for the inputs.
            assert ctx.get(port.left) == shift
            _, left = shift_parts(self.plan, shift)
            assert list(ctx.get(port.beats.p.g)) == [value << left for value in g]
            # What comes late of the group before says nothing of the present one.
            self.some |= group == self.group and any(g)
        assert ctx.get(dut.g.valid) == (self.clock in self.unshifted)
        if self.clock in self.unshifted:
            assert list(ctx.get(dut.g.p)) == self.unshifted.pop(self.clock)
        if ctx.get(port.advance) or (ctx.get(port.update.valid) and ctx.get(port.update.p)):
            self.some = False
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
        """Expect the beats of a group, which was started or advanced to in the clock before."""
        p, first = self.plan, self.clock + self.dut.delay
        assert first > self.clock - 1 + self.lead
        self.groups += 1
        self.group = self.groups
        for index in range(p.beats):
            place = (group * p.beats + index) * p.drain_width
            beat = g[place : place + p.drain_width]
            self.expected[first + index] = self.group, index, beat, shift
            self.unshifted[first + index - 1 - max(self.lead - self.bare, 0)] = beat
        # No sooner than the last beat has started on its way.
        last = first + p.beats - 1
        self.ready = max(last - self.lead, last - self.dut.delay + 1)
        self.complete = last + 1

    @property
    def bare(self):
        """Clocks that local errors take if they are not held back."""
        layer = self.plan.layer
        terms = layer.classes * layer.terms * layer.mb
        return 3 + 2 * (layer.terms > 1) + (terms - 1).bit_length() + 1

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
        p, dut, port = self.plan, self.dut, self.dut.gradients
        padding = [0] * (p.sample_beats * p.drain_width - p.layer.neurons)
        g = [*local_errors(p.layer, rule, e, d), *padding]
        # Errors that are all 0, and those of samples that do not train, begin nothing.
        updates = any(e) and rule != Rule.FROZEN
        ctx.set(dut.errors.payload, {"e": e, "update": any(e)})
        ctx.set(dut.rule, rule)
        ctx.set(dut.lr, lr)
        ctx.set(dut.errors.valid, 1)
        assert ctx.get(port.update.valid)
        assert ctx.get(port.update.payload) == updates
        await self.pulse(ctx, dut.errors.valid)
        assert not ctx.get(port.update.valid)
        # They count at the start only.
        ctx.set(dut.rule, self.rng.choice(list(Rule)))
        ctx.set(dut.lr, self.rng.randrange(2**LR_WIDTH))
        if not updates:
            for group in range(p.groups):
                self.allow([*d_next, *padding], group)
            while self.rng.random() < 0.9:
                await self.tick(ctx)
            return
        for group in range(p.groups):
            self.begin(g, group, p.lr_max - clip(lr, p.lr_min, p.lr_max))
            while not ctx.get(port.ready):
                await self.tick(ctx)
            self.allow([*d_next, *padding], group)
            # The lanes accept local errors as soon as they may, or have no use for them.
            while not (ctx.get(port.ready) and ctx.get(port.some)) and not ctx.get(port.complete):
                await self.tick(ctx)
            if ctx.get(port.complete):
                lanes = g[group * p.layer.lanes :][: p.layer.lanes]
                assert ctx.get(port.some) == any(lanes)
            while self.rng.random() < 0.3:
                await self.tick(ctx)
            await self.pulse(ctx, port.advance)
        self.group = None
        while self.expected:
            await self.tick(ctx)


def run(plan, lead, rng, jobs):
    """Do jobs (rule, lr, e, d) in a row; e is 0 for samples that do not train."""
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

    simulate(bench.dut, stimulus)
    return bench.dut


def derivatives(layer, rng):
    """Draw where y > 0: in some groups nowhere, in others in the last lane alone."""
    d = []
    for _ in range(0, layer.neurons, layer.lanes):
        d += rng.choice(
            [
                [0] * layer.lanes,
                [*[0] * (layer.lanes - 1), 1],
                [rng.random() < 0.8 for _ in range(layer.lanes)],
            ]
        )
    return d[: layer.neurons]


@given(plan=plans(), lead=st.integers(0, 12), seed=st.integers(0, 2**32))
@settings(deadline=None, max_examples=10)
def test_jobs(plan, lead, seed):
    rng, layer = random.Random(seed), plan.layer
    limit = 2**layer.fe - 1
    errors = [0, -limit, limit, *rng.choices(range(-limit, limit + 1), k=4)]
    run(
        plan,
        lead,
        rng,
        [
            (
                rule,
                rng.randrange(2**LR_WIDTH),
                rng.choices(errors, k=layer.classes) if rng.random() < 0.8 else [0] * layer.classes,
                derivatives(layer, rng),
            )
            for rule in rng.sample(list(Rule) * 2, k=6)
        ],
    )


@pytest.mark.parametrize("ms", [-2, 0, 1, 6])
@pytest.mark.parametrize("mb", range(1, 5))
@pytest.mark.parametrize("neurons", [0, 5, 12, 18])
def test_extremes(neurons, mb, ms):
    """Errors that drive the local error of a neuron as far up and down as they can.

    Of Gaussian weights too, which are of 7, 5 or 3 terms by the number of neurons.
    """
    kind = {"neurons": neurons, "init": "gauss"} if neurons else {"neurons": 6}
    p = plan(lanes=3, classes=9, mb=mb, fe=5, ms=ms, **kind)
    jobs = []
    for sign in 31, -31:
        for row in weights(p.layer, Rule.SYM):
            e = [sign if k > 0 else -sign for k in row]
            jobs.append((Rule.SYM, p.lr_min, e, [1] * p.layer.neurons))
    run(p, 4, random.Random(0), jobs)


@pytest.mark.parametrize("lr_growth", [0, 5, 19])
def test_every_learning_rate(lr_growth):
    """Each value of the register: one out of range acts as the nearest in range."""
    p = plan(neurons=3, lanes=3, lr=4, mb=2, fe=3, lr_growth=lr_growth)
    jobs = [(Rule.SYM, lr, [7, -7, 3], [1] * 3) for lr in range(2**LR_WIDTH)]
    run(p, 4, random.Random(0), jobs)


@pytest.mark.parametrize("lead", [0, 6, 12])
@pytest.mark.parametrize("lanes", [1, 2])
def test_short_groups(lanes, lead):
    """Two classes make the shortest way; what comes late of a group says nothing of the next."""
    p = plan(neurons=8 * lanes, lanes=lanes, classes=2, mb=1)
    assert p.beats == lanes
    rng = random.Random(lead)
    e = [200, -200]
    run(p, lead, rng, [(Rule.SYM, p.lr_min, e, derivatives(p.layer, rng)) for _ in range(9)])


def test_delay():
    """The serial tail of a step is short."""
    p = plan(neurons=64, lanes=64, classes=10, mb=2)
    jobs = [(Rule.SYM, p.lr_min, [1] * 10, [1] * 64)]
    assert run(p, 4, random.Random(0), jobs).delay <= 9
