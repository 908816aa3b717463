# SPDX-License-Identifier: BSD-2-Clause
"""The link in gates, asked by the host's own code, before a stand-in and before a network."""

import numpy as np
import pytest

from boards import runs
from boards.frames import Frame
from boards.host import LinkError
from boards.protocol import Code, Info, LinkShape, Op, fingerprint
from golden.errors import InputError
from golden.exits import leaving, margins
from golden.model import IntegerNetwork
from golden.spec import parse
from golden.training import start_from, weights_of
from golden.weights import Weights
from hw.link_limits import register_bytes
from hw.network import Network
from hw.network_plan import NetworkPlan
from hw.ports import COUNTERS, Rule
from hw.primitives import PORTABLE
from tests.boards.simulated_board import (
    PLANS,
    SPEC,
    TABLE,
    SimulatedPort,
    StandIn,
    connect,
    constant,
    exchange,
    prediction,
    sparse,
)
from tests.sim.networks import same

#: An image, some of whose pixels are 0, and the body of one that has only such.
IMAGE = np.arange(SPEC.inputs, dtype=np.uint8) * (np.arange(SPEC.inputs) > 3)
NOTHING = runs.encode(np.zeros(SPEC.inputs, np.uint8))


@pytest.fixture
def port():
    """A port to a fresh link and stand-in."""
    return SimulatedPort(StandIn())


def test_info(port):
    """The board names itself, and is checked against a description."""
    assert connect(port).info == Info(25_000_000, 2040, fingerprint(SPEC), "tiny")
    other = parse({**TABLE, "seed": 2}, "other.toml")
    message = "the board holds a network 'tiny' that differs from other.toml; program it with a"
    with pytest.raises(LinkError, match=f"^{message}"):
        connect(port, other)


def test_samples(port):
    """Predictions of all layers, in order, several samples under way at once."""
    rng = np.random.default_rng(1)
    images = sparse(rng, 12)
    labels = rng.integers(0, 4, 12)
    board = connect(port)
    rules = [Rule.SYM, Rule.SCFB]
    expected = [
        tuple(prediction(i, image, 6, rule) for i, rule in enumerate(rules)) for image in images
    ]
    assert list(board.train(images, labels)) == expected
    assert port.seen == [
        sum((guess == label) << i for i, guess in enumerate(guesses))
        for guesses, label in zip(expected, labels, strict=True)
    ]
    assert list(board.infer(images)) == expected


def test_registers(port):
    """The learning rate and the rule reach the layer they are meant for, and only it."""
    board = connect(port)
    board.set(1, lr=9, rule="frozen")
    (guesses,) = board.infer([IMAGE])
    assert guesses == (prediction(0, IMAGE, 6, Rule.SYM), prediction(1, IMAGE, 9, Rule.FROZEN))


def test_weights(port):
    """Weights go in and come out, row by row, of every layer."""
    board = connect(port)
    before = [np.arange(p.layer.weights).reshape(p.layer.neurons, -1) - 7 for p in PLANS]
    for got, expected in zip(board.read_weights().W, before, strict=True):
        np.testing.assert_array_equal(got, expected)
    rng = np.random.default_rng(2)
    weights = [rng.integers(-2048, 2048, (p.layer.neurons, p.layer.columns)) for p in PLANS]
    board.load_weights(Weights(W=tuple(weights)))
    for got, expected in zip(board.read_weights().W, weights, strict=True):
        np.testing.assert_array_equal(got, expected)
    assert len(list(board.train(np.zeros((2, SPEC.inputs), np.uint8), [0, 0]))) == 2


def test_counters(port):
    """Each counter of each layer arrives under its name."""
    board = connect(port)
    for i in range(len(PLANS)):
        expected = {name: (i + 1 << 40) + n for n, name in enumerate(COUNTERS)}
        assert board.counters(i) == expected


@pytest.mark.parametrize(
    ("code", "op", "argument", "body"),
    [
        (Code.OPERATION, 99, 0, b""),
        (Code.OPERATION, Op.ERROR, 0, b""),
        (Code.OPERATION, 4, 0, b""),
        (Code.ARGUMENT, Op.TRAIN, SPEC.classes, NOTHING),
        (Code.ARGUMENT, Op.TRAIN, 255, NOTHING),
        (Code.ARGUMENT, Op.INFER, SPEC.classes, NOTHING),
        (Code.LENGTH, Op.TRAIN, 0, b""),
        (Code.LENGTH, Op.INFER, 0, b""),
        (Code.LENGTH, Op.READ, 0, b"x"),
        (Code.ARGUMENT, Op.READ, 1, b""),
        (Code.ARGUMENT, Op.LOAD, 1, b""),
        (Code.STATE, Op.ROW, 0, bytes(14)),
        (Code.ARGUMENT, Op.SET, 2, bytes(2)),
        (Code.LENGTH, Op.SET, 0, bytes([6])),
        (Code.LENGTH, Op.SET, 0, bytes([6, 0, 0])),
        (Code.VALUE, Op.SET, 0, bytes([6, 4])),
        (Code.VALUE, Op.SET, 0, bytes([6, 255])),
        (Code.ARGUMENT, Op.COUNTERS, 2, b""),
        (Code.LENGTH, Op.INFO, 0, b"x"),
        (Code.LENGTH, Op.HELLO, 0, b"x"),
    ],
)
def test_refused(port, code, op, argument, body):
    """What makes no sense is refused and says why, and what follows is carried out."""
    connect(port)
    assert exchange(port, 77, Op.HELLO)[0].op == Op.HELLO
    sequence = 1000 if op == Op.HELLO else 78
    answers = exchange(port, sequence, op, argument, body)
    assert answers == [Frame(sequence, Op.ERROR, 0, bytes([code]))]
    # The number of a request that was refused is used up all the same.
    (answer,) = exchange(port, sequence + 1, Op.INFER, 0, runs.encode(IMAGE))
    guesses = [prediction(0, IMAGE, 6, Rule.SYM), prediction(1, IMAGE, 6, Rule.SCFB)]
    assert answer == Frame(sequence + 1, Op.INFER, 0, bytes(guesses))
    assert port.seen == [sum((guess == 0) << i for i, guess in enumerate(guesses))]


WRONG = {
    "only a skip": [3],
    "a value is missing": [0, 2, 9],
    "all values are missing": [0, 4],
    "the last run has no count": [0, 1, 9, 2],
    "one value too many": [0, 10, *range(10)],
    "the last value is beyond": [8, 2, 7, 7],
    "all values are beyond": [9, 1, 7],
    "a skip to far beyond": [0, 2, 9, 9, 255, 0],
    # A byte counts no further than to 255, and the gates not much further.
    "skips around to the start": [0, 1, 9, 255, 0, 255, 0, 2, 1, 9],
    "nothing in many runs, and a cut one": [0, 0, 0, 0, 0, 0, 1],
}


@pytest.mark.parametrize("body", WRONG.values(), ids=WRONG)
def test_wrong_runs(port, body):
    """Nothing of a sample that is wrong reaches the network, or is left of it."""
    with pytest.raises(ValueError, match=r"^the run at byte"):
        runs.decode(bytes(body), SPEC.inputs)
    connect(port)
    exchange(port, 0, Op.HELLO)
    image = runs.encode(IMAGE)
    for sequence, (op, good) in enumerate(
        [(Op.TRAIN, False), (Op.TRAIN, True), (Op.INFER, False), (Op.READ, True)], 1
    ):
        given = b"" if op == Op.READ else image if good else bytes(body)
        *_, answer = exchange(port, sequence, op, 0, given, count=8 if op == Op.READ else 1)
        assert answer.op == (op if good else Op.ERROR)
        if not good:
            assert answer.body == bytes([Code.VALUE])
    guesses = [prediction(0, IMAGE, 6, Rule.SYM), prediction(1, IMAGE, 6, Rule.SCFB)]
    assert port.seen == [sum((guess == 0) << i for i, guess in enumerate(guesses))]


@pytest.mark.parametrize("body", [[0, 0], [9, 0], [3, 0, 0, 0, 6, 0], [0, 9, *bytes(9)]])
def test_other_runs_of_the_same_sample(port, body):
    """However a sample is cut into runs, the network gets the same."""
    connect(port)
    exchange(port, 0, Op.HELLO)
    empty = np.zeros(SPEC.inputs)
    (answer,) = exchange(port, 1, Op.INFER, 0, bytes(body))
    guesses = [prediction(0, empty, 6, Rule.SYM), prediction(1, empty, 6, Rule.SCFB)]
    assert answer == Frame(1, Op.INFER, 0, bytes(guesses))


def test_rates(port):
    """SET takes exactly the rates that the layer was built for; others change nothing."""
    connect(port)
    exchange(port, 0, Op.HELLO)
    plan, lr = PLANS[0], 6
    sequence = 1
    for value in [*range(16), 31, 32, 38, 255]:
        (answer,) = exchange(port, sequence, Op.SET, 0, bytes([value, Rule.SYM.value]))
        if plan.lr_min <= value <= plan.lr_max:
            lr = value
            assert answer.op == Op.SET
        else:
            assert answer == Frame(sequence, Op.ERROR, 0, bytes([Code.VALUE]))
        (answer,) = exchange(port, sequence + 1, Op.INFER, 0, runs.encode(IMAGE))
        assert answer.body[0] == prediction(0, IMAGE, lr, Rule.SYM)
        sequence += 2


def test_refused_while_loading(port):
    """During LOAD only the row that is next is accepted; the load is completed all the same."""
    connect(port)
    exchange(port, 0, Op.HELLO)
    rows = [(i, bytes([i + 1, 0] * p.layer.columns)) for i, p in enumerate(PLANS)]
    requests = [
        (Op.LOAD, Code.NONE),
        (Op.LOAD, Code.STATE),
        (Op.ROW, Code.ARGUMENT, *rows[1]),
        (Op.ROW, Code.ARGUMENT, 2, rows[1][1]),
        (Op.ROW, Code.LENGTH, 0, rows[0][1][:-2]),
        (Op.TRAIN, Code.STATE, 0, NOTHING),
        (Op.READ, Code.STATE),
        (Op.SET, Code.NONE, 0, bytes([6, 0])),
        *[(Op.ROW, Code.NONE, *rows[0])] * PLANS[0].layer.neurons,
        (Op.ROW, Code.ARGUMENT, *rows[0]),
        *[(Op.ROW, Code.NONE, *rows[1])] * PLANS[1].layer.neurons,
        (Op.ROW, Code.STATE, *rows[0]),
    ]
    for sequence, (op, code, *rest) in enumerate(requests, 1):
        (answer,) = exchange(port, sequence, op, *rest)
        expected = (op, b"") if code == Code.NONE else (Op.ERROR, bytes([code]))
        assert (answer.op, answer.body) == expected
    board = connect(port)
    assert not board.info.incomplete
    for i, array in enumerate(board.read_weights().W):
        assert (array == i + 1).all()


@pytest.mark.parametrize("word", [2048, -2049, 32767, -32768])
@pytest.mark.parametrize("row", [0, 2, 6])
def test_weight_out_of_range(port, word, row):
    """It ends LOAD: what is left becomes 0, and the weights are said to be of no use."""
    connect(port)
    exchange(port, 0, Op.HELLO)
    exchange(port, 1, Op.LOAD)
    layers = [p.layer for p in PLANS for _ in range(p.layer.neurons)]
    for n, layer in enumerate(layers[: row + 1]):
        weights = np.full(layer.columns, 3, "<i2")
        if n == row:
            weights[1] = word
        (answer,) = exchange(port, 2 + n, Op.ROW, layer.index, weights.tobytes())
        assert answer.op == (Op.ERROR if n == row else Op.ROW)
    assert answer.body == bytes([Code.VALUE])
    board = connect(port)
    assert board.info.incomplete
    got = np.concatenate([array.ravel() for array in board.read_weights().W])
    given = sum(layer.columns for layer in layers[:row]) + 1
    assert (got[:given] == 3).all()
    assert not got[given:].any()
    board.load_weights(constant(1))
    assert not board.info.incomplete


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"classes": 300}, "classes: the link carries at most 256, not 300"),
        (
            {"layer": [{"neurons": 4, "lanes": 4, "wb": 17}]},
            "layer 0: wb: the link carries at most 16 bits, not 17",
        ),
        ({"inputs": 40000}, "inputs: the link carries at most 32,766 a layer, not 40,000"),
    ],
)
def test_shape_errors(change, message):
    """A network that the protocol cannot carry is refused before anything is built."""
    network = NetworkPlan(parse({**TABLE, **change}, "big.toml"))
    with pytest.raises(ValueError, match=f"^{message}$"):
        LinkShape(network)


@pytest.mark.parametrize("rules", [("sym", "scfb"), ("tlc", "frozen"), ("random", "tlc")])
def test_network(rules):
    """A network learns behind the link what the golden model does, from weights that are loaded."""
    layers = [{**layer, "rule": rule} for layer, rule in zip(TABLE["layer"], rules, strict=True)]
    spec = parse({**TABLE, "layer": layers}, "tiny.toml")
    board = connect(SimulatedPort(Network(spec=spec, primitives=PORTABLE), spec), spec)
    golden = IntegerNetwork(spec)
    rng = np.random.default_rng(3)
    images = sparse(rng, 8)
    labels = rng.integers(0, spec.classes, len(images))

    for epoch in range(spec.epochs):
        for layer in spec.layers:
            board.set(layer.index, lr=layer.lr + epoch, rule=layer.rule)
        got = list(board.train(images, labels))
        for image, label, guesses in zip(images, labels, got, strict=True):
            steps = golden.train(image[None], [label], epoch)
            assert guesses == tuple(int(step.prediction) for step in steps)
        read = board.read_weights()
        assert same(read, weights_of(golden))

        turned = Weights(
            W=tuple(-W for W in read.W), V=tuple(V if V is None else -V for V in read.V)
        )
        board.load_weights(turned)
        start_from(golden, turned)
        expected = golden.infer(images)
        assert list(board.infer(images)) == list(
            zip(*(step.prediction.tolist() for step in expected), strict=True)
        )


def test_info_round_trip():
    """INFO's body says what it was made from; anything else is told from it."""
    for incomplete in False, True:
        info = Info(100_000_000, 4096, 0xDEADBEEF, "näme", incomplete)
        assert Info.decode(info.encode()) == info
    with pytest.raises(ValueError, match=r"^not a description of a board: 0102$"):
        Info.decode(b"\x01\x02")


def test_early_exit():
    """Samples leave at the thresholds that are set; the answer says where, and LEDs see it."""
    layers = [{**TABLE["layer"][0], "margin": 0.25}, TABLE["layer"][1]]
    spec = parse({**TABLE, "layer": layers}, "tiny.toml")
    port = SimulatedPort(Network(spec=spec, primitives=PORTABLE), spec)
    board, golden = connect(port, spec), IntegerNetwork(spec)
    images = sparse(np.random.default_rng(4), 12)
    steps = golden.infer(images)
    guesses = np.stack([step.prediction.numpy() for step in steps], axis=1)
    sure = np.stack([margins(step.s.numpy()) for step in steps], axis=1)
    exits = set()
    for margin in (0.25, None, 0, 1e6, 0.5):
        if margin != 0.25:
            board.set(0, lr=6, rule="sym", margin=margin)
        threshold = None if margin is None else spec.layers[0].threshold(margin)
        left = leaving(sure, [threshold])
        port.seen.clear()
        expected = [tuple(row[: at + 1]) for row, at in zip(guesses.tolist(), left, strict=True)]
        assert list(board.infer(images)) == expected
        assert [seen >> 1 for seen in port.seen] == [row[-1] == 0 for row in expected]
        exits |= {tuple(left)}
    assert len(exits) >= 3
    # What is no threshold changes nothing.
    exchange(port, 0, Op.HELLO)
    width, size = board.plans[0].s_width, register_bytes(spec.layers[0]) - 2
    assert width < 8 * size
    for sequence, (threshold, code) in enumerate(
        (
            ((1 << width).to_bytes(size, "little"), Code.VALUE),
            (bytes(size - 1), Code.LENGTH),
            (bytes(size + 1), Code.LENGTH),
        ),
        1,
    ):
        (answer,) = exchange(port, sequence, Op.SET, 0, bytes([6, Rule.SYM.value]) + threshold)
        assert answer == Frame(sequence, Op.ERROR, 0, bytes([code]))
    board = connect(port, spec)
    assert list(board.infer(images)) == expected

    # One that trains never leaves.
    assert [len(row) for row in board.train(images[:3], [0, 1, 2])] == [2, 2, 2]
    for layer, margin, message in (
        (0, -1, "layer 0: margin: must be from 0 to 1,000,000, not -1"),
        (1, 1, "layer 1: margin: no sample leaves this layer; give it a margin in tiny.toml"),
    ):
        with pytest.raises(InputError, match=f"^{message}"):
            board.set(layer, lr=6, rule="sym", margin=margin)
