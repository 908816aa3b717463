# SPDX-License-Identifier: BSD-2-Clause
"""The protocol of the byte link: what a host can ask of a network on a board.

Requests and responses are frames (`boards.frames`). Every request that is carried out is answered
by a frame with its sequence and operation; READ is answered by one ROW frame for each row of
weights first. A request that makes no sense (unknown operation, wrong length, no such layer,
anything but ROW while weights are loaded, ROW while they are not) is rejected like a broken frame:
no answer, and the count of rejected frames, which each response carries, goes up. Requests are
carried out one after another.

| operation | argument | body | body of the response |
|---|---|---|---|
| TRAIN, INFER | label | M pixels | one prediction a layer |
| FLUSH | 0 | | |
| READ | 0 | | (ROW frames: layer 0 first, n ascending, M + 1 weights each) |
| LOAD | 0 | | |
| ROW | layer | M + 1 weights | (all rows of layer 0, then of layer 1, ..., after LOAD) |
| SET | layer | lr, rule | |
| COUNTERS | layer | | the counters in the order of `hw.ports.COUNTERS`, 6 bytes each |
| INFO | 0 | | see `Info` |

Numbers of more than a byte are little-endian; a weight is a signed number of 2 bytes.
Each counter is taken as it is sent; between requests only `cycles` and `stall_input` go on.
"""

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from amaranth.lib import enum

from golden.spec import NetworkSpec
from hw.link_limits import WEIGHT_BYTES, body_max, exceeded, ring_bytes
from hw.plan import LayerPlan, PlanError
from hw.ports import Command

from .frames import HEADER

__all__ = [
    "COUNTER_BYTES",
    "VERSION",
    "WEIGHT_BYTES",
    "Info",
    "LinkShape",
    "Op",
    "fingerprint",
]

#: Version of the protocol, which INFO states.
VERSION = 1
#: Bytes of a counter in a frame.
COUNTER_BYTES = 6


class Op(enum.IntEnum, shape=8):
    """Operations; the first are the commands of the network."""

    TRAIN = Command.TRAIN.value
    INFER = Command.INFER.value
    FLUSH = Command.FLUSH.value
    READ = Command.READ.value
    LOAD = Command.LOAD.value
    ROW = 5
    SET = 6
    COUNTERS = 7
    INFO = 8


def fingerprint(spec: NetworkSpec) -> int:
    """Compute a number that differs, most likely, for networks that compute different things."""
    return zlib.crc32(repr((spec.inputs, spec.classes, spec.lr_growth, spec.layers)).encode())


@dataclass(frozen=True)
class Info:
    """What a board says of itself.

    Parameters
    ----------
    frequency
        System clock in Hz.
    buffer
        Bytes of frames that may be under way to the board at once.
    fingerprint
        See `fingerprint`.
    name
        Name of the network.
    """

    frequency: int
    buffer: int
    fingerprint: int
    name: str
    #: Version of the protocol.
    version: int = VERSION

    _FORMAT = struct.Struct("<BIHI")

    def encode(self) -> bytes:
        """Compute the body of the response to INFO."""
        numbers = self._FORMAT.pack(self.version, self.frequency, self.buffer, self.fingerprint)
        return numbers + self.name.encode()

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """Read what `encode` wrote; raises `ValueError` if it is something else."""
        try:
            version, frequency, buffer, fingerprint = cls._FORMAT.unpack_from(body)
            name = body[cls._FORMAT.size :].decode()
        except (struct.error, UnicodeDecodeError) as error:
            raise ValueError(f"not a description of a board: {body.hex()}") from error
        return cls(frequency, buffer, fingerprint, name, version)


@dataclass(frozen=True)
class LinkShape:
    """The sizes of the link for a network.

    Parameters
    ----------
    spec
        The network's description.
    plans
        The plan of each of its layers.

    Raises
    ------
    PlanError
        If a label, a weight or a frame is too large for the protocol.
    """

    spec: NetworkSpec
    plans: Sequence[LayerPlan]

    def __post_init__(self):
        for text in exceeded(self.spec):
            raise PlanError(text)

    @property
    def body_max(self) -> int:
        """The longest body of a request."""
        return body_max(self.spec)

    @property
    def buffer(self) -> int:
        """Bytes of the ring: two of the longest frames, and at least one block of memory."""
        return ring_bytes(HEADER + self.body_max)
