# SPDX-License-Identifier: BSD-2-Clause
"""Frames on a byte line: the same in both directions; here in software.

    bytes 0 to 3   sequence: the number of the request, repeated in its responses
               4   operation (`boards.protocol.Op`)
               5   argument; in a response, how many frames the board has rejected, modulo 256
            6, 7   length of the body
               8   body
             ...   CRC-16 of all of this, high byte first

Other numbers have their low byte first. The CRC is CRC-16/IBM-3740 (polynomial 0x1021, all ones at
the start). On the line a frame is followed by END, and within it ESC ESC_END stands for END and
ESC ESC_ESC for ESC, as in RFC 1055. So END ends a frame wherever it stands: what arrives between
two of them is one whole frame, or is rejected whole. Nothing is looked for within it.
"""

import binascii
from dataclasses import dataclass

from hw.link_limits import BODY_MAX

__all__ = ["BODY_MAX", "END", "ESC", "ESC_END", "ESC_ESC", "HEADER", "OVERHEAD", "Decoder", "Frame",
           "line_size"]  # fmt: skip

#: Ends a frame; begins a pair that stands for one byte; the second byte of such a pair.
#: None of them is frequent in images or weights.
END, ESC, ESC_END, ESC_ESC = 0xC0, 0xDB, 0xDC, 0xDD
#: Bytes before the body.
HEADER = 8
#: Bytes of a frame besides its body, END not counted.
OVERHEAD = HEADER + 2
_PAIRS = {ESC_END: END, ESC_ESC: ESC}


def _crc(checked: bytes) -> bytes:
    return binascii.crc_hqx(checked, 0xFFFF).to_bytes(2, "big")


def line_size(body: int) -> int:
    """Bound the bytes on the line of a frame with a body of so many bytes."""
    return 2 * (OVERHEAD + body) + 1


@dataclass(frozen=True)
class Frame:
    """One frame.

    Parameters
    ----------
    sequence
        Number of 32 bits.
    op, argument
        Bytes of the header.
    body
        Up to 65535 bytes.
    """

    sequence: int
    op: int
    argument: int = 0
    body: bytes = b""

    def encode(self) -> bytes:
        """Compute the bytes on the line.

        Raises
        ------
        ValueError
            If a field does not fit.
        """
        if len(self.body) > BODY_MAX:
            raise ValueError(f"a body has at most {BODY_MAX} bytes, not {len(self.body)}")
        header = self.sequence.to_bytes(4, "little") + bytes([self.op, self.argument])
        checked = header + len(self.body).to_bytes(2, "little") + self.body
        plain = checked + _crc(checked)
        stuffed = plain.replace(bytes([ESC]), bytes([ESC, ESC_ESC]))
        return stuffed.replace(bytes([END]), bytes([ESC, ESC_END])) + bytes([END])

    @classmethod
    def decode(cls, stuffed: bytes) -> "Frame | None":
        """Read what stands before an END; give nothing if it is not a whole, intact frame."""
        first, *rest = stuffed.split(bytes([ESC]))
        if any(part[:1] not in (bytes([ESC_END]), bytes([ESC_ESC])) for part in rest):
            return None
        plain = first + b"".join(bytes([_PAIRS[part[0]]]) + part[1:] for part in rest)
        checked, crc = plain[:-2], plain[-2:]
        body = checked[HEADER:]
        if (
            len(plain) < OVERHEAD
            or len(body) != int.from_bytes(checked[6:HEADER], "little")
            or crc != _crc(checked)
        ):
            return None
        return cls(int.from_bytes(checked[:4], "little"), checked[4], checked[5], body)


class Decoder:
    """Finds frames in bytes that arrive in pieces of any size, in time linear in their number."""

    #: Bytes after which a frame without END is given up.
    LIMIT = line_size(BODY_MAX)

    def __init__(self):
        self._pending = bytearray()
        #: Frames that were broken or too long.
        self.rejected = 0
        self._too_long = False

    def feed(self, received: bytes) -> list[Frame]:
        """Take in `received` and return the frames that are complete by it."""
        frames = []
        *complete, rest = received.split(bytes([END]))
        for piece in complete:
            self._pending += piece
            frame = None if self._too_long else Frame.decode(bytes(self._pending))
            if frame:
                frames.append(frame)
            # Two ENDs in a row have nothing between them.
            elif self._pending or self._too_long:
                self.rejected += 1
            self._pending.clear()
            self._too_long = False
        self._pending += rest
        if len(self._pending) > self.LIMIT:
            self._too_long = True
            self._pending.clear()
        return frames
