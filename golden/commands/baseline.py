# SPDX-License-Identifier: BSD-2-Clause
"""The command `baseline`: the integer model beside what scikit-learn reaches on the same data."""

import argparse
import json
import warnings

from golden import spec
from golden.cli import CONFIG_HELP, at_least, data_of

__all__ = ["add"]

DESCRIPTION = """\
Compare the last layer of the integer model with scikit-learn's logistic regression, and with its
float MLP of the same hidden sizes, trained by backpropagation: test accuracy in percent, mean and
range over some seeds. All see the same inputs, in 8 bits, and as many epochs as they ask for by
default. The split of the data is the same for all seeds."""


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]"):
    """Register the command."""
    parser = commands.add_parser(
        "baseline",
        help="compare the integer model with scikit-learn's models",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("config", nargs="?", default="breast-cancer", help=CONFIG_HELP)
    parser.add_argument(
        "--seeds", type=at_least(1), default=5, metavar="N", help="runs of each (%(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    import torch
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.neural_network import MLPClassifier
    from tqdm import tqdm

    from golden import training
    from golden.model import IntegerNetwork

    torch.set_num_threads(1)
    path = spec.find(arguments.config)
    network = spec.load(path)
    data = data_of(network)
    hidden = tuple(layer.neurons for layer in network.layers)
    x, test_x = data.train_x / 255, data.test_x / 255
    shares: dict[str, list[float]] = {}
    for turn in tqdm(range(arguments.seeds), unit=" seeds", disable=None, leave=False):
        described = spec.load(path, seed=network.seed + turn)
        model = IntegerNetwork(described)
        for _, steps in training.epochs(model, data):
            for _ in steps:
                pass
        accuracy = training.accuracy(model, data.test_x, data.test_y)
        shares.setdefault("integer model", []).append(accuracy[-1])
        for name, other in (
            ("logistic regression", LogisticRegression(max_iter=1000)),
            ("float MLP", MLPClassifier(hidden, max_iter=500, random_state=described.seed)),
        ):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                other.fit(x, data.train_y)
            shares.setdefault(name, []).append(float(other.score(test_x, data.test_y)))
    if arguments.json:
        print(json.dumps({"network": network.name, "hidden": hidden, "accuracy": shares}))
        return 0
    print(f"{network.name}: {len(x)} samples to train on, {len(test_x)} to test on")
    print(f"{'':22}{'mean':>8}{'from':>8}{'to':>8}")
    for name, found in shares.items():
        figures = (sum(found) / len(found), min(found), max(found))
        print(f"  {name:20}" + "".join(f"{100 * share:8.2f}" for share in figures))
    return 0
