# SPDX-License-Identifier: BSD-2-Clause
"""The command line: `python -m golden`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from golden import bench, runs, spec, sweep, training
from golden.cli import (
    CONFIG_HELP,
    UsageError,
    add_run_options,
    at_least,
    carry_out,
    data_of,
    show,
)
from golden.data import Data
from golden.model import IntegerNetwork
from golden.paper import command as paper

EPILOG = """\
examples:
  python -m golden train digits                   a few seconds
  python -m golden train mnist-wide --out w.npz   minutes; keeps the weights
  python -m golden train my.toml --epochs 3 --seed 7
  python -m golden train mnist --samples 5000 2>/dev/null | tail -1
  python -m golden bench                          beside the same network in floats
  python -m golden sweep                          which formats and sizes a network needs
  python -m golden paper all --quick              the paper's tables and figures

data: the digits come with scikit-learn; MNIST is read from mnist/ in the folder that LEL_DATA
names, else from the user's cache folder, into which it is fetched

exit status: 0 done, 2 bad arguments or missing data
"""
TRAIN_HELP = """\
Train a network in the integer model: bit for bit what the hardware learns. The test accuracy of
each layer after each epoch goes to the standard output, in percent; a progress bar goes to the
terminal."""
BENCH_HELP = """\
Measure how fast the integer model trains, and how fast the same network does in PyTorch's float32
with autograd. They take turns on the same samples."""
SWEEP_HELP = """\
Train a network many times, with one thing varied at a time: its formats, its size, or whatever
else a study names. Accuracy, on samples held out of the training set, goes to the standard output
as tables in Markdown, and to NAME.md, NAME.json, NAME.svg and NAME.png in the folder OUT. Runs that
were made are kept there; a study that was killed goes on where it was."""
SWEEP_EPILOG = """\
examples:
  python -m golden sweep                          formats and sizes on MNIST: twenty minutes
  python -m golden sweep --quick                  the same, an epoch and a run each: minutes
  python -m golden sweep my-study.toml --seeds 4
  python -m golden sweep formats >formats.md

configs/studies/formats.toml explains what a study may hold.
"""

#: Products of a layer and batch from which on it pays to share them out among threads.
SHARED_WORK = 2_000_000


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m golden",
        description="Train networks in the integer model, or measure its speed.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    train = commands.add_parser(
        "train",
        help="train a network, print its test accuracy",
        description=TRAIN_HELP,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    train.add_argument("config", help=CONFIG_HELP)
    train.add_argument(
        "--epochs", type=at_least(1), metavar="N", help="epochs, instead of the description's"
    )
    train.add_argument(
        "--samples",
        type=at_least(1),
        metavar="N",
        help="stop after N training samples in all (default: all epochs)",
    )
    train.add_argument(
        "--seed", type=at_least(0), metavar="N", help="seed, instead of the description's"
    )
    train.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="write the weights as .npz: W0, W1, ..., integers (N, M + 1)",
    )
    train.set_defaults(run=_train)

    compare = commands.add_parser("bench", help="measure speed", description=BENCH_HELP)
    compare.add_argument("config", nargs="?", default="mnist-wide", help="description (mnist-wide)")
    compare.add_argument(
        "--rounds", type=at_least(1), default=15, metavar="N", help="rounds (%(default)s)"
    )
    compare.add_argument(
        "--steps", type=at_least(1), default=20, metavar="N", help="steps a round (%(default)s)"
    )
    compare.set_defaults(run=_bench)

    study = commands.add_parser(
        "sweep",
        help="vary formats and sizes, compare accuracy",
        description=SWEEP_HELP,
        epilog=SWEEP_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    study.add_argument(
        "study",
        nargs="?",
        default="formats",
        help="name of a study in configs/studies/, or path of a .toml file (%(default)s)",
    )
    add_run_options(study, Path("build") / "sweep")
    study.set_defaults(run=_sweep)

    paper.add(commands)
    return parser


def _prepare(config: str, **overrides: int | None) -> tuple[spec.NetworkSpec, Data]:
    """Load a description, with those overrides that are given, and its data."""
    given = {key: value for key, value in overrides.items() if value is not None}
    network = spec.load(spec.find(config), **given)
    data = data_of(network)
    if network.batch * max(layer.weights for layer in network.layers) < SHARED_WORK:
        torch.set_num_threads(1)
    return network, data


def _train(arguments: argparse.Namespace) -> int:
    described, data = _prepare(arguments.config, epochs=arguments.epochs, seed=arguments.seed)
    batch, out = described.batch, arguments.out
    limit = described.epochs * (len(data.train_x) // batch) * batch
    samples = min(limit, arguments.samples or limit) // batch * batch
    if arguments.samples and not batch <= arguments.samples <= limit:
        raise UsageError(
            f"--samples {arguments.samples}: {described.epochs} epochs in batches of {batch} have "
            f"from {batch} to {limit} samples; give --epochs as well, or another number"
        )
    if out and not out.parent.is_dir():
        raise UsageError(f"--out {out}: there is no folder {out.parent}; make it first")

    network = IntegerNetwork(described)
    print("epoch  samples" + "".join(f"{f'layer {i}':>9}" for i in range(len(network.layers))))
    trained = 0
    with tqdm(total=samples, unit=" samples", disable=None, leave=False) as bar:
        for epoch, steps in training.epochs(network, data, samples):
            bar.set_description(f"epoch {epoch + 1} of {described.epochs}")
            for count in steps:
                bar.update(count)
                trained += count
            shares = training.accuracy(network, data.test_x, data.test_y)
            with bar.external_write_mode(sys.stdout):
                row = "".join(f"{100 * share:9.2f}" for share in shares)
                print(f"{epoch + 1:5}{trained:9}{row}", flush=True)
    if out:
        weights = {f"W{i}": layer.W.int().numpy() for i, layer in enumerate(network.layers)}
        with out.open("wb") as file:
            np.savez(file, allow_pickle=False, **weights)
    return 0


def _bench(arguments: argparse.Namespace) -> int:
    described, data = _prepare(arguments.config)
    seconds = bench.compare(described, data, rounds=arguments.rounds, steps=arguments.steps)
    sizes = "-".join(str(n) for n in (described.inputs, *(a.neurons for a in described.layers)))
    print(
        f"{described.name}: {sizes}, batch {described.batch}, {torch.get_num_threads()} threads; "
        f"medians of {arguments.rounds} rounds of {arguments.steps} steps, taking turns"
    )
    steps = len(data.train_x) // described.batch
    for name, median in zip(
        ("integer model", "float32, autograd"), np.median(seconds, axis=0), strict=True
    ):
        print(f"  {name:20}{1e3 * median:9.3f} ms/step{steps * median:9.1f} s/epoch")
    print(f"  {'ratio':20}{np.median(seconds[:, 0] / seconds[:, 1]):9.2f}")
    return 0


def _sweep(arguments: argparse.Namespace) -> int:
    quick = {"epochs": 1, "seeds": 1} if arguments.quick else {}
    given = {key: getattr(arguments, key) for key in ("epochs", "seeds")}
    asked = quick | {key: value for key, value in given.items() if value is not None}
    study = sweep.load(spec.find(arguments.study, sweep.STUDIES, "study"), **asked)
    folder = arguments.out
    outcomes = runs.perform(sweep.runs(study), folder / "runs", jobs=arguments.jobs)
    show(sweep.exhibit(study, outcomes), folder)
    return 0


def main(arguments: Sequence[str]) -> int:
    """Run the command line; return its exit status."""
    parsed = _parser().parse_args(arguments)
    return carry_out(lambda: parsed.run(parsed))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
