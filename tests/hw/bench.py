# SPDX-License-Identifier: BSD-2-Clause
"""What the tests of components share: plans of one layer, lanes in software, simulation."""

import random

from amaranth.hdl import Module
from amaranth.sim import Simulator
from hypothesis import strategies as st

from golden import spec
from hw.plan import LayerPlan


def plan(*, inputs=5, classes=3, lr_growth=0, seed=1, signed_inputs=False, **layer):
    """Plan a layer on its own; `layer` holds what its table would."""
    layer = {"neurons": 4, "lanes": 8, **layer}
    table = {"inputs": inputs, "classes": classes, "seed": seed, "layer": [layer]}
    return LayerPlan(spec.parse(table, "test.toml").layers[0], lr_growth, signed_inputs)


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
    return plan(
        inputs=draw(st.integers(1, 9)),
        neurons=draw(st.integers(1, most)),
        lanes=draw(lanes),
        fw=fw,
        fx=fx,
        wb=draw(st.integers(4, 16)),
        fy=draw(st.integers(0, 8)),
        lr=draw(st.integers(max(fw - fx - 7, 0), 9)),
        # A signed input holds the constant input of the bias only so far.
        signed_inputs=draw(st.booleans()) and fx <= 6,
    )


def clip(v, low, high):
    return min(max(v, low), high)


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

    def g(self):
        """Draw a local error as the lanes receive it."""
        top = 1 << self.plan.update_width - 1
        return self.rng.choice([0, self.between(-top, top - 1)])


def entries(plan, x):
    """List the columns of a sample whose inputs are not 0, the bias at the end."""
    layer = plan.layer
    return [(j, value) for j, value in enumerate(x) if value] + [(layer.inputs, layer.one)]


class Twin:
    """The lanes of a layer, one number at a time (contract, "One training step of a layer").

    Local errors are shifted left as the lanes receive them.
    """

    def __init__(self, plan, weights):
        self.plan = plan
        self.weights = weights  # [lane][address]
        self.z = [0] * len(weights)

    def clear(self):
        self.z = [0] * len(self.weights)

    def forward(self, addr, x):
        self.z = [z + bank[addr] * x for z, bank in zip(self.z, self.weights, strict=True)]

    def activations(self):
        return [clip(z >> self.plan.z_shift, 0, 255) for z in self.z]

    def update(self, addr, x, g):
        k, limit = self.plan.update_shift, 1 << self.plan.layer.wb - 1
        for bank, error in zip(self.weights, g, strict=True):
            bank[addr] = clip(bank[addr] - ((error * x + (1 << k - 1)) >> k), -limit, limit - 1)
