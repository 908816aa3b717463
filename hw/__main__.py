# SPDX-License-Identifier: BSD-2-Clause
"""The command line: `python -m hw`."""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from golden.cli import add_config, carry_out, enter, program
from golden.files import check_place, write_text
from golden.spec import NetworkSpec

from .datasheet import export
from .description import describe
from .estimate import BOARDS, Estimate, Resources, estimate
from .primitives import ECP5, PORTABLE
from .verilog import module_name

EPILOG = """\
examples:
  python -m hw verilog digits -o digits.v
  python -m hw verilog my.toml --primitives ecp5 -o - | less
  python -m hw estimate mnist --board ulx3s
"""
#: The forms of the primitives, by name.
PRIMITIVES = {form.name: form for form in (PORTABLE, ECP5)}


def _parser() -> argparse.ArgumentParser:
    parser = program(
        "hw",
        description="Generate a network's hardware, or say what it will take.",
        epilog=EPILOG,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    config = argparse.ArgumentParser(add_help=False)
    add_config(config)

    generator = commands.add_parser(
        "verilog",
        parents=[config],
        help="write stand-alone Verilog for use in any design",
        description="Write a network as one file of Verilog, for use in any design.\n"
        "Its head is a data sheet: ports, commands, order of weights, timing, an example.\n"
        "The module is named after the network, with lel_ before it.",
    )
    generator.add_argument(
        "-o", "--out", required=True, metavar="FILE", help="file to write; - is the screen"
    )
    generator.add_argument(
        "--primitives",
        choices=PRIMITIVES,
        default=PORTABLE.name,
        help="multipliers and memories: portable leaves them to any synthesis tool, ecp5 uses "
        "that device's cells (%(default)s)",
    )
    generator.set_defaults(run=_verilog)

    estimator = commands.add_parser(
        "estimate",
        parents=[config],
        help="say what a network takes and where it fits",
        description="Say, before any synthesis, how many clocks a sample takes, which cells each "
        "layer takes,\nand which variants of a board the network fits. Clocks and multipliers are "
        "exact or nearly so,\nLUTs and flip-flops up to a fifth off.",
    )
    estimator.add_argument(
        "--board", choices=BOARDS, default="ulx3s", help="board to fit it on (%(default)s)"
    )
    estimator.add_argument(
        "--json", action="store_true", help="write JSON, for other programs, instead of a table"
    )
    estimator.set_defaults(run=_estimate)
    return parser


def _verilog(arguments: argparse.Namespace) -> int:
    spec = describe(arguments.config)
    out = Path(arguments.out)
    if arguments.out != "-":
        check_place(out)
    text = export(spec, PRIMITIVES[arguments.primitives])
    if arguments.out == "-":
        print(text, end="")
    else:
        write_text(out, text)
        print(f"module {module_name(spec.name)} in {out}")
    return 0


def _estimate(arguments: argparse.Namespace) -> int:
    spec = describe(arguments.config)
    expected = estimate(spec)
    if arguments.json:
        print(json.dumps(_summary(spec, expected, arguments.board), indent=2))
    else:
        print(_table(spec, expected, arguments.board))
    return 0


def _summary(spec: NetworkSpec, expected: Estimate, board: str) -> dict:
    """Say what the table says, for programs; `lacking` is empty where the network fits."""
    return {
        "name": spec.name,
        "clocks": expected.clocks,
        "utilisation": expected.utilisation,
        "layers": [
            {"neurons": layer.neurons, "lanes": layer.lanes, "weights": layer.weights,
             "weight_bits": layer.weights * layer.wb, **asdict(part)}
            for layer, part in zip(spec.layers, expected.layers, strict=True)
        ],
        "surroundings": asdict(expected.board),
        "total": asdict(expected.total),
        "boards": [
            {"board": board, "size": size, "available": asdict(device),
             "lacking": expected.lacking(device)}
            for size, device in BOARDS[board].items()
        ],
    }  # fmt: skip


def _table(spec: NetworkSpec, expected: Estimate, board: str) -> str:
    columns = "layer   neurons  lanes  clocks/sample  utilisation  weights       bits"
    resources = "    LUT     FF  DSP  EBR"
    lines = [f"{spec.name} ({spec.path}), training, batch 1", columns + resources]
    for layer, part in zip(spec.layers, expected.layers, strict=True):
        lines.append(
            f"{layer.index:5}{layer.neurons:10}{layer.lanes:7}{part.clocks:15,}"
            f"{part.utilisation:13.1%}{layer.weights:9,}{layer.weights * layer.wb:11,}"
            f"{_row(part.resources)}"
        )
    lines.append(f"{'link, clock, LEDs':<{len(columns)}}{_row(expected.board)}")
    weights = sum(layer.weights for layer in spec.layers)
    bits = sum(layer.weights * layer.wb for layer in spec.layers)
    lines.append(
        f"{'sum':5}{'':17}{expected.clocks:15,}{expected.utilisation:13.1%}{weights:9,}{bits:11,}"
        f"{_row(expected.total)}"
    )
    for size, device in BOARDS[board].items():
        lacking = expected.lacking(device)
        lines.append(f"{board} {size}: " + (f"does not fit: {lacking}" if lacking else "fits"))
    return "\n".join(lines)


def _row(resources: Resources) -> str:
    return f"{resources.lut:7,}{resources.ff:7,}{resources.dsp:5}{resources.ebr:5}"


def main(arguments: Sequence[str]) -> int:
    """Run the command line; return its exit status."""
    return carry_out(_parser(), arguments)


if __name__ == "__main__":
    enter(main)
