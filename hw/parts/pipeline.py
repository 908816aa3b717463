# SPDX-License-Identifier: BSD-2-Clause
"""Registers in rows: delays and trees."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from amaranth.hdl import Module, Mux, Signal, Value, ValueCastable

__all__ = ["adder_tree", "delayed", "largest", "tree", "tree_delay"]

T = TypeVar("T", bound=Value | ValueCastable)


def delayed(m: Module, value: T, clocks: int) -> T:
    """Give `value` as it was `clocks` clocks ago, 0 at first; of the same shape."""
    for _ in range(clocks):
        register: Any = Signal.like(value, name="delayed", init=None)
        m.d.sync += register.eq(value)
        value = register
    return value


def tree_delay(terms: int) -> int:
    """Clocks that `tree` takes for so many terms."""
    return (terms - 1).bit_length()


def tree(
    m: Module, terms: Sequence[Value], combine: Callable[[Value, Value], Value], name: str
) -> Value:
    """Combine at least one term in pairs, a register behind each; `tree_delay` clocks in all."""
    while len(terms) > 1:
        combined: list[Value] = []
        for i in range(0, len(terms), 2):
            value = combine(*terms[i : i + 2]) if i + 1 < len(terms) else terms[i]
            register = Signal(value.shape(), name=name)
            m.d.sync += register.eq(value)
            combined.append(register)
        terms = combined
    return terms[0]


def adder_tree(m: Module, terms: Sequence[Value]) -> Value:
    """Add at least one term in pairs, a register behind each sum; `tree_delay` clocks in all."""
    return tree(m, terms, lambda a, b: a + b, "sum")


def largest(m: Module, terms: Sequence[Value]) -> Value:
    """Find the largest of at least one term, of the same shape, in the clocks of `adder_tree`."""
    return tree(m, terms, lambda a, b: Mux(a < b, b, a), "larger")
