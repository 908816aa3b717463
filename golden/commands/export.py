# SPDX-License-Identifier: BSD-2-Clause
"""The command `export`: a trained network for programs of others."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from golden import weights
from golden.cli import CONFIG_HELP, data_of
from golden.errors import RunError
from golden.files import check_place, replacing
from golden.spec import NetworkSpec, find, load

if TYPE_CHECKING:
    import numpy as np

    from golden.export.tables import Results, Tables
    from golden.model import IntegerNetwork

__all__ = ["add"]

#: Samples that an export is compared on where the description names no data.
DRAWN = 1000
DESCRIPTION = """\
Write a trained network as a file that other programs run, in integers. Before it is written, it
is run on the whole test set (where the description names no data, on random samples) and compared
with the integer model: every score of every class and every prediction, of all layers.

  onnx   a model for ONNX runtimes; needs pip install 'lel[export]'
  c      a C99 header without dependencies; compared where a C compiler is found
  npz    plain arrays for NumPy, with a text that says what to compute"""
EPILOG = """\
examples:
  python -m golden export digits w.npz --format onnx -o digits.onnx
  python -m golden export digits build/sim/digits/weights.npz --format c -o digits.h
"""


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]"):
    """Register the command."""
    parser = commands.add_parser(
        "export",
        help="write a trained network as ONNX, C or plain arrays",
        description=DESCRIPTION,
        epilog=EPILOG,
    )
    parser.add_argument("config", help=CONFIG_HELP)
    parser.add_argument("weights", type=Path, help="the weights (.npz)")
    parser.add_argument("--format", required=True, choices=("onnx", "c", "npz"), help="of the file")
    parser.add_argument(
        "-o", "--out", type=Path, required=True, metavar="FILE", help="file to write to"
    )
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from golden import training
    from golden.export import onnx
    from golden.export.tables import Tables
    from golden.model import IntegerNetwork

    if arguments.format == "onnx":
        onnx.check_installed()
    check_place(arguments.out)
    described = load(find(arguments.config))
    learned = weights.load(arguments.weights, described)
    network = IntegerNetwork(described)
    training.start_from(network, learned)
    x, kind = _samples(described)
    content, results = _made(arguments.format, Tables.of(network, learned), x)
    if results:
        count = _compare(network, x, results)
        said = f"{len(x)} {kind} samples, {count:,} scores and predictions, all equal"
    else:
        said = "not compared: there is no C compiler; install one, or set CC to it"
    with replacing(arguments.out) as file:
        file.write(content)
    print(f"{arguments.out}: {said}", file=sys.stdout if results else sys.stderr)
    return 0


def _samples(described: NetworkSpec) -> "tuple[np.ndarray, str]":
    """Give samples to compare on, and what kind they are."""
    import numpy as np

    if described.data is not None:
        return data_of(described).test_x, "test"
    random = np.random.default_rng(described.seed)
    return random.integers(0, 256, (DRAWN, described.inputs), np.uint8), "random"


def _made(form: str, tables: "Tables", x: "np.ndarray") -> "tuple[bytes, Results | None]":
    """Make a file, and run it; a C header where that can be done."""
    from golden.export import c, npz, onnx

    if form == "c":
        content, compiler = c.make(tables), c.compiler()
        return content, c.infer(content, tables, x, compiler) if compiler else None
    module = onnx if form == "onnx" else npz
    content = module.make(tables)
    return content, module.infer(content, x)


def _compare(network: "IntegerNetwork", x: "np.ndarray", results: "Results") -> int:
    """Compare all scores and predictions with the integer model's; give how many there are."""
    from golden.training import infer

    scores, predictions = infer(network, x)
    for name, ours, theirs in (
        ("scores", scores, results.scores),
        ("predictions", predictions, results.predictions),
    ):
        if ours.shape != theirs.shape or (ours != theirs).any():
            raise RunError(
                f"the export is not equal to the integer model in its {name}; nothing was written; "
                "this is a fault of LEL: please report it with the description"
            )
    return scores.size + predictions.size
