# SPDX-License-Identifier: BSD-2-Clause
"""The protocol of the byte link: what a host can ask of a network on a board.

Requests and responses are frames (`boards.frames`). Requests are carried out one after another,
and every request is answered by a frame with its sequence: by its operation if it was carried out,
by ERROR with a `Code` if it was refused, which changes nothing. READ is answered by one ROW frame
for each row of weights first.

A session begins with HELLO, which is accepted at any time and from anyone. Its sequence is a number
that the host draws; each request after it has the sequence of the one before plus 1, and one with
another sequence is refused, so nothing is carried out twice. HELLO ends whatever the session
before it has left: requests that still wait are dropped, and a LOAD that was begun is completed
with zeros.

A frame that does not arrive whole is not answered but counted; each response carries the count.
After it, and after power-up, nothing but HELLO is taken.

| operation | argument | body | body of the response |
|---|---|---|---|
| TRAIN, INFER | label | the sample, as runs (`boards.runs`) | one prediction a layer (exit) |
| READ | 0 | | (ROW frames: layer 0 first, n ascending, M + 1 weights each, then V) |
| LOAD | 0 | | |
| ROW | layer | a row of weights | (all rows of layer 0, then of layer 1, ..., after LOAD) |
| SET | layer | lr, rule (threshold) | |
| COUNTERS | layer | | `hw.ports.counter_names`, 6 bytes each; 0 up to the layer with most |
| INFO, HELLO | 0 | | see `Info` |

The weights V of a classifier that is trained come behind the others of its layer: N rows, n
ascending, of C weights each.

Where a layer's description has a `margin`, its threshold follows (`hw.ports.LayerSignature`), in as
few bytes as hold a score; and if any has, the layer at which the sample has left follows behind the
predictions. Those of the layers above it are of no matter.

Numbers of more than a byte are little-endian; a weight is a signed number of 2 bytes. A weight
outside its layer's range ends LOAD as HELLO does. A sample is looked through before the network
gets any of it. Each counter is taken as it is sent. TRAIN may be answered before all weights are
updated; once they are, only `cycles` and `stall_input` go on between requests.
"""

import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Self

from amaranth.lib import enum

from golden.spec import NetworkSpec
from hw.link_limits import WEIGHT_BYTES, body_max, exceeded, ring_bytes
from hw.network_plan import NetworkPlan
from hw.plan import LayerPlan, PlanError
from hw.ports import Command, counter_names

from .frames import HEADER

__all__ = [
    "COUNTER_BYTES",
    "VERSION",
    "WEIGHT_BYTES",
    "Code",
    "Info",
    "LinkShape",
    "Op",
    "counters_size",
    "fingerprint",
]

#: Version of the protocol, which INFO states.
VERSION = 3
#: Bytes of a counter in a frame.
COUNTER_BYTES = 6


class Op(enum.IntEnum, shape=8):
    """Operations; the first are the commands of the network.

    HELLO has the same number in all versions, so that a board of another one says so.
    """

    TRAIN = Command.TRAIN.value
    INFER = Command.INFER.value
    READ = Command.READ.value
    LOAD = Command.LOAD.value
    ROW = 5
    SET = 6
    COUNTERS = 7
    INFO = 8
    HELLO = 9
    #: Only in responses.
    ERROR = 10


class Code(enum.IntEnum, shape=8):
    """Why a request was refused: the first of these that holds."""

    NONE = 0
    #: Its sequence is not the next one.
    SEQUENCE = 1
    #: There is no such operation.
    OPERATION = 2
    #: ROW without LOAD, or a command of the network before all rows of a LOAD have come.
    STATE = 3
    #: No such label or layer, or not the layer whose row is next.
    ARGUMENT = 4
    #: The body has another length.
    LENGTH = 5
    #: A number in the body is out of range, or a run goes beyond the last column or is cut.
    VALUE = 6


def counters_size(plans: Iterable[LayerPlan]) -> int:
    """Compute the bytes that answer COUNTERS, of any layer."""
    return COUNTER_BYTES * max(len(counter_names(plan)) for plan in plans)


def fingerprint(spec: NetworkSpec) -> int:
    """Compute a number that differs, most likely, for networks that compute different things.

    Lanes change no bit, so that a host need not know for which board they were chosen. A margin is
    what a register holds at first.
    """
    layers = [
        replace(layer, lanes=None, v_lanes=None, margin=None if layer.margin is None else 0)
        for layer in spec.layers
    ]
    return zlib.crc32(repr((spec.inputs, spec.classes, spec.lr_growth, layers)).encode())


@dataclass(frozen=True)
class Info:
    """What a board says of itself.

    Parameters
    ----------
    frequency
        System clock in Hz.
    buffer
        Bytes of requests, each with its header, that may be under way to the board at once.
    fingerprint
        See `fingerprint`.
    name
        Name of the network.
    incomplete
        A LOAD was begun, and none has been completed since: the weights are of no use.
    version
        Version of the protocol.
    """

    frequency: int
    buffer: int
    fingerprint: int
    name: str
    incomplete: bool = False
    version: int = VERSION

    _FORMAT = struct.Struct("<BIHIB")

    def encode(self) -> bytes:
        """Compute the body of the response to INFO and HELLO."""
        numbers = self._FORMAT.pack(
            self.version, self.frequency, self.buffer, self.fingerprint, self.incomplete
        )
        return numbers + self.name.encode()

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """Read what `encode` wrote; raises `ValueError` if it is something else."""
        try:
            version, frequency, buffer, fingerprint, incomplete = cls._FORMAT.unpack_from(body)
            name = body[cls._FORMAT.size :].decode()
        except (struct.error, UnicodeDecodeError) as error:
            raise ValueError(f"not a description of a board: {body[:40].hex()}") from error
        return cls(frequency, buffer, fingerprint, name, bool(incomplete & 1), version)

    @property
    def incomplete_bit(self) -> int:
        """The bit of the response that says so, and the only one that ever changes."""
        return 8 * (self._FORMAT.size - 1)


@dataclass(frozen=True)
class LinkShape:
    """The sizes of the link for a network.

    Parameters
    ----------
    network
        The plan of the network.

    Raises
    ------
    PlanError
        If a label, a weight or a frame is too large for the protocol.
    """

    network: NetworkPlan

    def __post_init__(self):
        for text in exceeded(self.spec):
            raise PlanError(text)

    @property
    def spec(self) -> NetworkSpec:
        """The network's description."""
        return self.network.spec

    @property
    def plans(self) -> tuple[LayerPlan, ...]:
        """The plan of each layer."""
        return self.network.layers

    @property
    def pixels(self) -> int:
        """Pixels in a beat of the network's input."""
        return self.network.widths[0]

    @property
    def body_max(self) -> int:
        """The longest body of a request."""
        return body_max(self.spec)

    @property
    def depth(self) -> int:
        """Bytes of the ring: two of the longest requests, and at least one block of memory."""
        return ring_bytes(HEADER + self.body_max)

    @property
    def window(self) -> int:
        """Bytes of requests that may be under way: there is always room for one more HELLO."""
        return min(self.depth - HEADER, 0xFFFF)
