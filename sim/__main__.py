# SPDX-License-Identifier: BSD-2-Clause
"""The command line: `python -m sim`."""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
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
from golden.errors import quoted
from golden.layer_spec import MARGIN_LIMIT
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
  python -m sim digits-all --margin 0.5     samples leave sooner than the description says
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
  python -m sim cost --help                 what each choice of a description costs
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
COST_HELP = """\
Make a layer with each choice that a description has, and say what it costs. The first layer of the
description is synthesised by itself, and trained by itself in RTL beside the golden model; then the
whole network is trained in the golden model. A table in Markdown goes to the standard output."""
COST_EPILOG = """\
examples:
  python -m sim cost                        all choices: a quarter of an hour on two cores
  python -m sim cost --choice "loss ce"     this one, beside sym
  python -m sim cost --json | jq '.[] | [.name, .lut]'
  python -m sim cost my.toml --lanes 16 >cost.md

what is printed, with what it is more than in the row that it is compared with (of "tlc, ..." and
"wb 10, ..." that is tlc and wb 10, of others sym):
  LUT, FF, DSP, EBR  cells of an ECP5, as synthesised: LUTs, those of carries and small memories
                     included, flip-flops, multipliers, blocks. The same gates in another order
                     take up to 2 % more or fewer LUTs
  clocks             of a training step, in the mean of the first samples, counted by the hardware
  accuracy           of the last layer on the test set: the mean, the worst and the best seed
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
        help="compare all weights after every N training samples (default: %(default)s), but with "
        "counters of health only after each epoch",
    )
    run.add_argument(
        "--margin",
        metavar="M[,M...]",
        help="margin from which on test samples leave the layers that have a margin in the "
        "description: one for all of them, or one for each; none: they do not leave (default: the "
        "description's)",
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


def _cost_parser() -> argparse.ArgumentParser:
    cost = program("sim cost", description=COST_HELP, epilog=COST_EPILOG)
    add_config(cost, "digits")
    cost.add_argument(
        "--choice", action="append", default=[], metavar="NAME", help="only this one; repeatable"
    )
    cost.add_argument("--lanes", type=at_least(1), default=8, metavar="N", help="of the layer (8)")
    cost.add_argument(
        "--samples", type=at_least(20), default=500, metavar="N", help="of the clocks (500)"
    )
    cost.add_argument(
        "--seeds", type=at_least(1), default=3, metavar="N", help="trainings with each (3)"
    )
    cost.add_argument(
        "--jobs",
        type=at_least(1),
        default=os.cpu_count(),
        metavar="N",
        help="trainings at a time (as many as there are processors: %(default)s)",
    )
    cost.add_argument("--json", action="store_true", help="print JSON instead of a table")
    cost.set_defaults(run=_cost)
    return cost


def _run(arguments: argparse.Namespace) -> int:
    # What takes long to import is imported here, so that help and complaints come at once.
    from .outcome import percent
    from .run import simulate

    overrides = {} if arguments.epochs is None else {"epochs": arguments.epochs}
    spec = describe(arguments.config, **overrides)
    data = data_of(spec)
    limit = spec.passes * len(data.train_x)
    if arguments.samples and arguments.samples > limit:
        raise UsageError(
            f"--samples {arguments.samples}: {spec.passes} epochs have {limit} samples; give "
            "--epochs as well"
        )
    margins = None if arguments.margin is None else _margins(spec, arguments.margin)
    out = arguments.out or Path("build/sim") / spec.name
    outcome = simulate(
        spec,
        data,
        out=out,
        samples=arguments.samples,
        test=arguments.test,
        every=arguments.every,
        start=arguments.weights,
        margins=margins,
        waves=arguments.waves,
    )
    samples = sum(map(len, outcome.training))
    if outcome.mismatch:
        print(outcome.mismatch, file=sys.stderr)
    else:
        print(f"{samples} samples trained, {outcome.compared:,} values compared, all equal")
    if outcome.growth.shares:
        print(outcome.growth)
    if outcome.test_accuracy:
        shares = " / ".join(map(percent, outcome.test_accuracy))
        print(f"test, {sum(map(len, outcome.test))} samples in RTL: {shares}")
    if outcome.spent:
        print(outcome.exit_text)
    print(f"see {out}/report.html")
    return 1 if outcome.mismatch else 0


def _margins(spec: NetworkSpec, text: str) -> list[float | None]:
    """Read margins: one for all layers that samples may leave, or one for each."""
    leaving = [layer.index for layer in spec.layers if layer.margin is not None]
    if not leaving:
        raise UsageError(
            f"--margin {text}: samples leave no layer of {spec.name}: give a layer below the last "
            "a margin in the description"
        )
    parts = text.split(",")
    values = [_margin(part, text) for part in parts] * (len(leaving) if len(parts) == 1 else 1)
    if len(values) != len(leaving):
        raise UsageError(
            f"--margin {text}: give one margin, or {len(leaving)}, one for each layer that has one"
        )
    given = dict(zip(leaving, values, strict=True))
    return [given.get(layer.index) for layer in spec.layers]


def _margin(part: str, text: str) -> float | None:
    if part == "none":
        return None
    try:
        value = float(part)
    except ValueError:
        value = -1.0
    if not 0 <= value <= MARGIN_LIMIT:
        raise UsageError(
            f"--margin {text}: must be numbers from 0 to {MARGIN_LIMIT:,}, or none, not {part!r}"
        )
    return value


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
    limit = spec.passes * len(data.train_x)
    last = max(seen.stop for seen in wanted)
    if last > limit:
        raise UsageError(
            f"--after, --samples, --first: {last} samples are asked for, and {spec.passes} epochs "
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


def _cost(arguments: argparse.Namespace) -> int:
    from tqdm import tqdm

    from . import cost

    known = [choice.name for choice in cost.CHOICES]
    for name in arguments.choice:
        if name not in known:
            raise UsageError(
                f"--choice: there is no {quoted(name)}; give one of {'; '.join(known)}"
            )
    choices = cost.with_others(arguments.choice)
    with tqdm(total=len(choices), unit=" layers", disable=None, leave=False) as bar:

        def progress(name: str):
            bar.set_description(name)
            bar.update()

        made = cost.costs(
            arguments.config,
            choices,
            lanes=arguments.lanes,
            samples=arguments.samples,
            seeds=arguments.seeds,
            jobs=arguments.jobs,
            progress=progress,
        )
    if arguments.json:
        rows = [asdict(choice) | asdict(costs) for choice, costs in made.items()]
        print(json.dumps(rows, indent=1))
    else:
        print(cost.report(made))
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
    commands = {"bench": _bench_parser, "clocks": _clocks_parser, "cost": _cost_parser}
    if arguments and arguments[0] in commands:
        return carry_out(commands[arguments[0]](), arguments[1:])
    return carry_out(_run_parser(), arguments)


if __name__ == "__main__":
    enter(main)
