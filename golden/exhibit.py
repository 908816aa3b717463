# SPDX-License-Identifier: BSD-2-Clause
"""Tables and figures as files: JSON for programs, Markdown and pictures for people."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from golden.files import replacing, write_text

__all__ = ["COLOURS", "Exhibit", "drawing", "plain", "table"]

#: Told apart by colour-blind readers as well (Okabe and Ito).
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#8d99a6",
    "axes.labelcolor": "#3d4852",
    "xtick.color": "#3d4852",
    "ytick.color": "#3d4852",
    # Names are texts: a dollar sign in them begins no formula.
    "text.parse_math": False,
    "svg.fonttype": "none",
    # Same input, same file.
    "svg.hashsalt": "lel",
}


@contextmanager
def drawing() -> Iterator[None]:
    """Let all figures that are drawn or saved within have the same style."""
    with mpl.rc_context(STYLE):
        yield


def plain(text: str) -> str:
    r"""Write somebody's words so that Markdown shows them as they are.

    >>> plain("a_b <i> *c*")
    'a\\_b \\<i\\> \\*c\\*'
    """
    return re.sub(r"([\\`*_{}\[\]<>#!~&$])", r"\\\1", text)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Write a table in Markdown; all columns but the first are right-aligned.

    What would end a cell or a line is escaped.

    >>> print(table(["what", "n"], [["a", "1"], ["b", "20"]]))
    | what | n |
    |---|--:|
    | a | 1 |
    | b | 20 |
    """
    marks = ["---", *["--:"] * (len(head) - 1)]
    lines = [_row(head), f"|{'|'.join(marks)}|", *map(_row, rows)]
    return "\n".join(lines)


def _row(cells: Sequence[str]) -> str:
    """Write a row of a table.

    >>> _row(["a|b", "c\\n1"])
    '| a\\\\|b | c 1 |'
    """
    escaped = (" ".join(cell.split("\n")).replace("|", "\\|") for cell in cells)
    return f"| {' | '.join(escaped)} |"


@dataclass(frozen=True)
class Exhibit:
    """One piece of evidence.

    Parameters
    ----------
    name
        Of its files.
    data
        All numbers, for JSON.
    text
        Markdown, without a picture.
    figures
        Pictures by name, drawn within `drawing`.
    """

    name: str
    data: Mapping[str, Any]
    text: str
    figures: Mapping[str, Figure] = field(default_factory=dict)

    def write(self, folder: Path) -> list[Path]:
        """Write NAME.json, NAME.md and, for each figure, its .svg and .png; give their paths."""
        folder.mkdir(parents=True, exist_ok=True)
        written = [folder / f"{self.name}.json", folder / f"{self.name}.md"]
        write_text(written[0], json.dumps(self.data, indent=1) + "\n")
        pictures = [f"![{name}]({name}.svg)" for name in self.figures]
        write_text(written[1], "\n\n".join([self.text, *pictures]) + "\n")
        with drawing():
            for name, figure in self.figures.items():
                written += [folder / f"{name}.svg", folder / f"{name}.png"]
                with replacing(written[-2]) as file:
                    figure.savefig(file, format="svg", bbox_inches="tight", metadata={"Date": None})
                with replacing(written[-1]) as file:
                    figure.savefig(file, format="png", bbox_inches="tight", dpi=150)
        return written
