# SPDX-License-Identifier: BSD-2-Clause
"""What all command lines share: their parsers, their streams, a line and a status for each error.

Importing this takes little. A command line imports it first: from then on an interrupt is told in
a line, also while large libraries are being imported.
"""

import argparse
import os
import select
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

from golden.errors import InputError, RunError
from golden.spec import NetworkSpec

if TYPE_CHECKING:
    from golden.data import Data
    from golden.exhibit import Exhibit

__all__ = [
    "CONFIG_HELP",
    "Parser",
    "UsageError",
    "add_config",
    "add_run_options",
    "at_least",
    "carry_out",
    "data_of",
    "enter",
    "program",
    "show",
]

#: What a description may be given as.
CONFIG_HELP = "name of a description in configs/, or path of a .toml file"
#: What the exit status of every command line means.
STATUSES = """\
exit status: 0 done, 1 what was tried has failed, 2 bad arguments, data or files, 130 interrupted,
141 nobody reads the output any more
"""
FAILED, REFUSED, INTERRUPTED, UNREAD = 1, 2, 130, 141


class UsageError(InputError):
    """What was asked for cannot be done; the message says what to change."""


class Parser(argparse.ArgumentParser):
    """A parser whose description and examples are shown as they are written.

    So are those of its commands.
    """

    def __init__(self, **arguments: Any):
        super().__init__(**{"formatter_class": argparse.RawDescriptionHelpFormatter, **arguments})


def program(name: str, *, description: str, epilog: str) -> argparse.ArgumentParser:
    """Make the parser of `python -m NAME`; what its exit status means is added to its epilog."""
    return Parser(prog=f"python -m {name}", description=description, epilog=f"{epilog}\n{STATUSES}")


def add_config(parser: argparse.ArgumentParser, default: str | None = None):
    """Let a command take a description; with a default it may be left out."""
    if default is None:
        parser.add_argument("config", help=CONFIG_HELP)
    else:
        parser.add_argument(
            "config", nargs="?", default=default, help=f"{CONFIG_HELP} (%(default)s)"
        )


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


def show(exhibit: "Exhibit", folder: Path):
    """Print the text of an exhibit, write its files, and name them on the standard error."""
    print(exhibit.text, end="\n\n", flush=True)
    for file in exhibit.write(folder):
        print(file, file=sys.stderr)


def data_of(network: NetworkSpec) -> "Data":
    """Load the data set that a description names; what to know of it goes to the standard error.

    Samples to choose layers by are held out where its schedule asks for them.

    Raises
    ------
    UsageError
        If it names none.
    DataError
        If it is missing or damaged, or smaller than a batch.
    """
    from golden.data import load
    from golden.schedule import withhold

    if network.data is None:
        raise UsageError(f"{network.path}: data: nothing to train on; name a data set")
    data = withhold(network, load(network.data))
    for warning in data.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    data.check_batch(network.batch, network.path)
    return data


def carry_out(parser: argparse.ArgumentParser, arguments: Sequence[str]) -> int:
    """Parse arguments, call the `run` that was set for them, and return the exit status.

    An error becomes a line on the standard error, and a status of its own: 1 for a `RunError`, 2
    for an `InputError` and for files that cannot be read or written. A `BrokenPipeError` is left
    to `enter`.
    """
    parsed = parser.parse_args(arguments)
    try:
        return parsed.run(parsed)
    except BrokenPipeError:
        raise
    except RunError as error:
        return _told(error, FAILED)
    except (InputError, OSError) as error:
        return _told(error, REFUSED)
    except KeyboardInterrupt:
        return _interrupted()


def enter(main: Callable[[Sequence[str]], int]) -> NoReturn:
    """Carry out a command line as a program: with the system's arguments, ending the process.

    What the encoding of a stream lacks is written as an escape. Where nobody reads a stream any
    more, as after `| head`, the program ends without a word.
    """
    for name in ("stdout", "stderr"):
        # One that was closed from the start is None.
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
    streams = (sys.stdout, sys.stderr)
    for stream in streams:
        stream.reconfigure(errors="backslashreplace")  # pyright: ignore
    try:
        status = main(sys.argv[1:])
    except SystemExit as end:
        status = end.code
    except BrokenPipeError as error:
        # The pipe may also be one to another process, such as a worker.
        status = UNREAD if any(map(_unread, streams)) else _told(error, REFUSED)
    for stream in streams:
        try:
            stream.flush()
        except OSError as error:
            _discard(stream)
            status = UNREAD if isinstance(error, BrokenPipeError) else _told(error, REFUSED)
    sys.exit(status)


def _told(error: Exception, status: int) -> int:
    # Not with the number of the error, which says nothing to people.
    if isinstance(error, OSError) and error.strerror:
        place = "the output" if error.filename is None else error.filename
        print(f"error: {place}: {error.strerror}", file=sys.stderr)
    else:
        print(f"error: {error}", file=sys.stderr)
    return status


def _interrupted() -> int:
    with suppress(OSError):
        print("interrupted", file=sys.stderr, flush=True)
    return INTERRUPTED


def _unread(stream: TextIO) -> bool:
    """Say whether a stream is a pipe that nobody reads."""
    try:
        poll = select.poll()
        poll.register(stream.fileno(), 0)
        return any(event & select.POLLERR for _, event in poll.poll(0))
    except (AttributeError, OSError):
        # Where there is no poll, or no file, the nearest pipe is to blame.
        return True


def _discard(stream: TextIO):
    """Let what is left in a stream, and all that follows, go nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def _hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None):
    """Show what nobody has caught; an interrupt, also one within an import, in a line."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, KeyboardInterrupt):
            raise SystemExit(_interrupted())
        # An extension that is interrupted while it is imported raises an error of its own.
        cause = (cause.__cause__ or cause.__context__) if isinstance(cause, ImportError) else None
    sys.__excepthook__(kind, error, trace)


sys.excepthook = _hook
