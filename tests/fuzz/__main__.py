# SPDX-License-Identifier: BSD-2-Clause
"""The command line: `python -m tests.fuzz`."""

import argparse
import os
import sys
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from tqdm import tqdm

from sim.check import MismatchError
from sim.verilator import SimulationError

from .case import read
from .fuzzing import FuzzError, fuzz, try_case

#: Networks that a process draws in a row.
BATCH = 10


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz",
        description="Draw networks at random, and compare every bit with the golden model.",
    )
    parser.add_argument("--networks", type=int, default=200, metavar="N", help="how many (200)")
    parser.add_argument("--seed", type=int, default=0, help="of what is drawn (0)")
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count(), metavar="N", help="at the same time (all cores)"
    )
    parser.add_argument("--case", type=Path, help="try only what a failure has left in this file")
    return parser.parse_args()


def main() -> int:
    """Run the command; return its exit status."""
    arguments = _arguments()
    total: Counter[str] = Counter()
    try:
        if arguments.case:
            total = try_case(read(arguments.case)) + Counter(networks=1)
        else:
            starts = range(0, arguments.networks, BATCH)
            sizes = [min(BATCH, arguments.networks - start) for start in starts]
            seeds = [arguments.seed * 1_000_000 + start for start in starts]
            with ProcessPoolExecutor(arguments.jobs) as pool:
                with tqdm(total=arguments.networks, unit=" networks", disable=None) as bar:
                    for size, counted in zip(sizes, pool.map(fuzz, seeds, sizes), strict=True):
                        total += counted
                        bar.update(size)
    except (FuzzError, MismatchError, SimulationError) as error:
        print(error, file=sys.stderr)
        return 1
    print(", ".join(f"{count:,} {name}" for name, count in total.items()), "- all equal")
    return 0


if __name__ == "__main__":
    sys.exit(main())
