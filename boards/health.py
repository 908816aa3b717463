# SPDX-License-Identifier: BSD-2-Clause
"""The health of a training on a board, from the counters in its gates."""

from collections.abc import Iterator, Sequence

from golden.health import SIGNS, shares
from golden.spec import NetworkSpec
from hw.ports import HEALTH, HEALTH_TOTALS

from .host import Board

__all__ = ["Health", "lines"]


class Health:
    """Counts of the layers that have counters of health, between one READ and the next.

    Parameters
    ----------
    board
        Whose weights are read, so that counting begins.
    """

    def __init__(self, board: Board):
        self._board = board
        #: Whether there is anything that counts.
        self.some = any(layer.health for layer in board.spec.layers)
        if self.some:
            board.read_weights()
        self._before = self._read()

    def _read(self) -> list[dict[str, int]]:
        return [
            self._board.counters(layer.index) if layer.health else {}
            for layer in self._board.spec.layers
        ]

    def take(self) -> list[dict[str, int]]:
        """Give the counts since this was called before, the weights having just been read.

        Those of a layer without counters are empty.
        """
        before, self._before = self._before, self._read()
        return [
            {
                name: now[name] - (then[name] if name in HEALTH_TOTALS else 0)
                for name in HEALTH
                if now
            }
            for now, then in zip(self._before, before, strict=True)
        ]


def lines(spec: NetworkSpec, counts: Sequence[dict[str, int]]) -> Iterator[str]:
    """Say the counts of each layer that has some, as shares."""
    for layer, counted in zip(spec.layers, counts, strict=True):
        if counted:
            found = shares(layer, counted)
            said = (f"{sign.title} {found[name]:.2%}" for name, sign in SIGNS.items())
            yield f"layer {layer.index}: {', '.join(said)}"
