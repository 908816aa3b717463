# SPDX-License-Identifier: BSD-2-Clause
"""The command line: `python -m hw`."""

import argparse
import json
import math
from collections.abc import Sequence
from pathlib import Path

from golden.cli import UsageError, add_config, carry_out, enter, program
from golden.errors import quoted, shown
from golden.files import check_place, write_text
from golden.spec import NetworkSpec
from golden.tables import read_text

from .clocks import ACTIVATIONS, UPDATES, Density, typical
from .datasheet import export
from .description import describe, read
from .devices import BOARDS
from .estimate import estimate
from .fit import fit
from .primitives import ECP5, PORTABLE
from .report import SizeEstimate, estimate_table, fit_table, summary
from .rewrite import with_lanes
from .verilog import module_name

EPILOG = """\
examples:
  python -m hw verilog digits -o digits.v
  python -m hw verilog my.toml --primitives ecp5 -o - | less
  python -m hw estimate mnist --board ulx3s
  python -m hw fit mnist --size 45F

lanes: a layer computes as many neurons at once as it has lanes, with a multiplier each. Where a
description gives no number they are chosen for its board and size (keys `board` and `size`, which
--board and --size replace), so that the slowest layer takes as few clocks as can be.
"""
FIT_HELP = """\
Choose the lanes of the layers that have none, or lanes = "auto", and say what was chosen.

All layers work at the same time, so the network is as fast as its slowest layer. The lanes are
those for which that layer takes the fewest clocks, of all that fit the board: its multipliers
(DSP), its memory blocks (EBR), its flip-flops and 85 % of its LUTs. Lanes that are given stay.

What is 0 takes no clocks, so the choice depends on how much is not 0: --density. Every other
command chooses for what is typical; to choose for other shares, write the lanes out with --out.
"""
FIT_EPILOG = """\
examples:
  python -m hw fit mnist                        what the description's own board gets
  python -m hw fit mnist --size 45F -o my.toml  the same network with lanes for a smaller one
  python -m hw fit my.toml --density 0.5 0.4 1  half of the inputs, 40 % of the activations not 0,
                                                every sample updates weights
"""
ESTIMATE_HELP = """\
Say, before any synthesis, how many clocks a sample takes, which cells each layer takes, which of
the device's runs short first, and what other sizes of the board would do. Multipliers and memory
blocks are exact, clocks a few per cent off, LUTs and flip-flops up to a fifth.
"""
#: The forms of the primitives, by name.
PRIMITIVES = {form.name: form for form in (PORTABLE, ECP5)}
#: The sizes of all boards.
SIZES = list(dict.fromkeys(size for sizes in BOARDS.values() for size in sizes))


def _parser() -> argparse.ArgumentParser:
    parser = program(
        "hw",
        description="Generate a network's hardware, or say what it will take.",
        epilog=EPILOG,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    config = argparse.ArgumentParser(add_help=False)
    add_config(config)
    config.add_argument(
        "--board", choices=BOARDS, help="board that lanes are chosen for (the description's)"
    )
    config.add_argument("--size", choices=SIZES, help="its size (the description's)")
    density = argparse.ArgumentParser(add_help=False)
    density.add_argument(
        "--density",
        type=_share,
        nargs=3,
        metavar=("INPUTS", "ACTIVATIONS", "UPDATES"),
        help="shares, from 0 to 1, of the inputs and of the activations that are not 0, and of the "
        f"samples that update weights (inputs as in the data, {ACTIVATIONS}, {UPDATES})",
    )

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
        parents=[config, density],
        help="say what a network takes and where it fits",
        description=ESTIMATE_HELP,
    )
    estimator.add_argument(
        "--json", action="store_true", help="write JSON, for other programs, instead of a table"
    )
    estimator.set_defaults(run=_estimate)

    fitter = commands.add_parser(
        "fit",
        parents=[config, density],
        help="choose how many neurons each layer computes at once",
        description=FIT_HELP,
        epilog=FIT_EPILOG,
    )
    fitter.add_argument(
        "-o", "--out", type=Path, metavar="FILE",
        help="write the description with these lanes, its remarks and layout kept",
    )  # fmt: skip
    fitter.set_defaults(run=_fit)
    return parser


def _share(text: str) -> float:
    """Read a share."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"must be a share from 0 to 1, not {quoted(text)}")
    return value


def _verilog(arguments: argparse.Namespace) -> int:
    spec = describe(arguments.config, board=arguments.board, size=arguments.size)
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


def _read(arguments: argparse.Namespace) -> tuple[NetworkSpec, Density]:
    """Load the description as it is, and what share of the work to count on."""
    spec = read(arguments.config, board=arguments.board, size=arguments.size)
    return spec, Density(*arguments.density) if arguments.density else typical(spec)


def _estimate(arguments: argparse.Namespace) -> int:
    spec, density = _read(arguments)
    fitted = fit(spec, density)
    expected = estimate(fitted.spec, density)
    sizes = [SizeEstimate.of(spec, size, density) for size in BOARDS[spec.board]]
    if arguments.json:
        print(json.dumps(summary(fitted, expected, sizes), indent=2))
    else:
        print(estimate_table(fitted, expected, sizes))
    return 0


def _fit(arguments: argparse.Namespace) -> int:
    out: Path | None = arguments.out
    spec, density = _read(arguments)
    if out:
        check_place(out)
        _check_data(spec, out)
    fitted = fit(spec, density)
    print(fit_table(fitted, estimate(fitted.spec, density)))
    if out:
        write_text(out, with_lanes(read_text(spec.path), fitted.spec))
        print(f"see {out}")
    return 0


def _check_data(spec: NetworkSpec, out: Path):
    """Refuse to write a description where its path of the data would lead elsewhere."""
    if spec.data and spec.data.path and not Path(spec.data.source).is_absolute():
        folder = Path(spec.path).parent
        if out.parent.resolve() != folder.resolve():
            raise UsageError(
                f"{shown(out)}: {shown(spec.path)} names data by a path that begins at its folder; "
                f"write to {shown(folder)}"
            )


def main(arguments: Sequence[str]) -> int:
    """Run the command line; return its exit status."""
    return carry_out(_parser(), arguments)


if __name__ == "__main__":
    enter(main)
