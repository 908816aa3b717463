# SPDX-License-Identifier: BSD-2-Clause
"""The command `test`: what weights are worth."""

import argparse
import json
import sys
from pathlib import Path

from golden.cli import CONFIG_HELP, UsageError
from golden.files import check_folder

__all__ = ["add"]

DESCRIPTION = """\
Test weights, wherever they were trained, on the description's test set, in the integer model: bit
for bit what the hardware infers. The accuracy of each layer and what is taken for what go to the
standard output."""
EPILOG = """\
examples:
  python -m golden test digits --weights build/sim/digits/weights.npz
  python -m golden test digits --weights w.npz --json | jq .accuracy
  python -m golden test my.toml --weights w.npz --out build/test

The JSON holds accuracy (a share for each layer), labels (names of the classes) and confusion (for
each layer, label and prediction, the number of samples).
"""


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]"):
    """Register the command."""
    parser = commands.add_parser(
        "test",
        help="test weights: accuracy, and what is taken for what",
        description=DESCRIPTION,
        epilog=EPILOG,
    )
    parser.add_argument("config", help=CONFIG_HELP)
    parser.add_argument(
        "--weights", type=Path, required=True, metavar="FILE", help="the weights (.npz)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FOLDER",
        help="write NAME-test.md, .json, .svg and .png there as well",
    )
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from golden import confusion, training, weights
    from golden.commands.shared import prepare
    from golden.model import IntegerNetwork

    if arguments.out:
        check_folder(arguments.out)
    described, data = prepare(arguments.config)
    if not len(data.test_x):
        raise UsageError(f"{described.path}: data: there are no test samples; give some")
    learned = weights.load_for(arguments.weights, described, data)
    network = IntegerNetwork(described)
    training.start_from(network, learned)
    counts = training.confusions(network, data.test_x, data.test_y, described.classes)
    made = confusion.exhibit(
        f"{described.name}-test",
        counts,
        learned.labels or data.labels,
        network=described.name,
        weights=str(arguments.weights),
    )
    print(json.dumps(made.data) if arguments.json else made.text.strip("`\n"))
    if arguments.out:
        for file in made.write(arguments.out):
            print(file, file=sys.stderr)
    return 0
