# SPDX-License-Identifier: BSD-2-Clause
"""The boards that a network can be meant for, and what is on them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from typing import Self

from golden.errors import quoted, shown
from golden.spec import NetworkSpec

from .plan import PlanError

__all__ = ["BOARDS", "Resources", "device"]


@dataclass(frozen=True)
class Resources:
    """Cells of a device: LUTs (carries included), flip-flops, multipliers, memory blocks."""

    lut: int = 0
    ff: int = 0
    dsp: int = 0
    ebr: int = 0

    def __iter__(self) -> Iterator[int]:
        """Go through the numbers, in the order of the fields."""
        return iter((self.lut, self.ff, self.dsp, self.ebr))

    def __add__(self, other: Self) -> "Resources":
        return Resources.sum([self, other])

    @classmethod
    def sum(cls, parts: Iterable["Resources"]) -> "Resources":
        """Add any number of resources."""
        return cls(*map(sum, zip(cls(), *parts, strict=True)))

    def over(self, limit: Self) -> dict[str, tuple[int, int]]:
        """Find of which resources there are more here than in `limit`: what is here and there."""
        return {
            field.name.upper(): pair
            for field, pair in zip(fields(self), zip(self, limit, strict=True), strict=True)
            if pair[0] > pair[1]
        }


#: What the variants of each board have, the smallest first.
BOARDS = {
    "ulx3s": {
        "12F": Resources(lut=24288, ff=24288, dsp=28, ebr=56),
        "25F": Resources(lut=24288, ff=24288, dsp=28, ebr=56),
        "45F": Resources(lut=43848, ff=43848, dsp=72, ebr=108),
        "85F": Resources(lut=83640, ff=83640, dsp=156, ebr=208),
    }
}


def device(spec: NetworkSpec) -> Resources:
    """Look up what is on the board that a description is meant for.

    Raises
    ------
    PlanError
        If there is no such board, or not in that size; the message lists what there is.
    """
    path = shown(spec.path)
    if spec.board not in BOARDS:
        raise PlanError(
            f"{path}: board: must be one of {', '.join(BOARDS)}, not {quoted(spec.board)}"
        )
    sizes = BOARDS[spec.board]
    if spec.size not in sizes:
        raise PlanError(
            f"{path}: size: must be one of {', '.join(sizes)} for {spec.board}, "
            f"not {quoted(spec.size)}"
        )
    return sizes[spec.size]
