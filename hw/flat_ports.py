# SPDX-License-Identifier: BSD-2-Clause
"""A component behind ports that are plain vectors with plain names, for use in any design."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Cat, Module, Shape, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import Flow, Out

__all__ = ["FlatPorts", "Port"]

#: Ports that every module has.
CLOCK: tuple[str, ...] = ("clk", "rst")


@dataclass(frozen=True)
class Port:
    """A port, and the bits of a component's own port that it carries.

    Parameters
    ----------
    name
        All names on the way to it, joined by single underscores; `payload` only if it is the last.
    flow
        Its direction.
    shape
        A scalar, or an array of scalars, the first lowest.
    path
        The component's port.
    offset
        The lowest of the bits.
    """

    name: str
    flow: Flow
    shape: Any
    path: tuple[str | int, ...]
    offset: int

    @property
    def cast(self) -> Shape:
        """The shape in bits; an array is unsigned."""
        return Shape.cast(self.shape)


class FlatPorts(wiring.Component):
    """A component whose ports have no structures: each field of one is a port of its own.

    Parameters
    ----------
    component
        A component.

    Raises
    ------
    ValueError
        If two ports would have one name.
    """

    def __init__(self, component: Any):
        self.component = component
        #: The ports, those of a structure side by side.
        self.ports = tuple(_ports(component.signature.flatten(component)))
        seen: set[str] = set(CLOCK)
        for port in self.ports:
            if port.name in seen:
                raise ValueError(f"two ports would have the name {port.name}; rename one of them")
            seen.add(port.name)
        super().__init__({port.name: port.flow(port.cast) for port in self.ports})

    def elaborate(self, platform):
        m = Module()
        component: Any = self.component
        m.submodules.network = component
        for path, member, value in self.component.signature.flatten(self.component):
            own = Cat(getattr(self, port.name) for port in self.ports if port.path == path)
            inner = Value.cast(value)
            m.d.comb += own.eq(inner) if member.flow is Out else inner.eq(own)
        return m


def _ports(members: Iterable[tuple[Any, Any, Any]]) -> Iterator[Port]:
    for path, member, _value in members:
        for names, shape, offset in _fields(member.shape, path, 0):
            kept = [str(name) for name in names[:-1] if name != "payload"] + [str(names[-1])]
            yield Port("_".join(kept), member.flow, shape, path, offset)


def _fields(
    shape: Any, names: tuple[str | int, ...], offset: int
) -> Iterator[tuple[tuple[str | int, ...], Any, int]]:
    """Take structures apart, in the order of their bits."""
    if isinstance(shape, data.StructLayout):
        for key, field in shape:
            yield from _fields(field.shape, (*names, key), offset + field.offset)
    else:
        yield names, shape, offset
