# SPDX-License-Identifier: BSD-2-Clause
"""The link in gates, asked by the host's own code, before a stand-in and before a network."""

import numpy as np
import pytest

from boards.frames import Frame
from boards.host import LinkError
from boards.protocol import Code, Info, LinkShape, Op, fingerprint
from golden.model import IntegerNetwork
from golden.spec import parse
from hw.network import Network
from hw.plan import LayerPlan
from hw.ports import COUNTERS, Rule
from hw.primitives import PORTABLE
from tests.boards.simulated_board import (
    PLANS,
    SPEC,
    TABLE,
    SimulatedPort,
    StandIn,
    connect,
    exchange,
    prediction,
)


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
    images = rng.integers(0, 256, (12, SPEC.inputs), np.uint8)
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
    image = np.arange(SPEC.inputs, dtype=np.uint8)
    board.set(1, lr=9, rule="frozen")
    (guesses,) = board.infer([image])
    assert guesses == (prediction(0, image, 6, Rule.SYM), prediction(1, image, 9, Rule.FROZEN))


def test_weights(port):
    """Weights go in and come out, row by row, of every layer."""
    board = connect(port)
    before = [np.arange(p.layer.weights).reshape(p.layer.neurons, -1) - 7 for p in PLANS]
    for got, expected in zip(board.read_weights(), before, strict=True):
        np.testing.assert_array_equal(got, expected)
    rng = np.random.default_rng(2)
    weights = [rng.integers(-2048, 2048, (p.layer.neurons, p.layer.columns)) for p in PLANS]
    board.load_weights(weights)
    for got, expected in zip(board.read_weights(), weights, strict=True):
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
        (Code.LENGTH, Op.TRAIN, 0, bytes(SPEC.inputs - 1)),
        (Code.LENGTH, Op.TRAIN, 0, bytes(SPEC.inputs + 1)),
        (Code.ARGUMENT, Op.TRAIN, SPEC.classes, bytes(SPEC.inputs)),
        (Code.ARGUMENT, Op.TRAIN, 255, bytes(SPEC.inputs)),
        (Code.ARGUMENT, Op.INFER, SPEC.classes, bytes(SPEC.inputs)),
        (Code.LENGTH, Op.FLUSH, 0, b"x"),
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
    image = bytes(range(SPEC.inputs))
    (answer,) = exchange(port, sequence + 1, Op.INFER, 0, image)
    guesses = [prediction(0, list(image), 6, Rule.SYM), prediction(1, list(image), 6, Rule.SCFB)]
    assert answer == Frame(sequence + 1, Op.INFER, 0, bytes(guesses))
    assert port.seen == [sum((guess == 0) << i for i, guess in enumerate(guesses))]


def test_rates(port):
    """SET takes exactly the rates that the layer was built for; others change nothing."""
    connect(port)
    exchange(port, 0, Op.HELLO)
    image = bytes(range(SPEC.inputs))
    plan, lr = PLANS[0], 6
    sequence = 1
    for value in [*range(16), 31, 32, 38, 255]:
        (answer,) = exchange(port, sequence, Op.SET, 0, bytes([value, Rule.SYM.value]))
        if plan.lr_min <= value <= plan.lr_max:
            lr = value
            assert answer.op == Op.SET
        else:
            assert answer == Frame(sequence, Op.ERROR, 0, bytes([Code.VALUE]))
        (answer,) = exchange(port, sequence + 1, Op.INFER, 0, image)
        assert answer.body[0] == prediction(0, list(image), lr, Rule.SYM)
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
        (Op.TRAIN, Code.STATE, 0, bytes(SPEC.inputs)),
        (Op.READ, Code.STATE),
        (Op.FLUSH, Code.STATE),
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
    for i, array in enumerate(board.read_weights()):
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
    got = np.concatenate([array.ravel() for array in board.read_weights()])
    given = sum(layer.columns for layer in layers[:row]) + 1
    assert (got[:given] == 3).all()
    assert not got[given:].any()
    board.load_weights([np.ones((p.layer.neurons, p.layer.columns), int) for p in PLANS])
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
    spec = parse({**TABLE, **change}, "big.toml")
    with pytest.raises(ValueError, match=f"^{message}$"):
        LinkShape(spec, [LayerPlan(layer) for layer in spec.layers])


def test_network():
    """A network learns behind the link what the golden model does, from weights that are loaded."""
    board = connect(SimulatedPort(Network(spec=SPEC, primitives=PORTABLE)))
    golden = IntegerNetwork(SPEC)
    rng = np.random.default_rng(3)
    images = rng.integers(0, 256, (8, SPEC.inputs), np.uint8)
    labels = rng.integers(0, SPEC.classes, len(images))

    for epoch in range(SPEC.epochs):
        for layer in SPEC.layers:
            board.set(layer.index, lr=layer.lr + epoch, rule=layer.rule)
        got = list(board.train(images, labels))
        for image, label, guesses in zip(images, labels, got, strict=True):
            steps = golden.train(image[None], [label], epoch)
            assert guesses == tuple(int(step.prediction) for step in steps)
        weights = board.read_weights()
        for array, layer in zip(weights, golden.layers, strict=True):
            np.testing.assert_array_equal(array, layer.W)

        board.load_weights([-array for array in weights])
        for layer in golden.layers:
            layer.W.neg_()
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
