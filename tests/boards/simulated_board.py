# SPDX-License-Identifier: BSD-2-Clause
"""A port to the link in gates, in Amaranth's simulator, before a stand-in or a network."""

import numpy as np
from amaranth.hdl import Array, Const, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator

from boards.frames import Decoder, Frame
from boards.host import Board
from boards.link import Link
from boards.protocol import Info, LinkShape, fingerprint
from golden.spec import parse
from golden.weights import Weights
from hw.network_plan import NetworkPlan
from hw.ports import COUNTERS, Command, LayerSignature, is_sample, samples
from hw.primitives import PORTABLE

TABLE = {
    "name": "tiny",
    "inputs": 9,
    "classes": 5,
    "seed": 1,
    "epochs": 2,
    "lr_step": 1,
    "layer": [{"neurons": 4, "lanes": 2}, {"neurons": 3, "lanes": 1, "rule": "scfb"}],
}
SPEC = parse(TABLE, "tiny.toml")
SHAPE = LinkShape(NetworkPlan(SPEC))
PLANS = SHAPE.plans


def sparse(rng, count):
    """Draw images, many of whose pixels are 0, at times all of them."""
    images = rng.integers(0, 256, (count, SPEC.inputs), np.uint8)
    return images * (rng.random(images.shape) < rng.random((count, 1)) - 0.2)


def prediction(layer, image, lr, rule):
    """What layer `layer` of the stand-in says of an image."""
    places = np.arange(1, len(image) + 1)
    return (int(np.dot(image, places)) + 3 * layer + lr + rule.value) % 4


class StandIn(wiring.Component):
    """Has a network's ports, keeps its weights, and answers at once, if wrongly."""

    def __init__(self):
        layers = {f"layer{i}": Out(LayerSignature(plan)) for i, plan in enumerate(PLANS)}
        super().__init__({"i": In(samples(PLANS[0], SHAPE.pixels)), **layers})

    def elaborate(self, platform):
        m = Module()
        # Each activation counts as often as its column says, and one more time.
        base, column = Signal(8), Signal(8)
        total, value = Signal(8), Signal(8)
        layers = [getattr(self, f"layer{i}") for i in range(len(PLANS))]
        packet = self.i.payload
        kept = Signal.like(packet.header)
        busy = Signal(len(PLANS))
        m.d.comb += [self.i.ready.eq(~busy.any()), column.eq(base + packet.gap)]
        beat = sum((packet.x[i] * (column + i + 1) for i in range(SHAPE.pixels)), Const(0))
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [base.eq(column), total.eq(total + beat)]
            with m.If(packet.last):
                m.d.sync += [base.eq(0), total.eq(0), busy.eq(-1)]
                m.d.sync += [kept.eq(packet.header), value.eq(total + beat)]

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
                layer.result.valid.eq(busy[i] & (finished | is_sample(kept))),
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
    BYTE = 5

    def __init__(self, network, spec=SPEC, **info):
        shape = LinkShape(NetworkPlan(spec))
        described = {"frequency": 25_000_000, "fingerprint": fingerprint(spec), "name": spec.name}
        m = Module()
        m.submodules.network = network
        m.submodules.link = self.link = Link(
            shape=shape,
            info=Info(**{**described, "buffer": shape.window, **info}),
            primitives=PORTABLE,
        )
        wiring.connect(m, self.link.samples, network.i)
        for i in range(len(shape.plans)):
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


def constant(value):
    """Make weights that are all the same."""
    return Weights(W=tuple(np.full((p.layer.neurons, p.layer.columns), value) for p in PLANS))


def connect(port, spec=SPEC):
    """Begin a session."""
    return Board(port, spec, clock=port.clock)


def exchange(port, sequence, op, argument=0, body=b"", *, count=1):
    """Send a request and give the frames that come back, `count` at most."""
    port.write(Frame(sequence, op, argument, body).encode())
    return answers(port, count)


def answers(port, count):
    """Give the next frames of the board, `count` at most."""
    decoder, frames = Decoder(), []
    while len(frames) < count and (received := port.read(1)):
        frames += decoder.feed(received)
    assert decoder.rejected == 0
    return frames
