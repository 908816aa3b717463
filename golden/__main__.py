# SPDX-License-Identifier: BSD-2-Clause
"""The command line: `python -m golden`."""

import argparse
from collections.abc import Sequence

from golden.cli import carry_out, enter, program
from golden.commands import baseline, bench, data, exits, export, paper, sweep, test, train

EPILOG = """\
examples:
  python -m golden train digits --out w.npz       a few seconds; keeps the weights
  python -m golden test digits --weights w.npz    accuracy, and what is taken for what
  python -m golden export digits w.npz --format c -o digits.h
  python -m golden bench                          beside the same network in floats
  python -m golden sweep                          which formats and sizes a network needs
  python -m golden paper all --quick              the paper's tables and figures

data: the digits come with scikit-learn; MNIST is read from mnist/ in the folder that LEL_DATA
names, else from the user's cache folder, into which it is fetched
"""
#: In the order in which the help lists them.
COMMANDS = (data, train, test, exits, export, baseline, bench, sweep, paper)


def _parser() -> argparse.ArgumentParser:
    parser = program(
        "golden",
        description="Train networks in the integer model, test them, and take them elsewhere.",
        epilog=EPILOG,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add(commands)
    return parser


def main(arguments: Sequence[str]) -> int:
    """Run the command line; return its exit status."""
    return carry_out(_parser(), arguments)


if __name__ == "__main__":
    enter(main)
