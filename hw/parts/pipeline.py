# SPDX-License-Identifier: BSD-2-Clause
"""Registers in rows: delays and adder trees."""

from collections.abc import Sequence
from typing import Any, TypeVar

from amaranth.hdl import Module, Signal, Value, ValueCastable

__all__ = ["adder_tree", "delayed", "tree_delay"]

T = TypeVar("T", bound=Value | ValueCastable)


def delayed(m: Module, value: T, clocks: int) -> T:
    """Give `value` as it was `clocks` clocks ago, 0 at first; of the same shape."""
    for _ in range(clocks):
        register: Any = Signal.like(value, name="delayed", init=None)
        m.d.sync += register.eq(value)
        value = register
    return value


def tree_delay(terms: int) -> int:
    """Clocks that `adder_tree` takes for so many terms."""
    return (terms - 1).bit_length()


def adder_tree(m: Module, terms: Sequence[Value]) -> Value:
    """Add at least one term in pairs, a register behind each sum; `tree_delay` clocks in all."""
    while len(terms) > 1:
        sums: list[Value] = []
        for i in range(0, len(terms), 2):
            total = sum(terms[i + 1 : i + 2], terms[i])
            register = Signal(total.shape(), name="sum")
            m.d.sync += register.eq(total)
            sums.append(register)
        terms = sums
    return terms[0]
