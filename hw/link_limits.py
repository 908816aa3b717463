# SPDX-License-Identifier: BSD-2-Clause
"""What the serial link of a board can carry.

The link itself is in `boards.protocol`. Its limits stand here, so that an estimate, which needs no
board, knows them too.
"""

from collections.abc import Iterator
from math import ceil

from golden.layer_spec import LayerSpec
from golden.spec import NetworkSpec

__all__ = [
    "BODY_MAX",
    "LABELS",
    "RUN_MAX",
    "WEIGHT_BYTES",
    "body_max",
    "exceeded",
    "register_bytes",
    "ring_bytes",
    "sample_max",
]

#: Labels that a byte can tell apart.
LABELS = 256
#: Bytes of a weight in a frame.
WEIGHT_BYTES = 2
#: The most zeros that a run of a sample skips, and the most values that it has.
RUN_MAX = 255
#: Bytes of a run besides its values.
RUN_HEAD = 2
#: The longest body of a frame, in bytes.
BODY_MAX = 0xFFFF
#: The shortest ring: one block of memory.
RING_MIN = 2048


def sample_max(inputs: int) -> int:
    """Compute the most bytes that a sample takes as runs: those of one without zeros."""
    return inputs + RUN_HEAD * ceil(inputs / RUN_MAX)


def register_bytes(layer: LayerSpec) -> int:
    """Compute the bytes of a layer's registers: a rate, a rule, and if it has one a threshold."""
    return 2 if layer.margin is None else 2 + ceil((layer.s_bound.bit_length() + 1) / 8)


def body_max(spec: NetworkSpec) -> int:
    """Compute the longest body of a request: a sample, a row of weights, or registers."""
    rows = [layer.columns for layer in spec.layers]
    rows += [layer.classes for layer in spec.layers if layer.rule == "tlc"]
    registers = map(register_bytes, spec.layers)
    return max(sample_max(spec.inputs), *(WEIGHT_BYTES * row for row in rows), *registers)


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
