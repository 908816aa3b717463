# SPDX-License-Identifier: BSD-2-Clause
"""A board in plain Python, for the tests of the host's side."""

import numpy as np

from boards import runs
from boards.frames import HEADER, Decoder, Frame
from boards.host import Board
from boards.protocol import Code, Info, Op, fingerprint
from golden.spec import parse
from hw.plan import LayerPlan
from hw.ports import COUNTERS

TABLE = {
    "name": "tiny",
    "inputs": 4,
    "classes": 3,
    "epochs": 6,
    "lr_step": 2,
    "layer": [{"neurons": 4, "lanes": 2}, {"neurons": 3, "lanes": 1, "rule": "scfb"}],
}
SPEC = parse(TABLE, "tiny.toml")


def connect(port, spec=SPEC):
    """Begin a session."""
    return Board(port, spec, clock=port.clock)


class FakeBoard:
    """A port to a board that learns by heart: it knows the label of each image it has trained on.

    Such an image leaves the first layer that any image may leave.

    `limit`: how many bytes of requests it takes before the line is cut. `clock` goes on by
    `pause` seconds whenever a read finds nothing.
    """

    def __init__(self, spec=SPEC, *, limit=None, error=None, buffer=64, **info):
        self.spec = spec
        self.limit = limit
        self.error = error
        self.buffer = buffer
        self.info = {"frequency": 1, "fingerprint": fingerprint(spec), "name": "tiny", **info}
        self.known = {}
        self.registers = {}
        self.weights = [np.zeros((p.neurons, p.columns), "<i2") for p in spec.layers]
        self.rows = None
        self.incomplete = False
        self.expected = 0
        self.rejected = 0
        self.taken = 0
        self.pending = 0
        self.most_pending = 0
        self.out = bytearray()
        self.decoder = Decoder()
        self.seconds = 0.0
        self.pause = 1.0

    def clock(self):
        """Give the time."""
        return self.seconds

    @property
    def in_waiting(self):
        return len(self.out)

    def read(self, size=1):
        taken = bytes(self.out[:size])
        del self.out[:size]
        if not taken:
            self.seconds += self.pause
        if not self.out:
            self.pending = 0
        return taken

    def write(self, data):
        self.taken += len(data)
        if self.limit is not None and self.taken > self.limit:
            if self.error:
                raise self.error
            return
        for frame in self.decoder.feed(data):
            self.pending += HEADER + len(frame.body)
            self.most_pending = max(self.most_pending, self.pending)
            for op, body in self.answers(frame):
                self.say(Frame(frame.sequence, op, self.rejected, body))

    def say(self, frame):
        """Send a frame."""
        self.out += frame.encode()

    def exits(self):
        """List the layers that images may leave."""
        plans = [LayerPlan(layer, self.spec.lr_growth) for layer in self.spec.layers]
        below = [
            plan.layer.index
            for plan in plans
            if plan.layer.margin is not None
            and int.from_bytes(self.registers[plan.layer.index][-1][2:], "little") != plan.never
        ]
        return [*below, len(plans) - 1]

    def answers(self, frame):
        body = b""
        if frame.op == Op.HELLO:
            self.expected = frame.sequence
            self.rows = None
        if frame.sequence != self.expected:
            yield Op.ERROR, bytes([Code.SEQUENCE])
            return
        self.expected = (self.expected + 1) % 2**32
        if frame.op in (Op.TRAIN, Op.INFER):
            image = runs.decode(frame.body, self.spec.inputs).tobytes()
            if frame.op == Op.TRAIN:
                self.known[image] = frame.argument
            body = bytes([self.known.get(image, 0)] * len(self.spec.layers))
            if self.spec.layers[-1].exits:
                sure = frame.op == Op.INFER and image in self.known
                body += bytes([self.exits()[0] if sure else len(self.spec.layers) - 1])
        elif frame.op == Op.READ:
            yield from ((Op.ROW, row.tobytes()) for array in self.weights for row in array)
        elif frame.op == Op.LOAD:
            self.rows, self.incomplete = [], True
        elif frame.op == Op.ROW:
            self.rows.append(np.frombuffer(frame.body, "<i2"))
            if len(self.rows) == sum(layer.neurons for layer in self.spec.layers):
                self.weights = [
                    np.array([self.rows.pop(0) for _ in range(p.neurons)]) for p in self.spec.layers
                ]
                self.rows, self.incomplete = None, False
        elif frame.op == Op.SET:
            plan = LayerPlan(self.spec.layers[frame.argument], self.spec.lr_growth)
            assert plan.lr_min <= frame.body[0] <= plan.lr_max
            self.registers.setdefault(frame.argument, []).append(tuple(frame.body))
        elif frame.op == Op.COUNTERS:
            body = b"".join((n << 40).to_bytes(6, "little") for n in range(len(COUNTERS)))
        elif frame.op in (Op.INFO, Op.HELLO):
            body = Info(buffer=self.buffer, incomplete=self.incomplete, **self.info).encode()
        yield frame.op, body
