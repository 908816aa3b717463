# SPDX-License-Identifier: BSD-2-Clause
"""The command line: `python -m hw`."""

import argparse
import inspect
import sys
from collections.abc import Sequence
from pathlib import Path

from golden.cli import add_config, carry_out, enter, program
from golden.files import write_text
from golden.spec import NetworkSpec

from .description import describe
from .estimate import BOARDS, Estimate, Resources, estimate
from .network import Network
from .primitives import ECP5, PORTABLE
from .verilog import convert
from .verilog import describe as describe_ports

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
        "verilog", parents=[config], help="write stand-alone Verilog for use in any design"
    )
    generator.add_argument("-o", "--out", required=True, metavar="FILE", help="- is the screen")
    generator.add_argument(
        "--primitives", choices=PRIMITIVES, default=PORTABLE.name, help="(%(default)s)"
    )
    generator.set_defaults(run=_verilog)

    estimator = commands.add_parser(
        "estimate", parents=[config], help="say what a network takes and where it fits"
    )
    estimator.add_argument("--board", choices=BOARDS, default="ulx3s", help="(%(default)s)")
    estimator.set_defaults(run=_estimate)
    return parser


def _verilog(arguments: argparse.Namespace) -> int:
    spec = describe(arguments.config)
    network = Network(spec=spec, primitives=PRIMITIVES[arguments.primitives])
    text = f"{_head(spec, network, arguments.primitives)}\n{convert(network, name=spec.name)}"
    if arguments.out == "-":
        sys.stdout.write(text)
    else:
        write_text(Path(arguments.out), text)
    return 0


def _head(spec: NetworkSpec, network: Network, primitives: str) -> str:
    """Write the comment that goes before the Verilog."""
    lines = [f"{spec.name}: a trainer for local errors, made from {spec.path} by LEL", ""]
    for layer in spec.layers:
        lines.append(
            f"  layer {layer.index}: {layer.inputs} inputs, {layer.neurons} neurons, "
            f"{layer.lanes} lanes, {layer.classes} classes, rule {layer.rule}"
        )
    lines += ["", *(inspect.getdoc(network) or "").splitlines(), ""]
    lines += [
        "Ports. `clk` is active at its rising edge. `rst` is synchronous; it may be tied to",
        "0, since registers have initial values. A stream moves its payload when valid and ready.",
        "",
        *describe_ports(network).splitlines(),
    ]
    if primitives == ECP5.name:
        lines += ["", "For simulation, hw/primitives/ecp5_cells.v models the cells."]
    return "\n".join(f"// {line}".rstrip() for line in lines)


def _estimate(arguments: argparse.Namespace) -> int:
    spec = describe(arguments.config)
    print(_table(spec, estimate(spec), arguments.board))
    return 0


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
