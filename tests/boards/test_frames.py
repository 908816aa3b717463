# SPDX-License-Identifier: BSD-2-Clause
"""Frames: software against itself, gates against software, broken frames in every way."""

import random

import pytest
from amaranth.sim import Simulator
from hypothesis import given, settings
from hypothesis import strategies as st

from boards.frames import BODY_MAX, HEADER, SYNC, Decoder, Frame, FrameReceiver, FrameSender
from hw.primitives import PORTABLE

BYTE = st.integers(0, 255)
FRAMES = st.builds(Frame, BYTE, BYTE, BYTE, st.binary(max_size=40))
IDLE = 200


def pieces(rng, data):
    """Cut `data` into pieces of random sizes."""
    while data:
        size = rng.randint(1, len(data))
        yield data[:size]
        data = data[size:]


@given(frames=st.lists(FRAMES, max_size=5), seed=st.integers(0, 2**32))
def test_round_trip(frames, seed):
    """Frames come out as they went in, however the line cuts them."""
    rng = random.Random(seed)
    decoder = Decoder()
    line = b"".join(frame.encode() for frame in frames)
    assert [f for piece in pieces(rng, line) for f in decoder.feed(piece)] == frames
    assert decoder.rejected == 0


@given(frame=FRAMES, after=FRAMES, data=st.data())
def test_corrupted_byte(frame, after, data):
    """A frame with a changed byte is never passed on; what follows it is, in the end."""
    line = bytearray(frame.encode())
    position = data.draw(st.integers(0, len(line) - 1))
    line[position] ^= data.draw(st.integers(1, 255))
    decoder = Decoder()
    found = decoder.feed(bytes(line))
    # A length that has grown takes in what follows, up to the longest frame.
    found += decoder.feed(after.encode() + bytes(BODY_MAX + 10))
    assert frame not in found or frame == after
    assert after in found


@given(frame=FRAMES, after=FRAMES, data=st.data())
def test_cut_frame(frame, after, data):
    """The beginning of a frame gives nothing, and nothing is left of it after `reset`."""
    line = frame.encode()
    decoder = Decoder()
    assert decoder.feed(line[: data.draw(st.integers(0, len(line) - 1))]) == []
    decoder.reset()
    assert decoder.feed(after.encode()) == [after]


def test_noise_before_a_frame():
    """Bytes that are no frame are passed over."""
    frame = Frame(1, 2, 3, b"body")
    line = b"noise" + bytes([SYNC, SYNC]) + frame.encode() + bytes(BODY_MAX)
    assert Decoder().feed(line) == [frame]


def test_too_long():
    """A body that the length cannot state is refused."""
    with pytest.raises(ValueError, match=r"^a body has at most 65535 bytes, not 65536$"):
        Frame(0, 0, 0, bytes(BODY_MAX + 1)).encode()


def receive(chunks, *, body_max=40, depth=64, reading=True):
    """Send `chunks` (bytes, or a number of silent clocks) to the gates.

    Returns the bytes passed on and the number of rejected frames.
    """
    dut = FrameReceiver(body_max=body_max, depth=depth, idle=IDLE, primitives=PORTABLE)
    received = bytearray()
    rejected = []

    async def source(ctx):
        for chunk in chunks:
            if isinstance(chunk, int):
                await ctx.tick().repeat(chunk)
                continue
            for byte in chunk:
                ctx.set(dut.i.payload, byte)
                ctx.set(dut.i.valid, 1)
                await ctx.tick()
                ctx.set(dut.i.valid, 0)
                await ctx.tick().repeat(3)
        await ctx.tick().repeat(8 * depth)
        rejected.append(ctx.get(dut.rejected))

    async def sink(ctx):
        ctx.set(dut.o.ready, reading)
        async for _clk, _rst, valid, ready, byte in ctx.tick().sample(
            dut.o.valid, dut.o.ready, dut.o.payload
        ):
            if valid and ready:
                received.append(byte)

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(source)
    simulator.add_testbench(sink, background=True)
    simulator.run()
    return bytes(received), rejected[0]


def passed_on(frame):
    """What the gates pass on of a frame: all but SYNC and the CRC."""
    return frame.encode()[1:-2]


@settings(deadline=None, max_examples=15)
@given(frames=st.lists(FRAMES, min_size=1, max_size=6))
def test_receiver(frames):
    """Intact frames are passed on, one after another, through a ring smaller than all of them."""
    received, rejected = receive([chunk for f in frames for chunk in (f.encode(), 300)])
    assert received == b"".join(map(passed_on, frames))
    assert rejected == 0


@settings(deadline=None, max_examples=25)
@given(frame=FRAMES, after=FRAMES, data=st.data())
def test_receiver_rejects_a_corrupted_byte(frame, after, data):
    """A frame with a changed byte leaves no trace but the count; the next one is intact."""
    line = bytearray(frame.encode())
    line[data.draw(st.integers(1, len(line) - 1))] ^= data.draw(st.integers(1, 255))
    received, rejected = receive([bytes(line), 2 * IDLE, after.encode()])
    assert received == passed_on(after)
    assert rejected >= 1


@settings(deadline=None, max_examples=15)
@given(frame=FRAMES, after=FRAMES, data=st.data())
def test_receiver_rejects_a_cut_frame(frame, after, data):
    """A frame that breaks off is given up after `idle` clocks of silence."""
    line = frame.encode()
    start = line[: data.draw(st.integers(1, len(line) - 1))]
    received, rejected = receive([start, IDLE + 5, after.encode()])
    assert received == passed_on(after)
    assert rejected == 1


def test_receiver_rejects_what_does_not_fit():
    """A body over the limit is not waited for; a frame without room is dropped whole."""
    short, long = Frame(1, 2, 3, bytes(range(40))), Frame(4, 5, 6, bytes(41))
    received, rejected = receive([long.encode()[: 1 + HEADER], short.encode()])
    assert (received, rejected) == (passed_on(short), 1)
    received, rejected = receive([short.encode(), short.encode()], reading=False)
    assert (received, rejected) == (b"", 1)


@settings(deadline=None, max_examples=15)
@given(frames=st.lists(FRAMES, min_size=1, max_size=4), seed=st.integers(0, 2**32))
def test_sender(frames, seed):
    """The gates make the same bytes as `Frame.encode`, under stalls on both sides."""
    rng = random.Random(seed)
    dut = FrameSender()
    expected = b"".join(frame.encode() for frame in frames)
    sent = bytearray()

    async def source(ctx):
        for frame in frames:
            line = passed_on(frame)
            for i, byte in enumerate(line):
                await ctx.tick().repeat(rng.randrange(3) + 1)
                ctx.set(dut.i.payload, {"byte": byte, "last": i == len(line) - 1})
                ctx.set(dut.i.valid, 1)
                await ctx.tick().until(dut.i.ready)
                ctx.set(dut.i.valid, 0)

    async def sink(ctx):
        while len(sent) < len(expected):
            ctx.set(dut.o.ready, rng.random() < 0.5)
            _clk, _rst, valid, ready, byte = await ctx.tick().sample(
                dut.o.valid, dut.o.ready, dut.o.payload
            )
            if valid and ready:
                sent.append(byte)

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(source)
    simulator.add_testbench(sink)
    simulator.run_until(0.1)
    assert bytes(sent) == expected


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"body_max": 65536, "depth": 2048}, "body_max must be between 0 and 65535, not 65536"),
        ({"body_max": 100, "depth": 64}, "depth must be a power of two of at least 105, not 64"),
        ({"body_max": 40, "depth": 100}, "depth must be a power of two of at least 45, not 100"),
    ],
)
def test_receiver_errors(sizes, message):
    """Sizes that do not go together are refused."""
    with pytest.raises(ValueError, match=f"^{message}$"):
        FrameReceiver(**sizes, idle=IDLE, primitives=PORTABLE)
