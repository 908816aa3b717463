# SPDX-License-Identifier: BSD-2-Clause
"""The command `export`: a trained network for programs of others."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from golden import weights
from golden.cli import CONFIG_HELP, UsageError, data_of
from golden.errors import RunError
from golden.files import check_place, replacing, shown
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
  npz    plain arrays for NumPy, with a text that says what to compute

Where the weights know how features became 8-bit inputs, a header has a function that takes
features as well, and --features makes a model that takes them instead; that is compared on random
features."""
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
    parser.add_argument(
        "--features", action="store_true", help="let an ONNX model take features, not 8-bit inputs"
    )
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from golden import training
    from golden.export import onnx
    from golden.export.tables import Tables
    from golden.model import IntegerNetwork

    if arguments.format == "onnx":
        onnx.check_installed()
    elif arguments.features:
        raise UsageError(
            "--features is for --format onnx; remove it: a C header has both functions"
        )
    check_place(arguments.out)
    described = load(find(arguments.config))
    learned = weights.load(arguments.weights, described)
    if arguments.features and not learned.scaling:
        raise UsageError(f"--features: {arguments.weights} has no scale of features; remove it")
    network = IntegerNetwork(described)
    training.start_from(network, learned)
    tables = Tables.of(network, learned)
    samples = _samples(described, learned, features=arguments.features)
    if arguments.format == "npz" or (arguments.format == "onnx" and not arguments.features):
        samples = samples[:1]
    content, said = _made(arguments, tables), []
    for kind, given, x in samples:
        results = _results(arguments.format, content, tables, given)
        if results:
            count = _compare(network, x, results)
            said.append(f"{len(x)} {kind}, {count:,} scores and predictions, all equal")
    compared = bool(said)
    if not compared:
        said = ["not compared: there is no C compiler; install one, or set CC to it"]
    with replacing(arguments.out) as file:
        file.write(content)
    for line in said:
        print(f"{shown(arguments.out)}: {line}", file=sys.stdout if compared else sys.stderr)
    return 0


def _samples(
    described: NetworkSpec, learned: weights.Weights, *, features: bool
) -> "list[tuple[str, np.ndarray, np.ndarray]]":
    """Give samples to compare on: what kind they are, what is given, and their 8-bit inputs."""
    import numpy as np

    random = np.random.default_rng(described.seed)
    made = []
    if described.data is not None and not features:
        x = data_of(described).test_x
        made.append(("test samples", x, x))
    elif not features:
        x = random.integers(0, 256, (DRAWN, described.inputs), np.uint8)
        made.append(("random samples", x, x))
    if learned.scaling:
        low, high = learned.scaling.low, learned.scaling.high
        # A tenth of the range more at both ends, which are there too.
        drawn = low + (high - low) * random.uniform(-0.1, 1.1, (DRAWN, described.inputs))
        drawn[0], drawn[1] = low, high
        made.append(("random samples of features", drawn, learned.scaling.apply(drawn)))
    return made


def _made(arguments: argparse.Namespace, tables: "Tables") -> bytes:
    """Make a file."""
    from golden.export import c, npz, onnx

    if arguments.format == "onnx":
        return onnx.make(tables, features=arguments.features)
    return c.make(tables) if arguments.format == "c" else npz.make(tables)


def _results(form: str, content: bytes, tables: "Tables", x: "np.ndarray") -> "Results | None":
    """Run a file, if that can be done."""
    from golden.export import c, npz, onnx

    if form == "c":
        compiler = c.compiler()
        return c.infer(content, tables, x, compiler) if compiler else None
    return onnx.infer(content, x) if form == "onnx" else npz.infer(content, x)


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
