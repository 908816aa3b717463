# SPDX-License-Identifier: BSD-2-Clause
"""The command `exits`: what it is worth to let samples leave early."""

import argparse
import json
import math
import sys
from pathlib import Path

from golden.cli import CONFIG_HELP, UsageError
from golden.files import check_folder

__all__ = ["add"]

DESCRIPTION = """\
Find out what early exits are worth. Every layer has an answer of its own, and is sure of it by its
margin: the best score less the second. A sample leaves the network at the lowest layer whose margin
is at least a threshold, and costs the layers above nothing. The threshold is raised from 0, where
all samples leave at the first layer, until none leaves before the last."""
EPILOG = """\
examples:
  python -m golden exits digits --weights w.npz
  python -m golden exits digits --weights w.npz --out build/exits
  python -m golden exits my.toml --weights w.npz --margins 1.5 2     a threshold for each layer
  python -m golden exits digits --weights w.npz --json | jq '.points[] | [.products, .accuracy]'

what is printed for each threshold:
  margin      the threshold; 1 is the margin of the hinge loss, so that a sample which a layer has
              learned to the end has 2
  accuracy    of the answers, each of the layer where its sample leaves, in percent of the test set
  products    of weights with inputs that are not 0, in percent of those without early exits; one
              takes a multiplier for one clock, so that clocks and energy go along with them
  layers      that a sample takes in the mean
  layer 0 ... of the samples, how many leave there, in percent

The JSON holds these as numbers from 0 to 1, products as counts, and the thresholds in units of each
layer's scores, 2^-(fy + ms), as hardware compares them. Choose a threshold, then test it on samples
by which you have not chosen it.
"""


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]"):
    """Register the command."""
    parser = commands.add_parser(
        "exits",
        help="let samples that are sure leave early: accuracy over cost",
        description=DESCRIPTION,
        epilog=EPILOG,
    )
    parser.add_argument("config", help=CONFIG_HELP)
    parser.add_argument(
        "--weights", type=Path, required=True, metavar="FILE", help="the weights (.npz)"
    )
    parser.add_argument(
        "--margins",
        type=_margin,
        nargs="+",
        metavar="M",
        help="a threshold for each layer below the last, instead of many for all",
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FOLDER",
        help="write NAME-exits.md, .json, .svg and .png there as well",
    )
    parser.set_defaults(run=_run)


def _margin(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < 2**32:
        raise argparse.ArgumentTypeError(f"must be a number of at least 0, not {text!r}")
    return value


def _run(arguments: argparse.Namespace) -> int:
    from golden import exits, training, weights
    from golden.commands.shared import prepare
    from golden.model import IntegerNetwork

    if arguments.out:
        check_folder(arguments.out)
    described, data = prepare(arguments.config)
    below = len(described.layers) - 1
    if not below:
        raise UsageError(f"{described.path}: layer: there is but one to leave at; add another")
    if arguments.margins and len(arguments.margins) != below:
        raise UsageError(
            f"--margins: {len(arguments.margins)} for {below + 1} layers; give one for each layer "
            f"below the last, {below} in all"
        )
    if not len(data.test_x):
        raise UsageError(f"{described.path}: data: there are no test samples; give some")
    network = IntegerNetwork(described)
    training.start_from(network, weights.load_for(arguments.weights, described, data))
    found = exits.answers(network, data.test_x, data.test_y)
    points = [exits.at(found, arguments.margins)] if arguments.margins else exits.sweep(found)
    name = f"{described.name}-exits"
    made = exits.exhibit(name, found, points, weights=str(arguments.weights))
    print(json.dumps(made.data) if arguments.json else made.text.strip("`\n"))
    if arguments.out:
        for file in made.write(arguments.out):
            print(file, file=sys.stderr)
    return 0
