# SPDX-License-Identifier: BSD-2-Clause
"""What all command lines share: their arguments, and one line and a status for each error."""

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

from golden.data import Data
from golden.data import load as load_data
from golden.errors import InputError, RunError
from golden.exhibit import Exhibit
from golden.spec import NetworkSpec

__all__ = [
    "CONFIG_HELP",
    "UsageError",
    "add_run_options",
    "at_least",
    "carry_out",
    "data_of",
    "show",
]

#: What a description may be given as.
CONFIG_HELP = "name of a description in configs/, or path of a .toml file"


class UsageError(InputError):
    """What was asked for cannot be done; the message says what to change."""


def at_least(least: int) -> Callable[[str], int]:
    """Make a type of arguments: whole numbers from `least` on.

    >>> at_least(1)("7")
    7
    """

    def parse(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(
                f"must be a whole number of at least {least}, not {text!r}"
            )
        return int(text)

    return parse


def add_run_options(parser: argparse.ArgumentParser, out: Path):
    """Let a command that makes many runs take how many, how long, at once, and where to."""
    parser.add_argument(
        "--quick", action="store_true", help="few epochs and one run each: a look, no evidence"
    )
    parser.add_argument("--epochs", type=at_least(1), metavar="N", help="epochs of a run")
    parser.add_argument("--seeds", type=at_least(1), metavar="N", help="runs of each kind")
    parser.add_argument(
        "--jobs",
        type=at_least(1),
        default=os.cpu_count(),
        metavar="N",
        help="runs at a time, a thread each (as many as there are processors: %(default)s)",
    )
    parser.add_argument("--out", type=Path, default=out, help="folder to write to (%(default)s)")


def show(exhibit: Exhibit, folder: Path):
    """Print the text of an exhibit, write its files, and name them on the standard error."""
    print(exhibit.text, end="\n\n", flush=True)
    for file in exhibit.write(folder):
        print(file, file=sys.stderr)


def data_of(network: NetworkSpec) -> Data:
    """Load the data set that a description names; what to know of it goes to the standard error.

    Raises
    ------
    UsageError
        If it names none.
    DataError
        If it is missing or damaged, or smaller than a batch.
    """
    if network.data is None:
        raise UsageError(f"{network.path}: data: nothing to train on; name a data set")
    data = load_data(network.data)
    for warning in data.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    data.check_batch(network.batch, network.path)
    return data


def carry_out(command: Callable[[], int]) -> int:
    """Run a command and return its exit status; an error becomes a line and a status of its own.

    That is 1 for a `RunError`, 2 for an `InputError` and for files that cannot be read or written.
    """
    try:
        return command()
    except RunError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except (InputError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
