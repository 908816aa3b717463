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
    from golden.paper.comparison import Method, Result
    from golden.paper.traffic import Counted

__all__ = ["EXHIBITS", "add"]

#: What can be made, in the order in which `all` makes it: the quick ones first.
EXHIBITS = ("table1", "figure6", "table2", "figure3")
#: Those for which something is trained, and those of convolutional networks.
TRAINED = ("table2", "figure3")
CONVOLVED = ("table3", "figure4", "table4", "table5", "figure5")
QUICK = "This is a quick look: its trainings are far too short to be compared with the paper's."
EPOCHS, SEEDS = 24, 2
#: Of convolutional networks, and the share of the paper's maps and neurons that they have.
CONV_EPOCHS, CONV_SEEDS, WIDTH = 20, 1, 0.25
#: What the networks of table2 and figure3 train on, and their neurons.
MNIST = {"data": "mnist", "neurons": 1000}
#: The description of the paper's MNIST network, and how many samples of its training are counted.
WIDE, COUNT = "mnist-wide", 5000
DESCRIPTION = """\
Make the paper's tables and figures again, beside the paper's own values.

  table1    memory traffic and multiplications; ours also counted in a training on MNIST
  figure6   the same over networks
  table2    MNIST by nine methods and the negative control, in floats and in integers
  figure3   the main findings of table2, as bars
  all       these four

  table3    CIFAR10 by thirteen methods in five layers, in floats and in integers
  figure4   the main findings of table3, as bars
  table4    the same with ten layers: the lower five
  table5    the upper five
  figure5   the main findings of both, as bars

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
  python -m golden paper table3 --method BP --method "LEL(SYM)" --width 1 --epochs 6

time: table1 and figure6 take half a minute, for the training in which they count. An epoch takes 11
to 15 seconds on one core in floats, and 20 to 35 in integers, so table2 takes two hours on two
cores with {EPOCHS} epochs and {SEEDS} seeds, which is the default, seventeen hours with as many as
in the paper, and five minutes with --quick (2 epochs, 1 seed). figure3 needs a part of the same
trainings.

table3 takes five hours on two cores with a quarter of the width, {CONV_EPOCHS} epochs and a seed,
which is the default. table4, table5 and figure5 are of the same trainings.

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
    paper.add_argument("exhibit", choices=(*EXHIBITS, "all", *CONVOLVED), help="what to make")
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
        help="train only this method, such as 'LEL(SYM) + DO'; repeatable",
    )
    paper.add_argument(
        "--width",
        type=_width,
        metavar="SHARE",
        help=f"share of the paper's maps and neurons in table3 to figure5, up to 1 ({WIDTH})",
    )
    paper.add_argument(
        "--validate",
        action="store_true",
        help="in table3 to figure5, hold out a sixth of the training set, and tell where the "
        "paper's stopping rule would stop to add layers",
    )
    paper.add_argument(
        "--floats", action="store_true", help="train no integer model beside the floats"
    )
    add_run_options(paper, Path("build/paper"))
    paper.set_defaults(run=_run)


def _rows(exhibit: str) -> "Sequence[Method]":
    """Give what is trained for an exhibit."""
    from golden.paper.cifar import SHOWN
    from golden.paper.conv_methods import FIGURE
    from golden.paper.conv_methods import LINE as CONV_LINE
    from golden.paper.methods import CONTROL, FIGURE3, LINE, ROWS

    if exhibit in CONVOLVED:
        rows = SHOWN[exhibit][0]
        if exhibit.startswith("figure"):
            return [row for row in rows if row.name in (*FIGURE, CONV_LINE)]
        return rows
    return (*ROWS, CONTROL) if exhibit == "table2" else (*FIGURE3, LINE)


def _method(name: str) -> str:
    """Check the name of a method."""
    known = dict.fromkeys(row.name for exhibit in ("table2", "table3") for row in _rows(exhibit))
    if name not in known:
        raise argparse.ArgumentTypeError(
            f"invalid choice: {quoted(name)} (choose from {', '.join(known)})"
        )
    return name


def _width(text: str) -> float:
    """Read the share of the paper's width."""
    try:
        width = float(text)
    except ValueError:
        width = 0.0
    if not 0 < width <= 1:
        raise argparse.ArgumentTypeError(f"must be a number up to 1, not {quoted(text)}")
    return width


def _run(arguments: argparse.Namespace) -> int:
    from golden.paper import cifar, comparison, table2, traffic
    from golden.paper.shapes import NETWORKS, translate

    convolved = arguments.exhibit in CONVOLVED
    if arguments.width and not convolved:
        raise UsageError(f"--width: is for {', '.join(CONVOLVED)}; remove it")
    if arguments.validate and not convolved:
        raise UsageError(f"--validate: is for {', '.join(CONVOLVED)}; remove it")
    width = arguments.width or WIDTH
    usual = (CONV_EPOCHS, CONV_SEEDS) if convolved else (EPOCHS, SEEDS)
    epochs, seeds = (2, 1) if arguments.quick else usual
    epochs, seeds = arguments.epochs or epochs, arguments.seeds or seeds
    folder: Path = arguments.out / "quick" if arguments.quick else arguments.out
    runs = arguments.out / "runs"
    check_folder(folder)

    names = EXHIBITS if arguments.exhibit == "all" else (arguments.exhibit,)
    trained = [name for name in names if name in (*TRAINED, *CONVOLVED)]
    rows = {name: _chosen(name, arguments.method) for name in trained}

    def measure(name: str) -> "list[Result]":
        return comparison.measure(
            rows[name],
            runs,
            epochs=epochs,
            seeds=seeds,
            jobs=arguments.jobs,
            integers=name.startswith("table") and not arguments.floats,
            **(
                {"data": "cifar10", "width": width, "validated": arguments.validate}
                if convolved
                else MNIST
            ),
        )

    described = [translate(spec.load(spec.find(config))) for config in arguments.config]
    counts = _counted(arguments.config, arguments.count) if {"table1", "figure6"} & {*names} else {}
    make: dict[str, Callable[[], Exhibit]] = {
        "table1": lambda: traffic.table1((*NETWORKS, *described), counts),
        "figure6": lambda: traffic.figure6(counts),
        "table2": lambda: table2.table2(measure("table2")),
        "figure3": lambda: table2.figure3(measure("figure3")),
    }
    for name in names:
        exhibit = cifar.exhibit(name, measure(name), width=width) if convolved else make[name]()
        if arguments.quick and name in trained:
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


def _chosen(exhibit: str, methods: Sequence[str]) -> "list[Method]":
    """Choose the rows of an exhibit by their names; all, if none is named."""
    rows = [row for row in _rows(exhibit) if not methods or row.name in methods]
    if not rows:
        shown = ", ".join(row.name for row in _rows(exhibit))
        raise UsageError(
            f"--method: {exhibit} shows none of {', '.join(methods)}, only {shown}; "
            f"{'table3' if exhibit in CONVOLVED else 'table2'} shows all"
        )
    return rows
