# SPDX-License-Identifier: BSD-2-Clause
"""The command `bench`: how fast the integer model trains."""

import argparse

from golden.cli import at_least

__all__ = ["add"]

DESCRIPTION = """\
Measure how fast the integer model trains, and how fast the same network does in PyTorch's float32
with autograd. They take turns on the same samples."""


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]"):
    """Register the command."""
    parser = commands.add_parser("bench", help="measure speed", description=DESCRIPTION)
    parser.add_argument("config", nargs="?", default="mnist-wide", help="description (mnist-wide)")
    parser.add_argument(
        "--rounds", type=at_least(1), default=15, metavar="N", help="rounds (%(default)s)"
    )
    parser.add_argument(
        "--steps", type=at_least(1), default=20, metavar="N", help="steps a round (%(default)s)"
    )
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    import numpy as np
    import torch

    from golden import bench
    from golden.commands.shared import prepare

    described, data = prepare(arguments.config)
    seconds = bench.compare(described, data, rounds=arguments.rounds, steps=arguments.steps)
    print(
        f"{described.name}: {described.sizes}, batch {described.batch}, "
        f"{torch.get_num_threads()} threads; "
        f"medians of {arguments.rounds} rounds of {arguments.steps} steps, taking turns"
    )
    steps = len(data.train_x) // described.batch
    for name, median in zip(
        ("integer model", "float32, autograd"), np.median(seconds, axis=0), strict=True
    ):
        print(f"  {name:20}{1e3 * median:9.3f} ms/step{steps * median:9.1f} s/epoch")
    print(f"  {'ratio':20}{np.median(seconds[:, 0] / seconds[:, 1]):9.2f}")
    return 0
