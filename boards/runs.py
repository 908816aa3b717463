# SPDX-License-Identifier: BSD-2-Clause
"""Samples as runs: how inputs that are mostly 0 travel in few bytes; here in software.

A sample is a sequence of runs, and at least one:

    byte 0   skip: so many columns are 0
         1   count: so many values follow
         2   the values, for one column each
       ...

Both numbers are 0 to 255; what is longer goes on in another run. Columns behind the last run are
0. A run that goes beyond the last column, or is cut, is refused. A sample of M columns takes at
most `hw.link_limits.sample_max` bytes.
"""

import re

import numpy as np

from hw.link_limits import RUN_MAX

__all__ = ["decode", "encode"]

#: Values that are cheapest in one run: a zero or two cost no more than the head of another run.
_RUN = re.compile(rb"[^\0]+(?:\0{1,2}[^\0]+)*")


def encode(sample: np.ndarray) -> bytes:
    """Compute the runs of a sample (uint8, M columns).

    They are as short as can be, but for a byte or two where there are runs of more than 255.
    """
    body = bytearray()
    column = 0
    for run in _RUN.finditer(sample.tobytes()):
        skip = run.start() - column
        while skip > RUN_MAX:
            body += bytes([RUN_MAX, 0])
            skip -= RUN_MAX
        values = run[0]
        for start in range(0, len(values), RUN_MAX):
            piece = values[start : start + RUN_MAX]
            body += bytes([skip, len(piece)]) + piece
            skip = 0
        column = run.end()
    return bytes(body) or bytes(2)


def decode(body: bytes, inputs: int) -> np.ndarray:
    """Compute the sample (uint8, `inputs` columns) of runs.

    Raises
    ------
    ValueError
        If there is no run, one goes beyond the last column, or one is cut.
    """
    sample = np.zeros(inputs, np.uint8)
    if not body:
        raise ValueError("a sample has at least one run")
    at = column = 0
    while at < len(body):
        skip, count = body[at : at + 2].ljust(2, b"\1")
        values = body[at + 2 : at + 2 + count]
        column += skip
        if len(values) < count:
            raise ValueError(f"the run at byte {at} is cut")
        if column + count > inputs:
            raise ValueError(f"the run at byte {at} goes beyond column {inputs - 1}")
        sample[column : column + count] = np.frombuffer(values, np.uint8)
        at += 2 + count
        column += count
    return sample
