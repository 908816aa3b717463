# SPDX-License-Identifier: BSD-2-Clause
"""Frames: software against itself, gates against software, broken frames in every way."""

import random
import time
from typing import Any

import pytest
from amaranth.lib.crc.catalog import CRC16_IBM_3740
from amaranth.sim import Simulator
from hypothesis import given, settings
from hypothesis import strategies as st

from boards.frames import BODY_MAX, END, ESC, ESC_END, ESC_ESC, Decoder, Frame, line_size
from boards.link.receiver import FrameReceiver, Ring
from boards.link.sender import PIECE, FrameSender
from hw.primitives import PORTABLE
from tests.hw.bench import simulate

BYTE = st.integers(0, 255)
SPECIAL = st.lists(st.sampled_from([END, ESC, ESC_END, ESC_ESC]), max_size=40).map(bytes)
BODY = st.binary(max_size=40) | SPECIAL
FRAMES = st.builds(Frame, st.integers(0, 2**32 - 1), BYTE, BYTE, BODY)
#: Operation of a frame that begins a session, and such a frame.
OPENING = 9
HELLO = Frame(0, OPENING)


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
    """A frame with a changed byte is never passed on; the one behind it is."""
    line = bytearray(frame.encode())
    # With END changed, there is no telling where the next frame begins.
    line[data.draw(st.integers(0, len(line) - 2))] ^= data.draw(st.integers(1, 255))
    decoder = Decoder()
    assert decoder.feed(bytes(line) + after.encode()) == [after]
    assert decoder.rejected >= 1


@given(frame=FRAMES, after=FRAMES, data=st.data())
def test_cut_frame(frame, after, data):
    """The beginning of a frame gives nothing, and END ends it."""
    line = frame.encode()
    decoder = Decoder()
    assert decoder.feed(line[: data.draw(st.integers(0, len(line) - 2))]) == []
    assert decoder.feed(bytes([END]) + after.encode()) == [after]
    assert decoder.rejected <= 1


@given(inner=FRAMES, before=st.binary(max_size=9), data=st.data())
def test_frame_within_a_frame(inner, before, data):
    """A body may hold a frame: however the one around it is damaged, nothing is found in it."""
    outer = Frame(1, 2, 3, before + inner.encode() + inner.encode()[:-1] + before)
    line = bytearray(outer.encode())
    position = data.draw(st.integers(0, len(line) - 2))
    line[position] ^= data.draw(st.integers(1, 255))
    decoder = Decoder()
    assert decoder.feed(bytes(line)) == []
    assert decoder.feed(inner.encode()) == [inner]


@pytest.mark.parametrize("special", [END, ESC, ESC_END, ESC_ESC, 0, 255])
def test_special_bytes(special):
    """END stands nowhere but at the end, whatever the frame is made of."""
    frame = Frame(special * 0x01010101, special, special, bytes([special]) * 50)
    line = frame.encode()
    assert line.count(END) == 1
    assert len(line) <= line_size(50)
    assert Decoder().feed(line) == [frame]


def test_crc():
    """The CRC is that of Amaranth's catalogue; the layout is as the documentation says."""
    crc: Any = CRC16_IBM_3740(8)
    checked = bytes([4, 3, 2, 1, 5, 6, 2, 0, 7, 8])
    expected = checked + crc.compute(checked).to_bytes(2, "big") + bytes([END])
    assert Frame(0x01020304, 5, 6, bytes([7, 8])).encode() == expected


def test_noise_before_a_frame():
    """Bytes that are no frame are passed over once END has come."""
    frame = Frame(1, 2, 3, b"body")
    assert Decoder().feed(b"noise" + bytes([END, END]) + frame.encode()) == [frame]


@pytest.mark.parametrize("byte", [0x55, END, ESC])
def test_linear(byte):
    """A line that never stops costs time and memory in proportion, not more."""
    decoder = Decoder()
    begin = time.process_time()
    for _ in range(20_000):
        assert decoder.feed(bytes([byte]) * 100) == []
    # Two megabytes: quadratic work would take minutes.
    assert time.process_time() - begin < 30
    assert decoder.feed(bytes([END]) + Frame(1, 2).encode()) == [Frame(1, 2)]


def test_too_long():
    """A body that the length cannot state is refused."""
    with pytest.raises(ValueError, match=r"^a body has at most 65535 bytes, not 65536$"):
        Frame(0, 0, 0, bytes(BODY_MAX + 1)).encode()


def receive(chunks, *, body_max=40, depth=64, reading=True):
    """Send an opening frame and then `chunks` to the gates.

    Returns the bytes passed on after that of the opening, and the number of rejected frames.
    """
    dut = FrameReceiver(body_max=body_max, depth=depth, opening=OPENING, primitives=PORTABLE)
    received = bytearray()
    rejected = []

    async def source(ctx):
        for chunk in chunks:
            for byte in chunk:
                ctx.set(dut.i.payload, byte)
                ctx.set(dut.i.valid, 1)
                await ctx.tick()
                ctx.set(dut.i.valid, 0)
                await ctx.tick().repeat(3)
            if reading:
                await ctx.tick().repeat(300)
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


def passed_on(*frames):
    """What the gates pass on of frames: header and body."""
    return b"".join(
        f.sequence.to_bytes(4, "little")
        + bytes([f.op, f.argument])
        + len(f.body).to_bytes(2, "little")
        + f.body
        for f in frames
    )


def other(frames):
    """Whether none of the frames opens a session."""
    return all(frame.op != OPENING for frame in frames)


@settings(deadline=None, max_examples=15)
@given(frames=st.lists(FRAMES, min_size=1, max_size=6))
def test_receiver(frames):
    """Intact frames are passed on, one after another, through a ring smaller than all of them."""
    received, rejected = receive([frame.encode() for frame in [HELLO, *frames]])
    assert received == passed_on(HELLO, *frames)
    assert rejected == 0


@settings(deadline=None, max_examples=15)
@given(frames=st.lists(FRAMES, min_size=1, max_size=3).filter(other))
def test_receiver_is_closed(frames):
    """Nothing is passed on until a frame opens a session; END without a frame is no frame."""
    chunks = [bytes([END, END]), *(frame.encode() for frame in frames), HELLO.encode()]
    assert receive(chunks) == (passed_on(HELLO), len(frames))


@settings(deadline=None, max_examples=30)
@given(frame=FRAMES, after=FRAMES.filter(lambda f: f.op != OPENING), data=st.data())
def test_receiver_rejects_a_corrupted_byte(frame, after, data):
    """A frame with a changed byte leaves no trace but the count, and closes the session."""
    line = bytearray(frame.encode())
    line[data.draw(st.integers(0, len(line) - 2))] ^= data.draw(st.integers(1, 255))
    chunks = [HELLO.encode(), bytes(line), after.encode(), HELLO.encode(), after.encode()]
    received, rejected = receive(chunks)
    assert received == passed_on(HELLO, HELLO, after)
    assert rejected >= 2


@settings(deadline=None, max_examples=15)
@given(frame=FRAMES, after=FRAMES, data=st.data())
def test_receiver_rejects_a_cut_frame(frame, after, data):
    """A frame that breaks off is ended by END, as is one that is too long."""
    line = frame.encode()[:-1]
    cut = line[: data.draw(st.integers(1, len(line) - 1))]
    for broken in cut, line + b"x":
        chunks = [HELLO.encode(), broken + bytes([END]) + HELLO.encode(), after.encode()]
        received, rejected = receive(chunks)
        assert received == passed_on(HELLO, HELLO, after)
        assert rejected == 1


@pytest.mark.parametrize("pair", [[ESC, 0], [ESC, ESC], [ESC, END]])
def test_receiver_rejects_a_broken_pair(pair):
    """ESC stands only before what it may stand before."""
    line = bytearray(Frame(1, 2, 3, b"body").encode())
    line[8:10] = pair
    received, rejected = receive([HELLO.encode(), bytes(line), HELLO.encode()])
    assert received == passed_on(HELLO, HELLO)
    assert rejected == (2 if END in pair else 1)


@pytest.mark.parametrize("special", [END, ESC, ESC_END, ESC_ESC])
def test_receiver_special_bytes(special):
    """What is stuffed comes out as it was."""
    frame = Frame(special * 0x01010101, special, special, bytes([special]) * 40)
    assert receive([HELLO.encode(), frame.encode()]) == (passed_on(HELLO, frame), 0)


def test_receiver_rejects_what_does_not_fit():
    """A body over the limit is not stored; a frame without room is dropped whole."""
    short, long = Frame(1, 2, 3, bytes(range(40))), Frame(4, 5, 6, bytes(41))
    received, rejected = receive([HELLO.encode(), long.encode(), HELLO.encode(), short.encode()])
    assert (received, rejected) == (passed_on(HELLO, HELLO, short), 1)
    received, rejected = receive([HELLO.encode(), short.encode(), short.encode()], reading=False)
    assert (received, rejected) == (b"", 1)


class RingUser:
    """Both ends of a ring of 8 bytes, in a test bench."""

    def __init__(self, ctx, ring):
        self.ctx, self.ring = ctx, ring

    async def store(self, data):
        """Store bytes and commit them; say whether they found room."""
        ctx, ring = self.ctx, self.ring
        for byte in data:
            ctx.set(ring.byte, byte)
            await self.pulse(ring.store)
        full = bool(ctx.get(ring.overflow))
        await self.pulse(ring.drop if full else ring.commit)
        return not full

    async def read(self, count):
        """Read bytes."""
        taken = []
        for _ in range(count):
            for _ in range(4):
                if not self.ctx.get(self.ring.o.valid):
                    await self.ctx.tick()
            assert self.ctx.get(self.ring.o.valid)
            taken.append(self.ctx.get(self.ring.o.payload))
            await self.pulse(self.ring.o.ready)
        await self.ctx.tick()
        return taken

    async def pulse(self, signal):
        """Set a signal for a clock."""
        self.ctx.set(signal, 1)
        await self.ctx.tick()
        self.ctx.set(signal, 0)


def test_ring_is_full():
    """A byte too many is noticed wherever in the ring, and overwrites nothing."""
    ring = Ring(depth=8, primitives=PORTABLE)

    async def bench(ctx):
        user = RingUser(ctx, ring)
        for _ in range(20):
            assert await user.store(range(8))
            assert not await user.store([99])
            assert await user.read(3) == [0, 1, 2]
            assert await user.store([8, 9])
            assert not await user.store([99, 98])
            assert await user.read(7) == [3, 4, 5, 6, 7, 8, 9]

    simulate(ring, bench)


@pytest.mark.parametrize("count", [0, 1, 5])
def test_ring_is_read_again(count):
    """What is kept can be read again, and its room is given to nobody until it no longer is."""
    ring = Ring(depth=8, primitives=PORTABLE)

    async def bench(ctx):
        user = RingUser(ctx, ring)
        for _ in range(20):
            assert await user.store(range(6))
            assert await user.read(1) == [0]
            ctx.set(ring.keep, 1)
            for _ in range(2):
                assert await user.read(count) == [1, 2, 3, 4, 5][:count]
                # The byte behind them is there by now, and goes away.
                await ctx.tick().repeat(4)
                await user.pulse(ring.again)
            assert await user.store([6, 7, 8])
            assert not await user.store([9])
            assert await user.read(8) == [1, 2, 3, 4, 5, 6, 7, 8]
            assert not await user.store([9])
            ctx.set(ring.keep, 0)
            await ctx.tick()

    simulate(ring, bench)


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
            while line:
                count = rng.randrange(min(PIECE, len(line))) + 1
                number = int.from_bytes(line[:count], "little")
                line = line[count:]
                await ctx.tick().repeat(rng.randrange(3) + 1)
                ctx.set(dut.i.payload, {"bytes": number, "count": count, "last": not line})
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
        ({"body_max": 100, "depth": 64}, "depth must be at least 108, not 64"),
        ({"body_max": 40, "depth": 100}, "depth must be a power of two, not 100"),
    ],
)
def test_receiver_errors(sizes, message):
    """Sizes that do not go together are refused."""
    with pytest.raises(ValueError, match=f"^{message}$"):
        FrameReceiver(**sizes, opening=OPENING, primitives=PORTABLE)
