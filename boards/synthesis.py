# SPDX-License-Identifier: BSD-2-Clause
"""What Yosys makes of a component alone, in the cells of an ECP5."""

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from amaranth.back import rtlil  # pyright: ignore[reportAttributeAccessIssue]
from amaranth.hdl import Value
from amaranth.lib import wiring

from hw.devices import Resources
from hw.elaboration import collector_off

from .build import SYNTHESIS, run_tool, tool

__all__ = ["Netlist", "synthesise"]

#: Of the netlist before ABC chooses lookup tables, and of the one after.
_STAGES = {"gates": "begin:map_luts", "cells": "map_luts:"}


@dataclass(frozen=True)
class Netlist:
    """How many cells of each type there are.

    Parameters
    ----------
    gates
        Before gates become lookup tables. They follow from the design alone.
    cells
        After that. How many lookup tables ABC chooses depends on the order of the gates as well,
        up to 2 % of them.
    """

    gates: Mapping[str, int]
    cells: Mapping[str, int]

    @property
    def resources(self) -> Resources:
        """The cells as a device has them; a carry or a memory in LUTs takes several."""
        cells = self.cells
        return Resources(
            lut=cells.get("LUT4", 0)
            + 2 * cells.get("CCU2C", 0)
            + 4 * cells.get("TRELLIS_DPR16X4", 0),
            ff=cells.get("TRELLIS_FF", 0),
            dsp=cells.get("MULT18X18D", 0),
            ebr=cells.get("DP16KD", 0),
        )


def synthesise(component: wiring.Component) -> Netlist:
    """Let Yosys make a netlist of a component whose monitors are left open.

    Raises
    ------
    BuildError
        If Yosys fails or is missing.
    """
    ports = [
        Value.cast(value)
        for path, _member, value in component.signature.flatten(component)
        if "monitor" not in path
    ]
    with collector_off():
        text = rtlil.convert(component, ports=ports, name="top", emit_src=False)
    script = ["read_rtlil top.il"]
    for stage, span in _STAGES.items():
        options = " ".join(SYNTHESIS)
        script.append(f"synth_ecp5 {options} -top top -run {span}; tee -q -o {stage} stat -json")
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "top.il").write_text(text, encoding="utf-8")
        run_tool([tool("YOSYS"), "-q", "-p", "; ".join(script)], place)
        counts = {
            stage: json.loads((place / stage).read_text(encoding="utf-8"))["design"]
            for stage in _STAGES
        }
    return Netlist(**{stage: count["num_cells_by_type"] for stage, count in counts.items()})
