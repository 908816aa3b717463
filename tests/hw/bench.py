# SPDX-License-Identifier: BSD-2-Clause
"""What the tests of components share: plans of one layer, lanes in software, simulation."""

import random
from dataclasses import replace

from amaranth.hdl import Module
from amaranth.sim import Simulator
from hypothesis import strategies as st

from golden import spec
from golden.layer_spec import ROUNDED_BITS
from hw.local_error.random_weights import fields
from hw.parts.lfsr import bits
from hw.plan import LayerPlan


def plan(*, inputs=5, classes=3, lr_growth=0, seed=1, signed_inputs=False, **layer):
    """Plan a layer on its own; `layer` holds what its table would."""
    layer = {"neurons": 4, "lanes": 8, **layer}
    table = {"inputs": inputs, "classes": classes, "seed": seed, "layer": [layer]}
    return LayerPlan(spec.parse(table, "test.toml").layers[0], lr_growth, signed_inputs)


def exiting(plan, *, margin=None, below=False):
    """Let samples leave the layer of a plan, from `margin` on, or have them leave below it."""
    return replace(plan, layer=replace(plan.layer, margin=margin, exits_below=below))


def simulate(component, *benches, background=(), clocks=100_000):
    """Run test benches on a component until all have ended; fail if that takes too long."""
    m = Module()
    m.submodules.dut = component
    simulator = Simulator(m)
    simulator.add_clock(1e-6)

    async def limit(ctx):
        await ctx.delay(clocks * 1e-6)
        raise AssertionError(f"the test bench has not ended after {clocks} clocks")

    for bench in benches:
        simulator.add_testbench(bench)
    for bench in (*background, limit):
        simulator.add_testbench(bench, background=True)
    simulator.run()


def source(stream, payloads, *, pauses=0.0, seed=0):
    """Make a test bench that offers payloads, and pauses before some."""

    async def testbench(ctx):
        pause = random.Random(seed)
        for payload in payloads:
            while pause.random() < pauses:
                await ctx.tick()
            ctx.set(stream.payload, payload)
            ctx.set(stream.valid, 1)
            await ctx.tick().until(stream.ready)
            ctx.set(stream.valid, 0)

    return testbench


def sink(stream, received, count, *, pauses=0.0, seed=0, when=None):
    """Make a test bench that takes `count` payloads, each the one that was shown until then.

    `when`, if any, receives the clock in which each was taken.
    """

    async def testbench(ctx):
        pause, shown, clocks = random.Random(seed), None, 0
        while len(received) < count:
            ctx.set(stream.ready, pause.random() >= pauses)
            _, _, valid, payload, ready = await ctx.tick().sample(
                stream.valid, stream.payload, stream.ready
            )
            clocks += 1
            if shown is not None:
                assert valid
                assert payload == shown
            shown = payload if valid and not ready else None
            if valid and ready:
                received.append(payload)
                if when is not None:
                    when.append(clocks)

    return testbench


@st.composite
def plans(draw, lanes, most=60):
    """Draw plans of layers of at most so many neurons, with any formats of their numbers."""
    fw = draw(st.integers(4, 14))
    fx = draw(st.integers(4, 8))
    wb = draw(st.integers(4, 16))
    return plan(
        inputs=draw(st.integers(1, 9)),
        neurons=draw(st.integers(1, most)),
        lanes=draw(lanes),
        fw=fw,
        fx=fx,
        wb=wb,
        sr=wb <= ROUNDED_BITS and draw(st.booleans()),
        fy=draw(st.integers(0, 8)),
        yb=draw(st.sampled_from([8, 8, *range(1, 8)])),
        lr=draw(st.integers(0, 9)),
        # Wide local errors take more than a multiplier, and a falling rate widens them.
        **draw(st.sampled_from([{}, {}, {"mb": 5, "fe": 12}, {"mb": 8, "fe": 16}])),
        lr_growth=draw(st.sampled_from([0, 0, 3, 8, 14])),
        # A signed input holds the constant input of the bias only so far.
        signed_inputs=draw(st.booleans()) and fx <= 6,
        health=draw(st.booleans()),
    )


def clip(v, low, high):
    return min(max(v, low), high)


def drawn(layer, stream):
    """Draw classifier weights [n][c] from a stream of a layer: each a sum of odd numbers."""
    size, terms = {"neurons": layer.neurons, "width": layer.mb}, layer.terms
    rows = fields(layer.seeds[stream], classes=layer.classes * terms, **size)
    return [
        [
            sum(2 * u - 2**layer.mb + 1 for u in row[c : c + terms])
            for c in range(0, len(row), terms)
        ]
        for row in rows
    ]


def rs(v, k):
    """Shift right and round, or shift left (contract, "Notation")."""
    return (v + (1 << k - 1)) >> k if k >= 1 else v << -k


def shift_parts(plan, left):
    """Split the shift of updates: that of their inputs, and that of the local errors."""
    of_x = min(left, plan.x_growth)
    return of_x, left - of_x


class Extremes:
    """Random numbers, many of them at the ends of their range.

    Parameters
    ----------
    plan
        Dimensions of the layer whose numbers they are.
    rng
        A `random.Random`.
    """

    def __init__(self, plan, rng):
        self.plan, self.rng = plan, rng

    def between(self, low, high):
        return self.rng.choice([low, high, self.rng.randint(low, high)])

    def x(self):
        """Draw an input that is not 0."""
        low, high = (-128, 127) if self.plan.signed_inputs else (1, 255)
        return self.between(low, high) or high

    def inputs(self, density):
        """Draw the inputs of a sample; so many of them are not 0."""
        return [
            self.x() if self.rng.random() < density else 0 for _ in range(self.plan.layer.inputs)
        ]

    def weight(self):
        limit = 1 << self.plan.layer.wb - 1
        return self.between(-limit, limit - 1)

    def left(self):
        """Draw how far updates are shifted left."""
        return self.rng.choice(self.plan.left_shape)

    def g(self, left=0):
        """Draw a local error as the lanes receive it, if updates are shifted left so far."""
        top, (_, shift) = 1 << self.plan.update_width - 1, shift_parts(self.plan, left)
        return self.rng.choice([0, self.between(-top, top - 1)]) >> shift << shift


def entries(plan, x):
    """List the columns of a sample whose inputs are not 0, the bias at the end."""
    layer = plan.layer
    return [(j, value) for j, value in enumerate(x) if value] + [(layer.inputs, layer.one)]


class Twin:
    """The lanes of a layer, one number at a time (contract, "One training step of a layer").

    Updates are shifted left for the learning rate, by `left`: local errors are as the lanes receive
    them, and inputs are not yet (`shift_parts`).
    """

    def __init__(self, plan, weights):
        self.plan = plan
        self.weights = weights  # [lane][address]
        self.z = [0] * len(weights)
        self.drawn = 0  # bits of stochastic rounding

    def clear(self):
        self.z = [0] * len(self.weights)

    def forward(self, addr, x):
        self.z = [z + bank[addr] * x for z, bank in zip(self.z, self.weights, strict=True)]

    def activations(self):
        return [clip(z >> self.plan.z_shift, 0, self.plan.layer.y_max) for z in self.z]

    def draw(self, count, left):
        """Give what each of `count` entries adds in place of a half; none where there is no `sr`.

        It is shifted left as the updates are.
        """
        layer, k = self.plan.layer, max(self.plan.update_shift - left, 0)
        if not self.plan.drawn_bits:
            return [None] * count
        fields = [bits(layer.seeds[4], self.drawn + i * k, k) for i in range(count)]
        self.drawn += count * k
        return [field << left for field in fields]

    def update(self, addr, x, g, half=None, *, left=0):
        """Update the weights at an address; tell of which the change is not 0, but rounded to 0."""
        k, limit, lost = self.plan.update_shift, 1 << self.plan.layer.wb - 1, []
        of_x, _ = shift_parts(self.plan, left)
        for bank, error in zip(self.weights, g, strict=True):
            v = error * x << of_x
            u = rs(v, k) if half is None else (v + half) >> k
            bank[addr] = clip(bank[addr] - u, -limit, limit - 1)
            lost.append(v != 0 and u == 0)
        return lost
