# SPDX-License-Identifier: BSD-2-Clause
"""What surrounds a network that is tried: streams that stall, and samples without their zeros."""

import random
from math import ceil

import pytest

from golden.layer_spec import splitmix64
from hw.plan import LayerPlan
from hw.ports import Command
from sim.sparse_beats import SparseBeats
from sim.staller import Staller
from tests.hw.bench import simulate, sink, source
from tests.sim.networks import describe


@pytest.mark.parametrize("rate", [0, 64, 230])
@pytest.mark.parametrize("pauses", [0.0, 0.4])
def test_staller(rate, pauses):
    count, received, when = 400, [], []
    staller = Staller(8, rate=rate, seed=splitmix64(rate))
    sent = [k % 251 for k in range(count)]
    simulate(
        staller,
        source(staller.i, sent, pauses=pauses),
        sink(staller.o, received, count, pauses=pauses, seed=1, when=when),
    )
    assert received == sent
    if not pauses:
        # A transfer takes as many draws as it takes to open.
        assert when[-1] / count == pytest.approx(1 / (1 - rate / 256), rel=0.15)


def test_stalls_are_those_of_the_seed():
    when = {}
    for seed in (1, 2, 1):
        staller, clocks = Staller(8, rate=128, seed=splitmix64(seed)), []
        simulate(staller, source(staller.i, range(50)), sink(staller.o, [], 50, when=clocks))
        assert when.setdefault(seed, clocks) == clocks
    assert when[1] != when[2]


@pytest.mark.parametrize("rate", [-1, 256])
def test_rate(rate):
    with pytest.raises(ValueError, match=f"rate must be from 0 to 255, not {rate}"):
        Staller(8, rate=rate, seed=1)


def beats(x, width, command=Command.TRAIN):
    """Write a sample densely."""
    header = {"command": command, "label": 1}
    for k in range(0, len(x), width):
        part = [*x[k : k + width], *[0] * (k + width - len(x))]
        last = k + width >= len(x)
        yield {"header": header, "last": last, "gap": width if k else 0, "x": part}


def columns(packet, inputs):
    """Read a packet of beats as `hw.ports.beat` says it is to be read."""
    x, first = [0] * inputs, 0
    for beat in packet:
        first += beat.gap
        for k, value in enumerate(beat.x):
            if value:
                x[first + k] = value
    return x


@pytest.mark.parametrize(("inputs", "width"), [(1, 1), (7, 1), (7, 4), (8, 4), (45, 8)])
def test_sparse_beats(inputs, width):
    draw = random.Random(inputs)
    (layer,) = describe({"neurons": 1}, inputs=inputs).layers
    component = SparseBeats(LayerPlan(layer), width)
    samples = [
        [draw.randrange(1, 256) * (draw.random() < share) for _ in range(inputs)]
        for share in (0.0, 0.05, 0.05, 0.2, 0.5, 1.0) * 4
    ]
    sent, expected = [], []
    for x in samples:
        sent += [*beats(x, width), *beats([0], width, Command.READ)]
        expected.append(sum(any(x[k : k + width]) for k in range(0, inputs, width)))
        # The last beat stays, whatever is in it.
        expected[-1] += not any(x[(ceil(inputs / width) - 1) * width :])
    received, count = [], sum(expected) + len(samples)
    simulate(
        component,
        source(component.i, sent, pauses=0.3),
        sink(component.o, received, count, pauses=0.3, seed=1),
    )
    for x, beats_of in zip(samples, expected, strict=True):
        packet, received = received[:beats_of], received[beats_of:]
        assert columns(packet, inputs) == x
        assert [beat.last for beat in packet] == [0] * (beats_of - 1) + [1]
        assert all(beat.x[0] or beat.last for beat in packet)
        assert {beat.header.command for beat in packet} == {Command.TRAIN}
        command, *received = received
        assert (command.header.command, command.last) == (Command.READ, 1)
