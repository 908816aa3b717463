# SPDX-License-Identifier: BSD-2-Clause
"""The command `train`: the integer model, bit for bit what the hardware learns."""

import argparse
import sys
import tempfile
import textwrap
from collections.abc import Sequence
from pathlib import Path

from golden import weights
from golden.cli import CONFIG_HELP, UsageError, at_least
from golden.errors import RunError
from golden.files import check_place
from golden.health import SIGNS, shares
from golden.spec import NetworkSpec

__all__ = ["add"]

DESCRIPTION = """\
Train a network in the integer model: bit for bit what the hardware learns. The test accuracy of
each layer after each epoch goes to the standard output, in percent; a progress bar goes to the
terminal."""
EPILOG = """\
examples:
  python -m golden train digits                   a few seconds
  python -m golden train mnist-wide --out w.npz   minutes; keeps the weights
  python -m golden train my.toml --epochs 3 --seed 7
  python -m golden train digits --weights w.npz --out better.npz
  python -m golden train mnist --samples 5000 2>/dev/null | tail -1
  python -m golden train digits --health          what of its numbers is worn out, lost or idle

A weight file holds W0, W1, ..., which NumPy reads, and which network they are of: --weights takes
only those of the same network. What only concerns training (rates, batch, epochs) may differ. The
epochs, and with them the learning rate, start from the first one again.

With --health a second table follows, of shares in percent for each epoch and layer:
"""
#: Columns of the table of health.
COLUMNS = {
    "at_limit": "at limit",
    "updates_lost": "lost",
    "saturated": "saturated",
    "no_error": "no error",
    "dead": "dead",
}


def _signs() -> str:
    """Say what the columns of health mean, and what to change."""
    width = max(map(len, COLUMNS.values())) + 4
    lines = []
    for name, column in COLUMNS.items():
        sign = SIGNS[name]
        text = textwrap.wrap(f"{sign.title.capitalize()}. {sign.meaning} {sign.mend}", 98 - width)
        lines += [f"  {column if k == 0 else '':{width - 2}}{part}" for k, part in enumerate(text)]
    return "\n".join(lines) + "\n"


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]"):
    """Register the command."""
    parser = commands.add_parser(
        "train",
        help="train a network, print its test accuracy",
        description=DESCRIPTION,
        epilog=EPILOG + _signs(),
    )
    parser.add_argument("config", help=CONFIG_HELP)
    parser.add_argument(
        "--epochs", type=at_least(1), metavar="N", help="epochs, instead of the description's"
    )
    parser.add_argument(
        "--samples",
        type=at_least(1),
        metavar="N",
        help="stop after N training samples in all (default: all epochs)",
    )
    parser.add_argument(
        "--seed", type=at_least(0), metavar="N", help="seed, instead of the description's"
    )
    parser.add_argument(
        "--weights", type=Path, metavar="FILE", help="start from the weights in this file"
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="write the weights as .npz: W0, W1, ..., integers (N, M + 1)",
    )
    parser.add_argument(
        "--health",
        action="store_true",
        help="count weights at a limit, updates that are lost, and idle neurons",
    )
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from tqdm import tqdm

    from golden import training
    from golden.commands.shared import prepare
    from golden.model import IntegerNetwork
    from golden.schedule import Growth

    described, data = prepare(arguments.config, epochs=arguments.epochs, seed=arguments.seed)
    batch, out = described.batch, arguments.out
    limit = described.passes * (len(data.train_x) // batch) * batch
    samples = min(limit, arguments.samples or limit) // batch * batch
    if arguments.samples and not batch <= arguments.samples <= limit:
        raise UsageError(
            f"--samples {arguments.samples}: {described.passes} epochs in batches of {batch} have "
            f"from {batch} to {limit} samples; give --epochs as well, or another number"
        )
    network = IntegerNetwork(described)
    if arguments.weights:
        training.start_from(network, weights.load_for(arguments.weights, described, data))
    watch = network.watch() if arguments.health else None
    if out:
        check_place(out, weights.size_of(described))

    print("epoch  samples" + "".join(f"{f'layer {i}':>9}" for i in range(len(network.layers))))
    trained, accuracies, health, growth = 0, [], [], Growth(described)
    with tqdm(total=samples, unit=" samples", disable=None, leave=False) as bar:
        for epoch, steps in training.epochs(network, data, samples, growth):
            bar.set_description(f"epoch {epoch + 1} of {described.passes}")
            for count in steps:
                bar.update(count)
                trained += count
            right = training.accuracy(network, data.test_x, data.test_y)
            if watch:
                health.append(network.take_health(watch))
            if trained == (epoch + 1) * (limit // described.passes):
                accuracies.append([round(100 * share, 2) for share in right])
            with bar.external_write_mode(sys.stdout):
                row = "".join(f"{100 * share:9.2f}" for share in right)
                print(f"{epoch + 1:5}{trained:9}{row}", flush=True)
    if growth.shares:
        print(f"\n{growth}")
    if watch:
        print(_table(described, health))
    if out:
        progress = {"accuracies": accuracies, "samples": trained, **growth.progress}
        kept = {"progress": progress, "labels": data.labels, "scaling": data.scaling}
        _save(out, described, training.weights_of(network, **kept))
    return 0


def _table(described: NetworkSpec, health: Sequence[Sequence[dict[str, int]]]) -> str:
    """Set out the counts of all epochs and layers, as shares in percent."""
    lines = ["", "epoch  layer" + "".join(f"{column:>11}" for column in COLUMNS.values())]
    for epoch, layers in enumerate(health, 1):
        for layer, counts in zip(described.layers, layers, strict=True):
            found = shares(layer, counts)
            row = "".join(f"{100 * found[name]:11.2f}" for name in COLUMNS)
            lines.append(f"{epoch:5}{layer.index:7}{row}")
    return "\n".join(lines)


def _save(out: Path, described: NetworkSpec, learned: weights.Weights):
    """Write weights where they shall go; if that fails, where they are not lost."""
    try:
        weights.save(out, described, learned)
    except weights.WeightsError as error:
        try:
            spare = Path(tempfile.mkdtemp(prefix="lel-")) / "weights.npz"
            weights.save(spare, described, learned)
        except (OSError, weights.WeightsError):
            raise error from None
        raise RunError(f"{error}; the weights that were trained are in {spare}") from None
