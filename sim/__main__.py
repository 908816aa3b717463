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

    from . import measure

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
  result.json   samples, mismatches, test accuracy per layer, clocks, counters, use of multipliers
  report.html   the same to look at, with curves and pictures; a single file
  waves.vcd     with --waves
A run that does not come to its end leaves an earlier run's files as they are, and aborted.log.

other commands:
  python -m sim bench --help                how fast the simulation runs
  python -m sim clocks --help               what the hardware spends its clocks on
"""
BENCH_HELP = """\
Measure how many clocks per second are simulated while a network trains on random pixels: by a bare
C++ loop around the compiled network, under cocotb with every record taken out, and under cocotb
beside the golden model, which is what a run does."""
CLOCKS_HELP = """\
Read from the hardware's own counters what each layer spends its clocks on while it trains on its
data, one sample a step. How many clocks a step takes depends on how many zeros there are in inputs,
activations and errors, and so on what has been learned: the golden model trains up to where a
measurement begins, and the hardware goes on with its weights."""
CLOCKS_EPILOG = """\
what is printed, for a step of each layer, and for all layers together:
  clocks            each is spent on exactly one of what follows
    forward         an input that is not 0 meets a weight of every lane
    update          a weight of every lane is updated
    gap             the pipeline runs empty
    stall_...       waiting for a sample, for the errors, for the next layer
    other           commands
  columns_skipped   inputs that are 0
  updates_skipped   samples whose errors are all 0, so that they update nothing
  groups_skipped    groups of lanes of the other samples whose local errors are all 0
  reads, writes     of each weight
  use               products of a step in which nothing is zero, over lanes times clocks
"""


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


def _clocks_parser() -> argparse.ArgumentParser:
    clocks = program("sim clocks", description=CLOCKS_HELP, epilog=CLOCKS_EPILOG)
    add_config(clocks, "mnist")
    clocks.add_argument(
        "--after",
        type=at_least(0),
        nargs="+",
        default=[0, 2000, 20000],
        metavar="N",
        help="begin when so many samples have been trained on (0 2000 20000)",
    )
    clocks.add_argument(
        "--samples", type=at_least(20), default=500, metavar="N", help="samples measured (500)"
    )
    clocks.add_argument(
        "--first",
        type=at_least(0),
        default=2000,
        metavar="N",
        help="measure all of the first N samples as well (2000); 0: do not",
    )
    clocks.set_defaults(run=_clocks)
    return clocks


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


def _clocks(arguments: argparse.Namespace) -> int:
    from tqdm import tqdm

    from . import measure

    spec = describe(arguments.config)
    data = data_of(spec)
    wanted = {range(after, after + arguments.samples) for after in arguments.after}
    wanted |= {range(arguments.first)} if arguments.first else set()
    limit = spec.epochs * len(data.train_x)
    last = max(seen.stop for seen in wanted)
    if last > limit:
        raise UsageError(
            f"--after, --samples, --first: {last} samples are asked for, and {spec.epochs} epochs "
            f"have {limit}; lower them"
        )
    lanes = " + ".join(str(layer.lanes) for layer in spec.layers)
    print(f"{spec.name}, {lanes} lanes, training, batch 1; per step, counted by the hardware")
    order = sorted(wanted, key=lambda seen: (seen.start, seen.stop))
    total = order[-1].start + sum(map(len, order))
    skip = 2 * len(spec.layers)
    with tqdm(total=total, unit=" samples", disable=None, leave=False) as bar:
        for use in measure.uses(spec, data, order, skip=skip, progress=bar.update):
            bar.write(_use_table(spec, use))
    return 0


def _use_table(spec: NetworkSpec, seen: "measure.Use") -> str:
    """Write a measurement as a table: a column for each layer, and one for the network."""
    from .outcome import use

    layers = [*zip(spec.layers, seen.layers, strict=True)]
    rows = {"clocks": [f"{counted['cycles']:.1f}" for counted in seen.layers]}
    rows["clocks"].append(f"{seen.clocks:.1f}")
    for name in CLOCK_COUNTERS:
        rows[f"  {name}"] = [f"{counted[name]:.1f}" for counted in seen.layers]
    for name in ("columns_skipped", "updates_skipped", "groups_skipped"):
        rows[name] = [f"{counted[name]:.3f}" for counted in seen.layers]
    for name in ("reads", "writes"):
        shares = [counted[f"weight_{name}"] / layer.weights for layer, counted in layers]
        rows[name] = [f"{share:.3f}" for share in shares]
    rows["use"] = [f"{use([layer], counted['cycles']):.2f}" for layer, counted in layers]
    rows["use"].append(f"{use(spec.layers, seen.clocks):.2f}")
    title = f"samples {seen.seen.start + 1:,} to {seen.seen.stop:,}"
    head = [*(f"layer {layer.index}" for layer in spec.layers), "network"]
    return "\n".join(
        f"{name:26}" + "".join(f"{cell:>12}" for cell in cells)
        for name, cells in {title: head, **rows}.items()
    )


def main(arguments: Sequence[str]) -> int:
    """Run the command line; return its exit status."""
    commands = {"bench": _bench_parser, "clocks": _clocks_parser}
    if arguments and arguments[0] in commands:
        return carry_out(commands[arguments[0]](), arguments[1:])
    return carry_out(_run_parser(), arguments)


if __name__ == "__main__":
    enter(main)
