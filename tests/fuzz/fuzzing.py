# SPDX-License-Identifier: BSD-2-Clause
"""Tries networks one after the other, and leaves the smallest one that fails in a file."""

import hashlib
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.database import DirectoryBasedExampleDatabase

from .case import Case, play
from .drawing import cases

__all__ = ["FOLDER", "FuzzError", "fuzz", "try_case"]

#: Where cases that fail are left, and what hypothesis remembers of them.
FOLDER = Path("build/fuzz")


class FuzzError(Exception):
    """A case failed; the message says how, and how to try it again."""


def try_case(case: Case) -> Counter[str]:
    """Carry a case out; give what was counted."""
    with tempfile.TemporaryDirectory() as folder:
        return Counter(play(case, Path(folder)))


def fuzz(number: int, count: int, attempt: Callable[[Case], Counter[str]] = try_case) -> Counter:
    """Draw `count` cases and `attempt` each.

    The same number draws the same with the same version of hypothesis and the same modules loaded:
    hypothesis draws constants of theirs, too.

    Returns
    -------
    Counter
        The sum of what the attempts gave, and how many `networks` there were.

    Raises
    ------
    FuzzError
        If one fails. The smallest that hypothesis has found to fail is written to `FOLDER`.
    """
    total: Counter[str] = Counter()
    failed: list[Case] = []

    @seed(number)
    @settings(
        max_examples=count,
        deadline=None,
        print_blob=False,
        report_multiple_bugs=False,
        database=DirectoryBasedExampleDatabase(FOLDER / "examples"),
        suppress_health_check=list(HealthCheck),
        phases=(Phase.reuse, Phase.generate, Phase.shrink),
    )
    @given(cases())
    def try_one(case: Case):
        try:
            total.update(attempt(case))
        except Exception:
            failed.append(case)
            raise
        total["networks"] += 1

    try:
        try_one()
    except Exception as error:
        if not failed:
            raise
        # The last one is that which hypothesis shows.
        text = failed[-1].text()
        path = FOLDER / f"failed-{hashlib.sha256(text.encode()).hexdigest()[:12]}.toml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        raise FuzzError(f"{error}\nto try it again: make fuzz CASE={path}") from error
    return total
