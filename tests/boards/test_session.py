# SPDX-License-Identifier: BSD-2-Clause
"""Hosts that come and go, and lines that repeat themselves, before the link in gates."""

import numpy as np
import pytest

from boards import runs
from boards.frames import Frame
from boards.protocol import Code, Op
from boards.training import train
from golden import weights
from golden.data import Data
from golden.model import IntegerNetwork
from golden.order import order
from golden.training import weights_of
from hw.network import Network
from hw.primitives import PORTABLE
from tests.boards.simulated_board import (
    PLANS,
    SPEC,
    SimulatedPort,
    StandIn,
    answers,
    connect,
    constant,
    exchange,
    sparse,
)

ROWS = [p.layer for p in PLANS for _ in range(p.layer.neurons)]
#: A whole LOAD: each request with its number and the bytes up to its end.
LOAD = [
    Frame(1, Op.LOAD).encode(),
    *(
        Frame(n, Op.ROW, layer.index, np.full(layer.columns, 9, "<i2").tobytes()).encode()
        for n, layer in enumerate(ROWS, 2)
    ),
]
LENGTH = sum(map(len, LOAD))
#: The body of a sample.
SAMPLE = runs.encode(np.arange(SPEC.inputs, dtype=np.uint8))


@pytest.fixture
def port():
    """A port to a fresh link and stand-in."""
    return SimulatedPort(StandIn())


@pytest.mark.parametrize("start", [0, 4, 9])
def test_host_dies_inside_load(start):
    """Wherever a LOAD breaks off, the next host finds a link that works, and is told."""
    port = SimulatedPort(StandIn())
    connect(port)
    line = b"".join(LOAD)
    ends = np.cumsum([len(request) for request in LOAD])
    for cut in range(start, LENGTH, 13):
        assert exchange(port, 0, Op.HELLO)[0].op == Op.HELLO
        port.write(line[:cut])
        done = int(np.searchsorted(ends, cut, side="right"))
        assert len(answers(port, done)) == done
        board = connect(port)
        # The next host ends what lies on the line, which may lack nothing but its end.
        done = int(np.searchsorted(ends - 1, cut, side="right"))
        # From LOAD itself to the last row, the weights are incomplete.
        assert board.info.incomplete == (0 < done < len(LOAD))
        if done > 0:
            got = np.concatenate([array.ravel() for array in board.read_weights().W])
            given = sum(layer.columns for layer in ROWS[: done - 1])
            assert (got[:given] == 9).all()
            assert not got[given:].any()
            board.load_weights(constant(4))
            assert not connect(port).info.incomplete


def test_host_dies_inside_read(port):
    """Rows that nobody waits for are not sent; the next host gets its own."""
    board = connect(port)
    expected = board.read_weights().W
    for bytes_read in 1, 30, 70, 120:
        exchange(port, 0, Op.HELLO)
        port.write(Frame(1, Op.READ).encode())
        port.read(bytes_read)
        got = connect(port).read_weights().W
        assert all((a == b).all() for a, b in zip(got, expected, strict=True))


def test_requests_that_wait_are_dropped(port):
    """What a dead host has sent ahead is not carried out once a new one is there."""
    connect(port)
    exchange(port, 0, Op.HELLO)
    ahead = b"".join(Frame(n, Op.TRAIN, 0, SAMPLE).encode() for n in range(1, 6))
    port.write(ahead + Frame(500, Op.HELLO).encode())
    got = answers(port, 7)
    assert got[-1].op == Op.HELLO
    assert len(port.seen) == len(got) - 1 <= 5
    assert exchange(port, 6, Op.TRAIN, 0, SAMPLE)[0].op == Op.ERROR
    assert exchange(port, 501, Op.TRAIN, 0, SAMPLE)[0].op == Op.TRAIN


def test_replayed_requests(port):
    """Requests that come again, or out of order, are not carried out again."""
    connect(port)
    exchange(port, 2**32 - 3, Op.HELLO)
    sequences = [2**32 - 2, 2**32 - 1, 0, 1]
    frames = [Frame(n, Op.TRAIN, 1, SAMPLE).encode() for n in sequences]
    for n, frame in enumerate(frames):
        port.write(frame)
        assert answers(port, 1)[0].op == Op.TRAIN
        for old in frames[: n + 1]:
            port.write(old)
            (answer,) = answers(port, 1)
            assert (answer.op, answer.body) == (Op.ERROR, bytes([Code.SEQUENCE]))
        # One that is left out is missed.
        assert exchange(port, (sequences[n] + 2) % 2**32, Op.TRAIN, 1, SAMPLE)[0].op == Op.ERROR
    assert len(port.seen) == len(frames)


def test_frame_within_a_frame(port):
    """A request in the pixels of a damaged one is not found there."""
    connect(port)
    exchange(port, 0, Op.HELLO)
    inner = Frame(1, Op.LOAD).encode()
    outer = Frame(1, Op.TRAIN, 0, inner).encode()
    for at in range(len(outer) - 1):
        line = bytearray(outer)
        line[at] ^= 0x40
        port.write(bytes(line))
    assert answers(port, 1) == []
    assert not connect(port).info.incomplete


def test_nothing_before_hello(port):
    """After power-up, and after a broken frame, nothing but HELLO is taken."""
    for broken in b"", b"\x12\xc0":
        port.write(broken)
        assert exchange(port, 0, Op.INFO) == []
        assert exchange(port, 0, Op.HELLO)[0].op == Op.HELLO
        assert exchange(port, 1, Op.INFO)[0].op == Op.INFO


class Killed(Exception):
    """Stands for the end of the host."""


class Mortal:
    """A port whose host is killed as it sends the sample `samples`."""

    def __init__(self, port, samples):
        self.port, self.samples = port, samples
        self.read, self.clock = port.read, port.clock

    @property
    def in_waiting(self):
        return self.port.in_waiting

    def write(self, data):
        frame = Frame.decode(data.strip(b"\xc0"))
        if frame and frame.op == Op.TRAIN:
            if self.samples == 0:
                raise Killed
            self.samples -= 1
        self.port.write(data)


def test_resume(tmp_path):
    """Killed after any sample and taken up again, a training ends with the same weights."""
    rng = np.random.default_rng(5)
    x = sparse(rng, 4)
    y = rng.integers(0, SPEC.classes, len(x))
    data = Data(x, y, x[:1], y[:1])
    golden = IntegerNetwork(SPEC)
    start = weights_of(golden)
    for epoch in range(SPEC.epochs):
        for n in order(SPEC.seed, epoch, len(x)):
            golden.train(x[n : n + 1], y[n : n + 1], epoch)

    port = SimulatedPort(Network(spec=SPEC, primitives=PORTABLE))
    for killed in (1, 3, 4, 6, 7):
        folder = tmp_path / str(killed)
        board = connect(Mortal(port, killed))
        board.load_weights(start)
        with pytest.raises(Killed):
            train(board, data, folder, epochs=2, test=1)
        train(connect(port), data, folder, epochs=2, test=1, resume=True)
        saved = weights.load(folder / "weights.npz", SPEC)
        for got, layer in zip(saved.W, golden.layers, strict=True):
            np.testing.assert_array_equal(got, layer.W)
