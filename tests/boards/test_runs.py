# SPDX-License-Identifier: BSD-2-Clause
"""Samples as runs: software against itself, gates against software, how long they are."""

import os
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boards import runs
from boards.frames import Frame
from boards.link.packets import Packets
from boards.protocol import Op
from golden.data import FOLDER, load
from hw.link_limits import sample_max
from hw.ports import Command
from tests.hw.bench import plan, simulate

MNIST = pytest.mark.skipif(
    not (Path(os.environ.get(FOLDER, "")) / "mnist").is_dir(),
    reason=f"{FOLDER} names no folder with mnist/",
)
#: Bytes of which some are special: zeros, ends of ranges, heads of short runs.
BYTES = st.sampled_from([0, 0, 0, 1, 2, 3, 254, 255]) | st.integers(0, 255)


@st.composite
def samples(draw, inputs):
    """Draw samples from empty to full ones, with gaps and runs of all lengths."""
    columns = draw(inputs)
    sample = np.zeros(0, np.uint8)
    while len(sample) < columns:
        # Zeros, ones, or both in turn.
        density, length = draw(st.sampled_from([0.0, 0.5, 1.0])), draw(st.integers(1, 600))
        seed = draw(st.integers(0, 2**32 - 1))
        piece = np.random.default_rng(seed).random(length) < density
        sample = np.concatenate([sample, piece.astype(np.uint8)])
    return sample[:columns] * draw(st.sampled_from([1, 192, 219, 255]))


def shortest(sample):
    """Compute the length of the shortest body of a sample of less than 256 columns."""
    best = [0] * (len(sample) + 1)
    for column in reversed(range(len(sample))):
        best[column] = best[column + 1]
        if sample[column]:
            ends = range(column + 1, len(sample) + 1)
            best[column] = min(2 + end - column + best[end] for end in ends)
    return best[0] or 2


@given(sample=samples(st.integers(1, 900)))
def test_round_trip(sample):
    """What is encoded is decoded; it is never longer than the link allows for."""
    body = runs.encode(sample)
    assert np.array_equal(runs.decode(body, len(sample)), sample)
    assert 2 <= len(body) <= sample_max(len(sample))


@given(sample=samples(st.integers(1, 60)))
def test_shortest(sample):
    """No other runs of a short sample take fewer bytes."""
    assert len(runs.encode(sample)) == shortest(sample)


@pytest.mark.parametrize(
    ("sample", "body"),
    [
        ([0, 0, 0], [0, 0]),
        ([5, 0, 0], [0, 1, 5]),
        ([0, 0, 7], [2, 1, 7]),
        ([1, 0, 0, 2, 0, 0, 0, 3], [0, 4, 1, 0, 0, 2, 3, 1, 3]),
        ([0] * 255 + [1], [255, 1, 1]),
        ([0] * 256 + [1], [255, 0, 1, 1, 1]),
        ([0] * 511 + [1], [255, 0, 255, 0, 1, 1, 1]),
        ([1] * 255, [0, 255] + [1] * 255),
        ([0] + [1] * 256 + [0] * 9, [1, 255] + [1] * 255 + [0, 1, 1]),
    ],
)
def test_examples(sample, body):
    """Each rule of the format."""
    assert list(runs.encode(np.array(sample, np.uint8))) == body
    assert runs.decode(bytes(body), len(sample)).tolist() == sample


@pytest.mark.parametrize("inputs", [1, 254, 255, 256, 510, 511, 784])
def test_longest(inputs):
    """A sample without zeros is the longest."""
    assert len(runs.encode(np.ones(inputs, np.uint8))) == sample_max(inputs)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ([], "a sample has at least one run"),
        ([0], "the run at byte 0 is cut"),
        ([0, 1, 5, 0, 2, 5], "the run at byte 3 is cut"),
        ([5, 0], "the run at byte 0 goes beyond column 3"),
        ([0, 1, 5, 2, 2, 5, 5], "the run at byte 3 goes beyond column 3"),
    ],
)
def test_wrong(body, message):
    """What is not a sample is told from one."""
    with pytest.raises(ValueError, match=f"^{message}$"):
        runs.decode(bytes(body), 4)


def send(body, inputs, pixels, *, command=Command.TRAIN, label=2, seed=0):
    """Have the gates send a sample; give its beats, and whether it was refused."""
    rng = random.Random(seed)
    dut = Packets(plan=plan(inputs=inputs), pixels=pixels)
    beats, refused = [], []

    async def control(ctx):
        """Give the body, again if it is asked for, and wait for the answer."""
        ctx.set(dut.op, command.value)
        ctx.set(dut.label, label)
        ctx.set(dut.go, 1)
        at = 0
        while not refused:
            valid = at < len(body) and rng.random() < 0.7
            ctx.set(dut.body.valid, valid)
            ctx.set(dut.body.payload, {"byte": body[at] if valid else 85, "last": valid
                                       and at == len(body) - 1})  # fmt: skip
            *_, taken, again, done, no = await ctx.tick().sample(
                valid & dut.body.ready, dut.again, dut.done, dut.refused
            )
            at += taken
            if again:
                assert at == len(body)
                at = 0
            if done:
                refused.append(no)
                assert at == len(body)
        ctx.set(dut.go, 0)
        ctx.set(dut.body.valid, 0)
        # Nothing comes after the answer.
        await ctx.tick().repeat(5)

    async def network(ctx):
        """Take the beats at times, and answer behind the last."""
        while True:
            ctx.set(dut.samples.ready, rng.random() < 0.7)
            *_, taken, beat = await ctx.tick().sample(
                dut.samples.valid & dut.samples.ready, dut.samples.payload
            )
            if taken:
                beats.append(beat)
                ctx.set(dut.complete, beat.last)

    simulate(dut, control, background=[network])
    return beats, bool(refused[0])


def image(beats, inputs):
    """Put a sample together from its beats."""
    pixels, column = [0] * (inputs + len(beats[0].x)), 0
    for beat in beats:
        column += beat.gap
        for i, x in enumerate(beat.x):
            # Zeros beside a value are of no matter, on whichever side.
            pixels[column + i] += x
    assert not any(pixels[inputs:])
    return pixels[:inputs]


def check(body, inputs, **options):
    """Send a body through the gates; compare with `runs.decode`."""
    beats, refused = send(body, inputs, min(8, inputs), **options)
    try:
        expected = runs.decode(bytes(body), inputs)
    except ValueError:
        assert refused
        assert beats == []
        return
    assert not refused
    assert image(beats, inputs) == expected.tolist()
    assert [beat.last for beat in beats] == [0] * (len(beats) - 1) + [1]
    assert {(beat.header.command, beat.header.label) for beat in beats} == {
        (options.get("command", Command.TRAIN), 2)
    }


@settings(deadline=None, max_examples=30)
@given(
    sample=samples(st.sampled_from([1, 2, 7, 8, 9, 255, 256, 300])),
    command=st.sampled_from([Command.TRAIN, Command.INFER]),
    seed=st.integers(0, 999),
)
def test_gates(sample, command, seed):
    """The network gets the sample, with the same header in every beat, and the end marked."""
    check(runs.encode(sample), len(sample), command=command, seed=seed)


@settings(deadline=None, max_examples=150)
@given(
    inputs=st.sampled_from([1, 2, 4, 7, 8, 9, 15, 255, 256, 257]),
    body=st.lists(BYTES, min_size=1, max_size=30),
    seed=st.integers(0, 999),
)
def test_gates_on_any_bytes(inputs, body, seed):
    """Whatever arrives is either a sample, or refused before a beat has been sent."""
    check(body, inputs, seed=seed)


@settings(deadline=None, max_examples=100)
@given(sample=samples(st.integers(1, 20)), seed=st.integers(0, 999), data=st.data())
def test_gates_on_damaged_runs(sample, seed, data):
    """So it is with what is nearly a sample: a byte is changed, or left out, or the end is."""
    body = list(runs.encode(sample))
    at = data.draw(st.integers(0, len(body) - 1))
    kind = data.draw(st.sampled_from(["change", "leave out", "cut", "add"]))
    if kind == "change":
        body[at] = data.draw(BYTES)
    elif kind == "cut":
        del body[at + 1 :]
    elif kind == "leave out" and len(body) > 1:
        del body[at]
    else:
        body.insert(at, data.draw(BYTES))
    check(body, len(sample), seed=seed)


@pytest.mark.parametrize("command", [Command.READ, Command.LOAD])
def test_commands_are_one_beat(command):
    """A packet without a sample is one beat, and ends with it."""
    dut, beats = Packets(plan=plan(inputs=4), pixels=4), []

    async def bench(ctx):
        ctx.set(dut.op, command.value)
        ctx.set(dut.go, 1)
        ctx.set(dut.samples.ready, 1)
        ctx.set(dut.read, 1)
        ctx.set(dut.complete, 1)
        done = False
        while not done:
            *_, valid, beat, done = await ctx.tick().sample(
                dut.samples.valid, dut.samples.payload, dut.done
            )
            beats.extend([beat] * valid)

    simulate(dut, bench)
    assert [(beat.header.command, beat.last) for beat in beats] == [(command, 1)]


def test_sparse_frames():
    """A sample with MNIST's share of zeros, in strokes, takes a third of its bytes on the line."""
    rng = np.random.default_rng(0)
    sizes = []
    for n in range(200):
        sample = np.zeros((28, 28), np.uint8)
        for row in sample[4:24]:
            for start in rng.integers(4, 20, 2):
                row[start : start + 4] = rng.integers(1, 256, 4)
        sizes.append(len(Frame(n, Op.TRAIN, 3, runs.encode(sample.ravel())).encode()))
    assert 784 / 4 < np.mean(sizes) < 784 / 3


@MNIST
def test_mnist_frames():
    """A training sample of MNIST takes 211 bytes on the line in the mean, and 402 at most."""
    data = load("mnist")
    sizes = np.array(
        [
            len(Frame(n, Op.TRAIN, int(label), runs.encode(sample)).encode())
            for n, (sample, label) in enumerate(zip(data.train_x, data.train_y, strict=True))
        ]
    )
    # The first thousand are no exception.
    assert sizes[:1000].mean() <= 212
    assert sizes.mean() <= 212
    assert sizes.max() <= 402
    for sample in data.train_x[:1000]:
        assert np.array_equal(runs.decode(runs.encode(sample), 784), sample)
