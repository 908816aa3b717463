# SPDX-License-Identifier: BSD-2-Clause
"""The link in gates, asked by the host's own code, before a stand-in and before a network."""

import numpy as np
import pytest
from amaranth.hdl import Array, Module, Mux, Signal, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator

from boards.frames import Frame
from boards.host import Board, LinkError
from boards.link import Link
from boards.protocol import Info, LinkShape, Op, fingerprint
from golden.model import IntegerNetwork
from golden.spec import parse
from hw.network import Network
from hw.plan import LayerPlan
from hw.ports import COUNTERS, Command, LayerSignature, Rule, beat
from hw.primitives import PORTABLE

TABLE = {
    "name": "tiny",
    "inputs": 6,
    "classes": 5,
    "seed": 1,
    "epochs": 2,
    "lr_step": 1,
    "layer": [{"neurons": 4, "lanes": 2}, {"neurons": 3, "lanes": 1, "rule": "scfb"}],
}
SPEC = parse(TABLE, "tiny.toml")
PLANS = [LayerPlan(layer, SPEC.lr_growth) for layer in SPEC.layers]


def prediction(layer, image, lr, rule):
    """What layer `layer` of the stand-in says of an image."""
    return (int(np.sum(image)) + 3 * layer + lr + rule.value) % 4


class StandIn(wiring.Component):
    """Has a network's ports, keeps its weights, and answers at once, if wrongly."""

    def __init__(self):
        layers = {f"layer{i}": Out(LayerSignature(plan)) for i, plan in enumerate(PLANS)}
        super().__init__({"i": In(stream.Signature(beat(SPEC.classes, 1))), **layers})

    def elaborate(self, platform):
        m = Module()
        total = Signal(8)
        position = Signal(8)
        layers = [getattr(self, f"layer{i}") for i in range(len(PLANS))]
        header = self.i.payload.header
        is_sample = (header.command == Command.TRAIN) | (header.command == Command.INFER)
        done = Signal()
        busy = Signal(len(PLANS))
        m.d.comb += self.i.ready.eq(~busy.any())
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [total.eq(total + self.i.payload.x[0]), position.eq(position + 1)]
            with m.If(~is_sample | (position == SPEC.inputs - 1)):
                m.d.sync += position.eq(0)
                m.d.comb += done.eq(1)
        with m.If(done):
            m.d.sync += [total.eq(0), busy.eq(-1)]
        kept = Signal.like(header)
        value = Signal.like(total)
        with m.If(done):
            m.d.sync += [kept.eq(header), value.eq(total + self.i.payload.x[0])]

        for i, (plan, layer) in enumerate(zip(PLANS, layers, strict=True)):
            count = plan.layer.weights
            weights = Array(
                Signal(signed(plan.layer.wb), init=j - 7, name=f"w{i}_{j}") for j in range(count)
            )
            at = Signal(range(count))
            finished = Signal()
            out, into = layer.weights_out, layer.weights_in
            guess = Signal(8)
            m.d.comb += [
                guess.eq((value + 3 * i + layer.lr + layer.rule.as_value())[:2]),
                out.payload.eq(weights[at]),
                out.valid.eq(busy[i] & (kept.command == Command.READ) & ~finished),
                into.ready.eq(busy[i] & (kept.command == Command.LOAD) & ~finished),
                layer.result.valid.eq(
                    busy[i]
                    & (
                        finished
                        | ((kept.command != Command.READ) & (kept.command != Command.LOAD))
                    )
                ),
                layer.result.payload.header.eq(kept),
                layer.result.payload.prediction.eq(guess),
                layer.result.payload.correct.eq(guess == kept.label),
            ]
            with m.If(into.valid & into.ready):
                m.d.sync += weights[at].eq(into.payload)
            with m.If((out.valid & out.ready) | (into.valid & into.ready)):
                m.d.sync += at.eq(Mux(at == count - 1, 0, at + 1))
                with m.If(at == count - 1):
                    m.d.sync += finished.eq(1)
            with m.If(layer.result.valid & layer.result.ready):
                m.d.sync += [busy[i].eq(0), finished.eq(0)]
            m.d.comb += [
                layer.counters[name].eq((i + 1 << 40) + n) for n, name in enumerate(COUNTERS)
            ]
        return m


class SimulatedPort:
    """A port to a link in Amaranth's simulator: bytes in, clocks until bytes come out."""

    #: Clocks without a byte after which `read` gives up.
    TIMEOUT = 3000
    #: Clocks of a byte on the line.
    BYTE = 12

    def __init__(self, network, **info):
        described = {"frequency": 25_000_000, "fingerprint": fingerprint(SPEC), "name": SPEC.name}
        shape = LinkShape(SPEC, PLANS)
        m = Module()
        m.submodules.network = network
        m.submodules.link = self.link = Link(
            shape=shape,
            info=Info(**{**described, "buffer": shape.window, **info}),
            primitives=PORTABLE,
        )
        wiring.connect(m, self.link.samples, network.i)
        for i in range(len(PLANS)):
            wiring.connect(m, getattr(self.link, f"layer{i}"), getattr(network, f"layer{i}"))
        self.to_board = bytearray()
        self.from_board = bytearray()
        self.seen = []
        self._clocks = 0
        self._silent = 0
        self._simulator = Simulator(m)
        self._simulator.add_clock(1e-6)
        self._simulator.add_testbench(self._line, background=True)

    async def _line(self, ctx):
        """Move a byte each way in `BYTE` clocks at most."""
        rx, tx = self.link.rx, self.link.tx
        clocks = 0
        async for _clk, _rst, valid, byte, seen, correct in ctx.tick().sample(
            tx.valid & tx.ready, tx.payload, self.link.seen, self.link.correct
        ):
            if valid:
                self.from_board.append(byte)
            if seen:
                self.seen.append(correct)
            clocks = (clocks + 1) % self.BYTE
            ctx.set(tx.ready, clocks == 0)
            ctx.set(rx.valid, clocks == 0 and bool(self.to_board))
            if clocks == 0 and self.to_board:
                ctx.set(rx.payload, self.to_board.pop(0))

    def clock(self):
        """Give a time that goes on only while nothing happens: a second for each `TIMEOUT`."""
        return self._silent

    @property
    def in_waiting(self):
        return len(self.from_board)

    def write(self, data):
        self.to_board += data

    def read(self, size=1):
        waited = 0
        while len(self.from_board) < size and waited < self.TIMEOUT:
            step = 1 if self.to_board else 20
            self._clocks += step
            waited = 0 if self.to_board else waited + step
            self._simulator.run_until(self._clocks * 1e-6)
        self._silent += not self.from_board
        taken = bytes(self.from_board[:size])
        del self.from_board[:size]
        return taken


def connect(port):
    """Begin a session."""
    return Board(port, SPEC, clock=port.clock)


@pytest.fixture
def port():
    """A port to a fresh link and stand-in."""
    return SimulatedPort(StandIn())


def test_info(port):
    """The board names itself, and is checked against a description."""
    board = connect(port)
    assert board.info == Info(25_000_000, 2040, fingerprint(SPEC), "tiny")
    board.check(SPEC)
    other = parse({**TABLE, "seed": 2}, "other.toml")
    message = "the board holds a network 'tiny' that differs from other.toml; program it with a"
    with pytest.raises(LinkError, match=f"^{message}"):
        board.check(other)


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
    assert len(list(board.train(np.zeros((2, SPEC.inputs)), [0, 0]))) == 2


def test_counters(port):
    """Each counter of each layer arrives under its name."""
    board = connect(port)
    for i in range(len(PLANS)):
        expected = {name: (i + 1 << 40) + n for n, name in enumerate(COUNTERS)}
        assert board.counters(i) == expected


@pytest.mark.parametrize(
    "request_",
    [
        (99, 0, b""),
        (Op.TRAIN, 0, bytes(SPEC.inputs - 1)),
        (Op.INFER, SPEC.classes, bytes(SPEC.inputs)),
        (Op.FLUSH, 0, b"x"),
        (Op.ROW, 0, bytes(14)),
        (Op.SET, 2, bytes(2)),
        (Op.SET, 0, bytes(3)),
        (Op.COUNTERS, 2, b""),
        (Op.INFO, 0, b"x"),
    ],
)
def test_refused(port, request_):
    """What makes no sense is not answered but counted, and what follows is carried out."""
    board = connect(port)
    port.write(Frame(7, *request_).encode())
    with pytest.raises(LinkError, match="or the board did not accept a request"):
        board.counters(0)
    assert len(list(connect(port).infer(np.zeros((1, SPEC.inputs))))) == 1


def test_refused_while_loading(port):
    """During LOAD only the row that is next is accepted; the load is completed all the same."""
    board = connect(port)
    rows = [(i, bytes(2 * p.layer.columns)) for i, p in enumerate(PLANS)]
    port.write(Frame(1, Op.LOAD).encode())
    port.write(Frame(2, Op.ROW, *rows[1]).encode())
    port.write(Frame(3, Op.TRAIN, 0, bytes(SPEC.inputs)).encode())
    port.write(Frame(4, Op.READ).encode())
    for plan, row in zip(PLANS, rows, strict=True):
        for _ in range(plan.layer.neurons):
            port.write(Frame(5, Op.ROW, *row).encode())
    with pytest.raises(LinkError):
        board.counters(0)
    port.read(1000)
    for array in connect(port).read_weights():
        assert not array.any()


def test_corrupted_byte(port):
    """A request with a changed byte is not carried out; the host says so at the next answer."""
    board = connect(port)
    line = bytearray(Frame(1, Op.TRAIN, 0, bytes(SPEC.inputs)).encode())
    line[8] ^= 4
    port.write(bytes(line))
    with pytest.raises(LinkError, match=r"^the line has corrupted a frame"):
        board.counters(0)
    assert port.seen == []


def test_cut_frame(port):
    """A request that breaks off is forgotten; a new host is answered."""
    board = connect(port)
    port.write(Frame(1, Op.TRAIN, 0, bytes(SPEC.inputs)).encode()[:9])
    assert port.read(1) == b""
    with pytest.raises(LinkError):
        board.counters(0)
    assert connect(port).info.name == "tiny"


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
    board = Board(SimulatedPort(Network(spec=SPEC, primitives=PORTABLE)))
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
    info = Info(100_000_000, 4096, 0xDEADBEEF, "näme")
    assert Info.decode(info.encode()) == info
    with pytest.raises(ValueError, match=r"^not a description of a board: 0102$"):
        Info.decode(b"\x01\x02")
