# SPDX-License-Identifier: BSD-2-Clause
"""The command `sweep`: many trainings, with one thing varied at a time."""

import argparse
from pathlib import Path

from golden.cli import add_run_options, show
from golden.files import check_folder
from golden.spec import find

__all__ = ["add"]

DESCRIPTION = """\
Train a network many times, with one thing varied at a time: its formats, its size, or whatever
else a study names. Accuracy, on samples held out of the training set, goes to the standard output
as tables in Markdown, and to NAME.md, NAME.json, NAME.svg and NAME.png in the folder OUT. Runs that
were made are kept there; a study that was killed goes on where it was."""
EPILOG = """\
examples:
  python -m golden sweep                          formats and sizes on MNIST: twenty minutes
  python -m golden sweep --quick                  the same, an epoch and a run each: minutes
  python -m golden sweep my-study.toml --seeds 4
  python -m golden sweep formats >formats.md

configs/studies/formats.toml explains what a study may hold.
"""


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]"):
    """Register the command."""
    parser = commands.add_parser(
        "sweep",
        help="vary formats and sizes, compare accuracy",
        description=DESCRIPTION,
        epilog=EPILOG,
    )
    parser.add_argument(
        "study",
        nargs="?",
        default="formats",
        help="name of a study in configs/studies/, or path of a .toml file (%(default)s)",
    )
    add_run_options(parser, Path("build") / "sweep")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from golden import runs, sweep

    quick = {"epochs": 1, "seeds": 1} if arguments.quick else {}
    given = {key: getattr(arguments, key) for key in ("epochs", "seeds")}
    asked = quick | {key: value for key, value in given.items() if value is not None}
    study = sweep.load(find(arguments.study, sweep.STUDIES, "study"), **asked)
    folder = arguments.out
    check_folder(folder)
    outcomes = runs.perform(sweep.runs(study), folder / "runs", jobs=arguments.jobs)
    show(sweep.exhibit(study, outcomes), folder)
    return 0
