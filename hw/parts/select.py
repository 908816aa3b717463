# SPDX-License-Identifier: BSD-2-Clause
"""What one of many values is chosen with."""

from collections.abc import Iterable

from amaranth.hdl import Const, Value

__all__ = ["any_of"]


def any_of(values: Iterable[Value]) -> Value:
    """Compute the bitwise OR of some values."""
    total: Value = Const(0)
    for value in values:
        total = total | value
    return total
