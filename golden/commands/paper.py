# SPDX-License-Identifier: BSD-2-Clause
"""The command `paper`: the paper's exhibits, made again."""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from golden import spec
from golden.cli import UsageError, add_run_options, at_least, show
from golden.errors import quoted
from golden.files import check_folder

if TYPE_CHECKING:
    from golden.exhibit import Exhibit
    from golden.paper.methods import Row
    from golden.paper.table2 import Result
    from golden.paper.traffic import Counted

__all__ = ["EXHIBITS", "add"]

#: What can be made, in the order in which `all` makes it: the quick ones first.
EXHIBITS = ("table1", "figure6", "table2", "figure3")
#: Those for which something is trained.
TRAINED = ("table2", "figure3")
QUICK = "This is a quick look: its trainings are far too short to be compared with the paper's."
EPOCHS, SEEDS = 24, 2
#: The description of the paper's MNIST network, and how many samples of its training are counted.
WIDE, COUNT = "mnist-wide", 5000
DESCRIPTION = """\
Make the paper's tables and figures again, beside the paper's own values.

  table1    memory traffic and multiplications; ours also counted in a training on MNIST
  figure6   the same over networks
  table2    MNIST by nine methods and the negative control, in floats and in integers
  figure3   the main findings of table2, as bars
  all       these four

The Markdown of each goes to the standard output; it, the numbers as JSON and the pictures as SVG
and PNG go into a folder, and their paths to the terminal. Trainings are kept there too, each goes
on where it was when it is interrupted, and none is made twice."""
EPILOG = f"""\
examples:
  python -m golden paper table1 --config mnist     this network beside the paper's
  python -m golden paper table1 --count 0           no training, no data set
  python -m golden paper table2 --quick
  python -m golden paper all --jobs 2
  python -m golden paper figure3 --method "FA + DO" --epochs 100 --seeds 1 --out build/longer
  python -m golden paper table2 --epochs 100 --seeds 4    as many as in the paper

time: table1 and figure6 take half a minute, for the training in which they count. An epoch takes 11
to 15 seconds on one core in floats, and 20 to 35 in integers, so table2 takes two hours on two
cores with {EPOCHS} epochs and {SEEDS} seeds, which is the default, seventeen hours with as many as
in the paper, and five minutes with --quick (2 epochs, 1 seed). figure3 needs a part of the same
trainings.

A GPU makes the floats faster where PyTorch finds one; the integers stay on the processor.

data: MNIST is read from mnist/ in the folder that LEL_DATA names, else from the user's cache
folder, into which it is fetched
"""


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]"):
    """Register the command."""
    paper = commands.add_parser(
        "paper",
        help="make the paper's tables and figures again",
        description=DESCRIPTION,
        epilog=EPILOG,
    )
    paper.add_argument("exhibit", choices=(*EXHIBITS, "all"), help="what to make")
    paper.add_argument(
        "--config",
        action="append",
        default=[],
        help="count this network too in table1: a name in configs/, or a .toml file; repeatable",
    )
    paper.add_argument(
        "--count",
        type=at_least(0),
        default=COUNT,
        metavar="N",
        help="for table1 and figure6, count what the first N samples of a training take "
        "(%(default)s); 0: without",
    )
    paper.add_argument(
        "--method",
        action="append",
        default=[],
        type=_method,
        metavar="NAME",
        help="train only this method for table2 and figure3, such as 'LEL(SYM) + DO'; repeatable",
    )
    add_run_options(paper, Path("build/paper"))
    paper.set_defaults(run=_run)


def _rows(exhibit: str) -> "tuple[Row, ...]":
    """Give what is trained for an exhibit."""
    from golden.paper.methods import CONTROL, FIGURE3, LINE, ROWS

    return (*ROWS, CONTROL) if exhibit == "table2" else (*FIGURE3, LINE)


def _method(name: str) -> str:
    """Check the name of a method."""
    known = [row.name for row in _rows("table2")]
    if name not in known:
        raise argparse.ArgumentTypeError(
            f"invalid choice: {quoted(name)} (choose from {', '.join(known)})"
        )
    return name


def _run(arguments: argparse.Namespace) -> int:
    from golden.paper import table2, traffic
    from golden.paper.shapes import NETWORKS, translate

    epochs, seeds = (2, 1) if arguments.quick else (EPOCHS, SEEDS)
    epochs, seeds = arguments.epochs or epochs, arguments.seeds or seeds
    folder: Path = arguments.out / "quick" if arguments.quick else arguments.out
    runs = arguments.out / "runs"
    check_folder(folder)

    names = EXHIBITS if arguments.exhibit == "all" else (arguments.exhibit,)
    rows = {name: _chosen(name, arguments.method) for name in names if name in TRAINED}

    def measure(name: str, *, integers: bool) -> "list[Result]":
        return table2.measure(
            rows[name], runs, epochs=epochs, seeds=seeds, jobs=arguments.jobs, integers=integers
        )

    described = [translate(spec.load(spec.find(config))) for config in arguments.config]
    counts = _counted(arguments.config, arguments.count) if {"table1", "figure6"} & {*names} else {}
    make: dict[str, Callable[[], Exhibit]] = {
        "table1": lambda: traffic.table1((*NETWORKS, *described), counts),
        "figure6": lambda: traffic.figure6(counts),
        "table2": lambda: table2.table2(measure("table2", integers=True)),
        "figure3": lambda: table2.figure3(measure("figure3", integers=False)),
    }
    for name in names:
        exhibit = make[name]()
        if arguments.quick and name in TRAINED:
            exhibit = replace(exhibit, text=f"{exhibit.text}\n\n{QUICK}")
        show(exhibit, folder)
    return 0


def _counted(configs: Sequence[str], samples: int) -> "dict[str, Counted]":
    """Count in trainings, by the name that exhibits give the network; nothing for no samples."""
    from golden.commands.shared import prepare
    from golden.data import MissingError
    from golden.paper.shapes import NETWORKS
    from golden.paper.traffic import counted

    if not samples:
        return {}
    try:
        network, data = prepare(WIDE, batch=1)
    except MissingError as error:
        raise UsageError(f"{error}; or give --count 0") from None
    counts = {NETWORKS[0].name: counted(network, data, samples)}
    for config in configs:
        if spec.load(spec.find(config)).data is not None:
            network, data = prepare(config, batch=1)
            counts[network.name] = counted(network, data, samples)
    return counts


def _chosen(exhibit: str, methods: Sequence[str]) -> "list[Row]":
    """Choose the rows of an exhibit by their names; all, if none is named."""
    rows = [row for row in _rows(exhibit) if not methods or row.name in methods]
    if not rows:
        shown = ", ".join(row.name for row in _rows(exhibit))
        raise UsageError(
            f"--method: {exhibit} shows none of {', '.join(methods)}, only {shown}; "
            "table2 shows all"
        )
    return rows
