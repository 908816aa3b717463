# SPDX-License-Identifier: BSD-2-Clause
"""The command line: `python -m sim`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from golden.cli import (
    UsageError,
    add_config,
    at_least,
    carry_out,
    data_of,
    enter,
    program,
)
from golden.spec import NetworkSpec
from hw.description import describe
from hw.ports import CLOCK_COUNTERS

if TYPE_CHECKING:
    import numpy as np

RUN_HELP = """\
Train a network in RTL. The hardware is generated, compiled with Verilator, and trained through
cocotb beside the golden model; every activation, score, error, local error and prediction of every
sample and layer is compared bit for bit, and so are all weights, before, now and then, and after.
Then it is tested, in RTL as well. The first difference ends the run, and is reported."""

RUN_EPILOG = """\
examples:
  python -m sim digits                      all of the description's epochs, a minute or two
  python -m sim digits --samples 500        a quick look
  python -m sim mnist --samples 2000 --test 200
  python -m sim digits --weights w.npz      goes on from what was learned elsewhere
  python -m sim my.toml --samples 3 --waves a few samples, every signal in waves.vcd

what is left in build/sim/NAME:
  weights.npz   W0, W1, ...: integers (N, M + 1), read out of the hardware after training, for
                --weights here and in python -m golden test|train|export
  result.json   samples, mismatches, test accuracy per layer, clocks, counters, utilisation
  report.html   the same to look at, with curves and pictures; a single file
  waves.vcd     with --waves
A run that does not come to its end leaves an earlier run's files as they are, and aborted.log.

other commands:
  python -m sim bench --help                how fast the simulation runs
  python -m sim utilisation --help          how well the hardware uses its clocks
"""
BENCH_HELP = """\
Measure how many clocks per second are simulated while a network trains on random pixels: by a bare
C++ loop around the compiled network, under cocotb with every record taken out, and under cocotb
beside the golden model, which is what a run does."""
USE_HELP = """\
Read from the hardware's own counters how it uses its clocks while it trains at batch 1, in the
steady state. The pixels are random: no clock depends on them."""


def _run_parser() -> argparse.ArgumentParser:
    run = program("sim", description=RUN_HELP, epilog=RUN_EPILOG)
    add_config(run)
    run.add_argument(
        "--samples",
        type=at_least(1),
        metavar="N",
        help="stop after N training samples in all (default: all epochs)",
    )
    run.add_argument(
        "--epochs", type=at_least(1), metavar="N", help="epochs, instead of the description's"
    )
    run.add_argument(
        "--test",
        type=at_least(0),
        metavar="N",
        help="test on the first N test samples (default: on all of them)",
    )
    run.add_argument(
        "--every",
        type=at_least(1),
        default=1000,
        metavar="N",
        help="compare all weights after every N training samples (default: %(default)s)",
    )
    run.add_argument(
        "--weights", type=Path, metavar="FILE", help="start from the weights in this file"
    )
    run.add_argument(
        "--waves", action="store_true", help="write every signal to waves.vcd; slow and large"
    )
    run.add_argument(
        "--out", type=Path, metavar="DIR", help="where to leave the results (build/sim/NAME)"
    )
    run.set_defaults(run=_run)
    return run


def _bench_parser() -> argparse.ArgumentParser:
    bench = program("sim bench", description=BENCH_HELP, epilog="")
    add_config(bench, "digits")
    bench.add_argument("--samples", type=at_least(1), default=3000, metavar="N", help="(3000)")
    bench.set_defaults(run=_bench)
    return bench


def _utilisation_parser() -> argparse.ArgumentParser:
    use = program("sim utilisation", description=USE_HELP, epilog="")
    add_config(use, "mnist")
    use.add_argument("--samples", type=at_least(1), default=40, metavar="N", help="(40)")
    use.set_defaults(run=_utilisation)
    return use


def _run(arguments: argparse.Namespace) -> int:
    # What takes long to import is imported here, so that help and complaints come at once.
    from .run import simulate

    overrides = {} if arguments.epochs is None else {"epochs": arguments.epochs}
    spec = describe(arguments.config, **overrides)
    data = data_of(spec)
    limit = spec.epochs * len(data.train_x)
    if arguments.samples and arguments.samples > limit:
        raise UsageError(
            f"--samples {arguments.samples}: {spec.epochs} epochs have {limit} samples; give "
            "--epochs as well"
        )
    out = arguments.out or Path("build/sim") / spec.name
    outcome = simulate(
        spec,
        data,
        out=out,
        samples=arguments.samples,
        test=arguments.test,
        every=arguments.every,
        start=arguments.weights,
        waves=arguments.waves,
    )
    samples = sum(map(len, outcome.training))
    if outcome.mismatch:
        print(outcome.mismatch, file=sys.stderr)
    else:
        print(f"{samples} samples trained, {outcome.compared:,} values compared, all equal")
    if outcome.test_accuracy:
        shares = " / ".join(f"{share:.2%}" for share in outcome.test_accuracy)
        print(f"test, {sum(map(len, outcome.test))} samples in RTL: {shares}")
    print(f"see {out}/report.html")
    return 1 if outcome.mismatch else 0


def _noise(spec: NetworkSpec, samples: int) -> "tuple[np.ndarray, np.ndarray]":
    """Make random pixels and labels."""
    import numpy as np

    random = np.random.default_rng(spec.seed)
    x = random.integers(0, 256, (samples, spec.inputs), np.uint8)
    return x, random.integers(0, spec.classes, samples)


def _bench(arguments: argparse.Namespace) -> int:
    from . import measure

    spec = describe(arguments.config)
    speed = measure.speed(spec, *_noise(spec, arguments.samples))
    rows = [
        ("bare C++ loop", speed.bare),
        ("cocotb, records decoded", speed.recorded),
        ("cocotb beside the golden model", speed.checked),
    ]
    print(f"{spec.name}, training, {arguments.samples} samples of random pixels")
    for name, rate in rows:
        print(f"  {name:32}{rate:12,.0f} clocks/s{rate / speed.bare:8.2f} of the bare loop")
    return 0


def _utilisation(arguments: argparse.Namespace) -> int:
    from . import measure

    spec = describe(arguments.config)
    # The chain is full when every layer has begun.
    skip = 2 * len(spec.layers)
    uses = measure.use(spec, *_noise(spec, skip + 1 + arguments.samples), skip=skip)
    print(
        f"{spec.name}, training, batch 1, {arguments.samples} steps in the steady state, random "
        "pixels (no clock depends on them); counted by the hardware"
    )
    print("layer  multipliers  clocks/step  utilisation  reads/weight  writes/weight")
    for layer, use in zip(spec.layers, uses, strict=True):
        print(
            f"{layer.index:5}{2 * layer.lanes:13}{use.clocks:13,.1f}{use.utilisation:13.2%}"
            f"{use.reads:14.4f}{use.writes:15.4f}"
        )
    print("share of clocks" + "".join(f"{name:>14}" for name in CLOCK_COUNTERS))
    for layer, use in zip(spec.layers, uses, strict=True):
        shares = "".join(f"{share:14.2%}" for share in use.shares.values())
        print(f"layer {layer.index:<9}{shares}")
    return 0


def main(arguments: Sequence[str]) -> int:
    """Run the command line; return its exit status."""
    commands = {"bench": _bench_parser, "utilisation": _utilisation_parser}
    if arguments and arguments[0] in commands:
        return carry_out(commands[arguments[0]](), arguments[1:])
    return carry_out(_run_parser(), arguments)


if __name__ == "__main__":
    enter(main)
