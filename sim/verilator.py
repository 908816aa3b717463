# SPDX-License-Identifier: BSD-2-Clause
"""Compiles an Amaranth design with Verilator and runs cocotb benches on it."""

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from multiprocessing.connection import Connection
from pathlib import Path
from xml.etree import ElementTree

import cocotb_tools.config
import cocotb_tools.runner
from amaranth.lib import wiring
from cocotb_tools.check_results import get_results

from hw.verilog import convert

from .bench import CHANNEL
from .compiler import (
    CFLAGS,
    QUICK_CFLAGS,
    QUICK_SETTINGS,
    SETTINGS,
    SimulationError,
    compiled,
    essence,
)

__all__ = ["CACHE", "Model", "SimulationError", "build", "build_and_run", "build_bare"]

#: Where compiled models are kept, by the digest of all that went into them.
CACHE = Path("build/verilated")

#: What has no initial value begins with any: nothing may depend on it.
RANDOM_START = ("+verilator+rand+reset+2", "+verilator+seed+1")
#: Unit and precision of simulated time.
TIMESCALE = "1ns/1ps"
#: What a simulation leaves in its folder.
LOG, WAVES = "simulation.log", "waves.vcd"
#: Seconds after which a folder that nobody has finished is nobody's any more.
STALE = 24 * 3600


class _Runner(cocotb_tools.runner.Verilator):
    """cocotb's runner, for models that have been compiled.

    The stock runner lets the environment variables WAVES and GUI override what it is told, and
    closes all files that the simulation should inherit.
    """

    def __init__(self, *, waves: bool, channel: Connection | None):
        super().__init__()
        self.log.disabled = True
        self._wanted_waves = waves
        self._channel = channel

    def _set_env_common(self) -> None:
        super()._set_env_common()
        self.waves = self._wanted_waves
        self.gui = False
        libraries = [str(cocotb_tools.config.libs_dir), self.env.get("LD_LIBRARY_PATH", "")]
        self.env["LD_LIBRARY_PATH"] = os.pathsep.join(filter(None, libraries))
        # Names of files get into the results, which are XML in UTF-8 whatever the locale.
        self.env["PYTHONUTF8"] = "1"

    def _execute(self, cmds: Sequence[Sequence[str]], cwd: os.PathLike | str) -> None:
        assert self.log_file is not None
        inherited = [self._channel.fileno()] if self._channel else []
        if self._channel:
            self.env[CHANNEL] = str(self._channel.fileno())
        with open(self.log_file, "wb") as log:
            (command,) = cmds
            process = subprocess.Popen(
                command,
                cwd=cwd,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=inherited,
            )
        if self._channel:
            # Its end is open in that process alone: if that dies, the other end hears of it.
            self._channel.close()
        if process.wait():
            raise RuntimeError(f"the simulation ended with {process.returncode}")


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
        self,
        test_module: str,
        *,
        folder: Path,
        env: Mapping[str, str] | None = None,
        channel: Connection | None = None,
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
        channel
            A connection for the process: it inherits the file whose descriptor is in the
            environment variable `sim.bench.CHANNEL`. It is closed here.

        Raises
        ------
        SimulationError
            If a test failed, or the simulation ended before its end.
        """
        folder.mkdir(parents=True, exist_ok=True)
        log = folder / LOG
        results = folder.resolve() / "results.xml"
        try:
            _Runner(waves=self.waves, channel=channel).test(
                test_module=test_module,
                hdl_toplevel=self.top,
                hdl_toplevel_lang="verilog",
                build_dir=self.folder,
                test_dir=folder,
                results_xml=str(results),
                test_args=[*RANDOM_START, *(["--trace-file", WAVES] if self.waves else [])],
                extra_env=dict(env or {}),
                log_file=log.resolve(),
            )
            failed = get_results(results)[1]
        except (SystemExit, RuntimeError, ElementTree.ParseError):
            # A simulator that dies leaves no results, or half of them.
            failed = 1
        finally:
            if channel:
                channel.close()
        if failed:
            raise SimulationError(f"the simulation of {test_module} failed\n{essence(log)}")


def build(
    top: wiring.Component,
    *,
    name: str = "top",
    verilog_sources: str = "",
    waves: bool = False,
    quick: bool = False,
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
    quick
        Whether to compile in half the time what then runs half as fast.

    Raises
    ------
    SimulationError
        If a tool is missing, or it does not compile.
    """
    text = convert(top, name=name) + verilog_sources
    tools = [f"{package} {version(package)}" for package in ("verilator", "cocotb")]
    # Only what we write ourselves can contain delays.
    flags = ["--timing" if verilog_sources else "--no-timing", "--timescale", TIMESCALE]
    flags += ["-CFLAGS", QUICK_CFLAGS, *QUICK_SETTINGS] if quick else ["-CFLAGS", CFLAGS]
    flags += ["--trace"] if waves else []
    settings = [*tools, *SETTINGS, *flags]
    folder = CACHE / _digest(*settings, name, text)
    if not (folder / name).exists():
        sources = {f"{name}.v": text, "public.vlt": public_ports(text, name)}
        # Verilator's own parts are the same for all designs, and most of a small build.
        runtime = CACHE / f"runtime-{_digest(*settings)}"
        flags += ["--top-module", name, "public.vlt", f"{name}.v"]
        _prepare()
        with compiled(
            sources,
            flags=flags,
            cocotb=True,
            program=name,
            objects=runtime,
            log=CACHE / f"{folder.name}-build.log",
        ) as work:
            _keep(work.glob("verilated*.o"), runtime)
            _keep([work / name, work / f"{name}.v", work / "build.log"], folder)
    return Model(folder.resolve(), name, waves)


def build_bare(top: wiring.Component, *, main: str, header: str) -> Path:
    """Compile a component with a C++ program of its own instead of cocotb.

    Parameters
    ----------
    top
        Amaranth component; the program sees it as class `Vtop` of `Vtop.h`.
    main
        Text of the program.
    header
        Text of `registers.h`, which the program includes.

    Returns
    -------
    Path
        The executable.
    """
    sources = {"top.v": convert(top, name="top"), "bare.cpp": main, "registers.h": header}
    flags = ["--no-timing", "-CFLAGS", f"{CFLAGS} -I.", "top.v", "bare.cpp"]
    digest = _digest(version("verilator"), *SETTINGS, *flags, *sources.values())
    folder = CACHE / digest
    if not (folder / "bare").exists():
        _prepare()
        with compiled(
            sources,
            flags=flags,
            cocotb=False,
            program="bare",
            log=CACHE / f"{digest}-build.log",
        ) as work:
            _keep([work / "bare"], folder)
    return folder.resolve() / "bare"


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:20]


def _prepare():
    """Make the cache, and remove what others have begun in it and left, long ago."""
    CACHE.mkdir(parents=True, exist_ok=True)
    for left in CACHE.glob("building-*"):
        if time.time() - left.stat().st_mtime > STALE:
            shutil.rmtree(left, ignore_errors=True)


def _keep(files: Iterable[Path], folder: Path):
    """Copy files to a folder that is there whole or not at all."""
    with tempfile.TemporaryDirectory(
        prefix="building-", dir=CACHE, ignore_cleanup_errors=True
    ) as name:
        whole = Path(name) / folder.name
        whole.mkdir()
        for file in files:
            shutil.copy(file, whole)
        # Someone else may have been faster; theirs is as good.
        with suppress(OSError):
            whole.rename(folder)


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
