# SPDX-License-Identifier: BSD-2-Clause
"""The host's side, on a board in plain Python and on lines that fail in every way."""

import random
import time

import numpy as np
import pytest

from boards.frames import END, HEADER, Frame
from boards.host import TIMEOUT, Board, LinkError
from boards.protocol import Code, Op
from golden.errors import InputError
from golden.weights import Weights
from hw.link_limits import sample_max
from hw.ports import COUNTERS
from tests.boards.fake_board import SPEC, FakeBoard, connect

IMAGES = np.random.default_rng(0).integers(0, 256, (30, SPEC.inputs), np.uint8)
LABELS = np.random.default_rng(1).integers(0, SPEC.classes, 30)
SILENT = "no answer from the board: is it programmed with a bitstream of this version, and are "


def weights():
    """Make weights of the right shape."""
    return [np.full((p.neurons, p.columns), 5) for p in SPEC.layers]


def load(board, W, V=()):
    board.load_weights(Weights(W=tuple(W), V=V))


def test_window():
    """No more is under way than the board can hold, and more than one request is."""
    port = FakeBoard(buffer=100)
    board = connect(port)
    assert len(list(board.train(IMAGES, LABELS))) == 30
    assert 2 * (HEADER + sample_max(SPEC.inputs)) <= port.most_pending <= 100


def test_counters():
    """Counters carry their names."""
    expected = {name: n << 40 for n, name in enumerate(COUNTERS)}
    assert connect(FakeBoard()).counters(1) == expected


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda b: b.train(IMAGES[:1], [1.9]), "a label must be a whole number, not 1.9"),
        (lambda b: b.train(IMAGES[:1], [True]), "a label must be a whole number, not True"),
        (lambda b: b.train(IMAGES[:1], [3]), "a label must be from 0 to 2, not 3"),
        (lambda b: b.train(IMAGES[:1], [-1]), "a label must be from 0 to 2, not -1"),
        (lambda b: b.train([[0, 0, 0, 300]], [0]), "an image must be pixels of type uint8"),
        (lambda b: b.train([[0, 0, 0, -1]], [0]), "an image must be pixels of type uint8"),
        (lambda b: b.infer([np.full(4, 0.5)]), "an image must be pixels of type uint8"),
        (lambda b: b.infer([np.zeros(5, np.uint8)]), "an image must be .* not uint8 .5,."),
        (lambda b: b.infer([np.zeros((2, 2), np.uint8)]), "an image must be .* not uint8 .2, 2."),
        (lambda b: b.set(0, lr=40, rule="sym"), "layer 0: lr must be from 6 to 9, not 40"),
        (lambda b: b.set(0, lr=5, rule="sym"), "layer 0: lr must be from 6 to 9, not 5"),
        (lambda b: b.set(0, lr=6.0, rule="sym"), "layer 0: lr must be a whole number, not 6.0"),
        (
            lambda b: b.set(0, lr=6, rule="tlc"),
            "layer 0: rule: the hardware of this layer has none of name 'tlc', only sym,",
        ),
        (lambda b: load(b, weights(), (None, [[1]])), "layer 1 trains no classifier, and has no V"),
        (lambda b: b.set(2, lr=6, rule="sym"), "layer must be from 0 to 1, not 2"),
        (lambda b: b.counters(-1), "layer must be from 0 to 1, not -1"),
        (lambda b: load(b, [w + 0.7 for w in weights()]), "the weights of layer 0 must be"),
        (lambda b: load(b, [w * np.nan for w in weights()]), "the weights of layer 0 must"),
        (lambda b: load(b, [w * 1e30 for w in weights()]), "the weights of layer 0 must"),
        (lambda b: load(b, [w * 1000 for w in weights()]), "must be from -2048 to 2047"),
        (lambda b: load(b, [w * -1000 for w in weights()]), "must be from -2048 to 2047"),
        (lambda b: load(b, [w.T for w in weights()]), "must be integers of shape"),
        (lambda b: load(b, weights()[:1]), "there are 1 arrays of weights, not 2"),
    ],
)
def test_bad_input(ask, message):
    """What is out of range is refused before anything is sent."""
    port = FakeBoard()
    board = connect(port)
    before = port.taken
    with pytest.raises(InputError, match=message):
        list(ask(board) or ())
    assert port.taken == before


def test_labels_are_missing():
    """An image without a label is not left out in silence."""
    with pytest.raises(ValueError, match="argument 2 is shorter"):
        list(connect(FakeBoard()).train(IMAGES, LABELS[:29]))


@pytest.mark.parametrize("error", [None, OSError("device disconnected")])
def test_line_cut(error):
    """The line is cut while samples are under way."""
    port = FakeBoard(limit=200, error=error)
    with pytest.raises(LinkError, match="the line is cut"):
        list(connect(port).train(IMAGES, LABELS))
    assert port.seconds <= TIMEOUT + 2


class Talker(FakeBoard):
    """A line on which somebody talks without end, and never to us."""

    def __init__(self, content):
        super().__init__()
        self.content = content
        self.heard = 0

    in_waiting = 4000

    def read(self, size=1):
        self.heard += size
        self.seconds += size * 10 / 1_000_000
        return (self.content * (size // len(self.content) + 1))[:size]


@pytest.mark.parametrize(
    "content",
    [b"\x55", bytes([END]), b"noise\xc0", b"\xdb", Frame(1, Op.TRAIN, 0, b"\0\0").encode()],
)
def test_talk_without_end(content):
    """A line that never stops is given up in time, with work in proportion to what it says."""
    port, begin = Talker(content), time.process_time()
    with pytest.raises(LinkError, match=f"^{SILENT}"):
        connect(port)
    assert TIMEOUT <= port.seconds <= TIMEOUT + 1
    assert time.process_time() - begin < 30


@pytest.mark.parametrize("content", [b"\x55", b"\xdb" * 40])
def test_talk_without_end_later(content):
    """So is one that begins to talk in the middle of a session."""
    port = FakeBoard()
    board = connect(port)
    talker = Talker(content)
    board._port, board._clock = talker, talker.clock
    with pytest.raises(LinkError, match=r"^no answer from the board to COUNTERS: "):
        board.counters(0)
    assert talker.seconds <= TIMEOUT + 1


def test_deadline_follows_from_the_rate():
    """A slow line is given the time that it needs, and no more."""
    seconds = {}
    for baud in 9600, 1_000_000:
        port = FakeBoard(limit=0)
        # A read that finds nothing takes as long as one of a serial port.
        port.pause = 0.05
        with pytest.raises(LinkError, match=f"^{SILENT}"):
            Board(port, SPEC, baud=baud, clock=port.clock)
        seconds[baud] = port.seconds
    assert TIMEOUT <= seconds[1_000_000] < seconds[9600] < TIMEOUT + 3


def test_other_network():
    """A board that holds another network is found out before anything is trained."""
    with pytest.raises(LinkError, match=r"^the board holds a network 'other' that differs from"):
        connect(FakeBoard(fingerprint=1, name="other"))


def test_other_protocol():
    """A board that answers HELLO with something else."""
    port = FakeBoard()
    port.answers = lambda frame: [(frame.op, b"?")]
    with pytest.raises(LinkError, match=r"^this board speaks another protocol: not a description"):
        connect(port)
    port = FakeBoard(version=2)
    with pytest.raises(LinkError, match=r"^this board speaks version 2 of the protocol, not 3"):
        connect(port)


def test_stale_answers():
    """Answers to those who were here before are passed over, whole or not."""
    port = FakeBoard()
    for n in range(50):
        port.say(Frame(n, Op.TRAIN, 0, b"\0\0"))
    port.out += Frame(50, Op.HELLO).encode()[:5]
    board = connect(port)
    assert len(list(board.infer(IMAGES))) == 30


def test_hello_is_repeated():
    """A HELLO that is lost is said again."""
    port = FakeBoard()
    lost = [True]
    write = port.write
    port.write = lambda data: None if lost and lost.pop() else write(data)
    assert connect(port).info.name == "tiny"


def test_sequence_goes_on_at_its_end(monkeypatch):
    """After the largest sequence comes 0."""
    monkeypatch.setattr(random.SystemRandom, "randrange", lambda *_: 2**32 - 3)
    assert len(list(connect(FakeBoard()).infer(IMAGES))) == 30


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ((77, Op.READ, 0), "^the board answered operation 2, number 77, where COUNTERS"),
        ((None, Op.COUNTERS, 1), "^the line has corrupted a frame"),
        ((None, Op.COUNTERS, 0, bytes(77)), "^the board answered COUNTERS with 77 bytes, not 78"),
        ((None, Op.ERROR, 0, bytes([Code.VALUE])), "refuses COUNTERS: a number is out of range$"),
        ((None, Op.ERROR, 0, bytes([99])), "^the board refuses COUNTERS: it says not why$"),
        ((None, Op.ERROR, 0, b""), "^the board refuses COUNTERS: it says not why$"),
    ],
)
def test_wrong_answer(answer, message):
    """An answer to another request, of another length, or a refusal."""
    port = FakeBoard()
    board = connect(port)
    sequence, *rest = answer
    port.say(Frame(port.expected if sequence is None else sequence, *rest))
    with pytest.raises(LinkError, match=message):
        board.counters(0)


def test_corrupted_answer():
    """An answer with a changed byte."""
    port = FakeBoard()
    board = connect(port)
    line = bytearray(Frame(port.expected, Op.COUNTERS, 0, bytes(78)).encode())
    line[20] ^= 1
    port.out += line
    with pytest.raises(LinkError, match=r"^the line has corrupted a frame"):
        board.counters(0)


def test_prediction_out_of_range():
    """A class that there is not is no prediction."""
    port = FakeBoard()
    board = connect(port)
    port.say(Frame(port.expected, Op.INFER, 0, bytes([0, 3])))
    with pytest.raises(LinkError, match=r"^the board predicts class 3 of 3; "):
        list(board.infer(IMAGES[:1]))


def test_weights_out_of_range():
    """Weights that do not have the description's shape or width."""
    port = FakeBoard()
    board = connect(port)
    port.weights[1] = np.zeros((3, 9), "<i2")
    with pytest.raises(LinkError, match=r"^the board answered ROW with 18 bytes, not 10"):
        board.read_weights()
    port = FakeBoard()
    board = connect(port)
    port.weights[1][0, 0] = 2048
    with pytest.raises(LinkError, match=r"^layer 1 of the board has weights of more than 12 bits"):
        board.read_weights()


@pytest.mark.parametrize("seed", range(400))
def test_mangled_answers(seed):
    """However an answer is mangled: the right result, or one line that says what is wrong."""
    rng = random.Random(seed)
    port = FakeBoard()
    board = connect(port)
    say, victim = port.say, [rng.randrange(3)]

    def mangle(frame):
        victim[0] -= 1
        if victim[0] != -1:
            return say(frame)
        line = bytearray(frame.encode())
        kind = rng.randrange(6)
        at = rng.randrange(len(line))
        if kind == 0:
            line[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            del line[at : at + rng.randrange(1, 5)]
        elif kind == 2:
            line[at:at] = rng.randbytes(rng.randrange(1, 9))
        elif kind == 3:
            line *= 2
        elif kind == 4:
            # Intact, but of another length or operation.
            body = rng.randbytes(rng.choice([0, 1, 3, 9, 77, 79, 300]))
            line = bytearray(Frame(frame.sequence, frame.op, frame.argument, body).encode())
        else:
            op = rng.choice([99, Op.HELLO, Op.ERROR, Op.ROW])
            line = bytearray(Frame(frame.sequence, op, frame.argument, frame.body).encode())
        port.out += line
        return None

    port.say = mangle
    ask, expected = rng.choice(
        [
            (lambda: list(board.infer(IMAGES[:4])), [(0, 0)] * 4),
            (lambda: board.counters(0), {name: n << 40 for n, name in enumerate(COUNTERS)}),
            (lambda: sum(map(np.count_nonzero, board.read_weights().W)), 0),
            (lambda: load(board, weights()), None),
        ]
    )
    try:
        got = ask()
    except LinkError:
        return
    assert got == expected
