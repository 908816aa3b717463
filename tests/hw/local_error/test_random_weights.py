# SPDX-License-Identifier: BSD-2-Clause
"""The random weights against the contract: check values, order, rules, and a proof of the signs."""

import random

import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator
from hypothesis import given, settings
from hypothesis import strategies as st

from golden.layer_spec import SOURCES
from hw.local_error.random_weights import ClassifierWeights, FeedbackWeights, couple, fields
from hw.ports import Rule
from tests.hw.bench import plan, simulate

SIZES = {
    "neurons": st.integers(1, 5),
    "classes": st.integers(2, 26),
    "width": st.integers(1, 4),
    "source": st.sampled_from(SOURCES),
    "steps": st.integers(1, 4),
    "seed": st.integers(0, 2**32),
}


def odd(u, width):
    return 2 * u - 2**width + 1


def test_check_values():
    layer = plan(inputs=4, neurons=2, classes=10, seed=1).layer
    assert [
        [odd(u, layer.mb) for u in row]
        for row in fields(layer.seeds[1], neurons=2, classes=10, width=layer.mb)
    ] == [[1, 3, 1, -3, 3, 1, -3, -1, 3, -3], [-1, 1, 3, 1, -1, 3, -1, -1, -3, 3]]


def test_array_by_hand():
    """Three classes of 2 bits: 3 rows, 2 columns; the LFSR puts out 1 0 1, 1 0 and 55 zeros."""
    expected = [[0b10, 0b10, 0b10]] + 11 * [[0, 0, 0]]
    assert fields(1 << 3, neurons=12, classes=3, width=2, source="array") == expected


def walk(dut, rng, expected, settings=({},)):
    """Step through all beats with gaps, restart with the last or in the middle, and repeat."""

    async def bench(ctx):
        for number, values in enumerate(settings):
            for name, value in values.items():
                ctx.set(getattr(dut, name), value)
            complete = rng.random() < 0.5
            for index, beat in enumerate(expected[number]):
                while rng.random() < 0.3:
                    await ctx.tick()
                for _ in range(getattr(dut, "delay", 0)):
                    await ctx.tick()
                assert [list(row) for row in ctx.get(dut.u)] == beat
                last = index == len(expected[number]) - 1
                ctx.set(dut.step, complete or not last)
                ctx.set(dut.restart, last)
                await ctx.tick()
                ctx.set(dut.step, 0)
                ctx.set(dut.restart, 0)

    simulate(dut, bench)


def beats(rows, neurons):
    return [rows[n : n + neurons] for n in range(0, len(rows), neurons)]


@given(**SIZES)
@settings(deadline=None, max_examples=10)
def test_classifier_weights(neurons, classes, width, source, steps, seed):
    rng = random.Random(seed)
    size = {"classes": classes, "width": width, "source": source}
    stream = rng.getrandbits(64) | 1
    expected = beats(fields(stream, neurons=neurons * steps, **size), neurons)
    dut = ClassifierWeights(seed=stream, neurons=neurons, **size)
    walk(dut, rng, [expected] * 3, [{}] * 3)


@given(**SIZES, terms=st.sampled_from([1, 1, 3, 5, 7]))
@settings(deadline=None, max_examples=12)
def test_feedback_weights(neurons, classes, width, source, terms, steps, seed):
    rng = random.Random(seed)
    bits = {"classes": classes, "width": width * terms, "source": source}
    seeds = (rng.getrandbits(64) | 1, rng.getrandbits(64) | 1)
    first, second = (fields(stream, neurons=neurons * steps, **bits) for stream in seeds)

    def positive(u):
        return sum(odd(u >> k * width & 2**width - 1, width) for k in range(terms)) > 0

    ones = 2 ** (width * terms) - 1
    coupled = [
        [b if positive(a) == positive(b) else b ^ ones for a, b in zip(*rows, strict=True)]
        for rows in zip(first, second, strict=True)
    ]
    stream_of = {Rule.SYM: first, Rule.FROZEN: first, Rule.SCFB: coupled, Rule.RANDOM: second}
    rules = [*Rule, *rng.choices(list(Rule), k=3)]
    size = {"neurons": neurons, "classes": classes, "width": width, "terms": terms}
    dut = FeedbackWeights(seeds=seeds, source=source, **size)
    walk(
        dut,
        rng,
        [beats(stream_of[rule], neurons) for rule in rules],
        [{"rule": rule} for rule in rules],
    )


class Couple(wiring.Component):
    """The coupling by itself."""

    def __init__(self, width):
        super().__init__({"u1": In(width), "u2": In(width), "coupled": In(1), "o": Out(width)})

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.o.eq(couple(m, self.u2, self.u1[-1], self.u2[-1], self.coupled))
        return m


def run(dut, bench):
    """Run a test bench on logic without a clock."""
    simulator = Simulator(dut)
    simulator.add_testbench(bench)
    simulator.run()


@pytest.mark.parametrize("width", range(1, 9))
def test_coupling_is_proven(width):
    """All fields of all widths that a description allows: the sign of u1, the magnitude of u2."""
    dut = Couple(width)

    async def bench(ctx):
        ctx.set(dut.coupled, 1)
        for u1 in range(2**width):
            ctx.set(dut.u1, u1)
            m = odd(u1, width)
            for u2 in range(2**width):
                ctx.set(dut.u2, u2)
                k = odd(ctx.get(dut.o), width)
                assert (k > 0) == (m > 0)
                assert abs(k) == abs(odd(u2, width))

    run(dut, bench)


def test_no_coupling():
    dut = Couple(3)

    async def bench(ctx):
        for u1 in range(8):
            for u2 in range(8):
                ctx.set(dut.u1, u1)
                ctx.set(dut.u2, u2)
                assert ctx.get(dut.o) == u2

    run(dut, bench)
