# SPDX-License-Identifier: BSD-2-Clause
"""What the serial link of a board can carry.

The link itself is in `boards.protocol`. Its limits stand here, so that an estimate, which needs no
board, knows them too.
"""

from collections.abc import Iterator

from golden.spec import NetworkSpec

__all__ = ["BODY_MAX", "LABELS", "WEIGHT_BYTES", "body_max", "exceeded", "ring_bytes"]

#: Labels that a byte can tell apart.
LABELS = 256
#: Bytes of a weight in a frame.
WEIGHT_BYTES = 2
#: The longest body of a frame, in bytes.
BODY_MAX = 0xFFFF
#: The shortest ring: one block of memory.
RING_MIN = 2048


def body_max(spec: NetworkSpec) -> int:
    """Compute the longest body of a request: a sample, or a row of weights."""
    return max(spec.inputs, *(WEIGHT_BYTES * layer.columns for layer in spec.layers))


def ring_bytes(frame: int) -> int:
    """Compute the bytes of the ring of received bytes: it holds two frames of `frame` bytes."""
    return max(RING_MIN, 1 << (2 * frame - 1).bit_length())


def exceeded(spec: NetworkSpec) -> Iterator[str]:
    """Say what of a network the link cannot carry: a line that names the key, for each."""
    if spec.classes > LABELS:
        yield f"classes: the link carries at most {LABELS}, not {spec.classes}"
    for layer in spec.layers:
        if layer.wb > 8 * WEIGHT_BYTES:
            yield (
                f"layer {layer.index}: wb: the link carries at most {8 * WEIGHT_BYTES} bits, "
                f"not {layer.wb}"
            )
        if WEIGHT_BYTES * layer.columns > BODY_MAX:
            most = BODY_MAX // WEIGHT_BYTES - 1
            key = "inputs" if layer.index == 0 else f"layer {layer.index - 1}: neurons"
            yield f"{key}: the link carries at most {most:,} a layer, not {layer.inputs:,}"
