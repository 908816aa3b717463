# SPDX-License-Identifier: BSD-2-Clause
"""The shape of a convolutional layer, and its keys in a description."""

from dataclasses import dataclass

from golden.tables import Table

__all__ = ["CONV_KEYS", "ConvSpec", "conv_of"]

#: Most features of a layer: 64 maps of 128 x 128.
FEATURES_LIMIT = 1 << 20
#: Ranges of the keys that are numbers.
RANGES = {
    "maps": (1, 4096),
    "kernel": (1, 31),
    "pool": (1, 2),
    "window": (1, 3),
    "cells": (1, 128),
}
#: Windows of each pooling, the default first.
WINDOWS = {1: (1,), 2: (2, 3)}
#: What only convolutional layers have.
CONV_KEYS = (*RANGES, "signed")


@dataclass(frozen=True)
class ConvSpec:
    """What a convolutional layer makes of its maps (contract, "Convolution").

    Parameters
    ----------
    channels, size
        Maps that come in, and their width and height S.
    maps
        That go out, N.
    kernel
        Width and height of a kernel, odd; it moves by 1, and beyond the border all is 0.
    pool
        By how much the window moves of which the largest activation is taken, 1 or 2.
    window
        Its width and height, `pool` or 3.
    cells
        Width and height Q of a map as the classifier sees it, each cell the sum of its features;
        None if it sees each feature by itself.
    signed
        The inputs of the network are pixels less 128.
    """

    channels: int
    size: int
    maps: int
    kernel: int
    pool: int
    window: int
    cells: int | None
    signed: bool

    @property
    def inputs(self) -> int:
        """Numbers that come in."""
        return self.channels * self.size**2

    @property
    def fan_in(self) -> int:
        """Inputs of a feature, M."""
        return self.channels * self.kernel**2

    @property
    def side(self) -> int:
        """Width and height of the maps that go out, P."""
        return self.size // self.pool

    @property
    def features(self) -> int:
        """Numbers that go out, F, in the order map, row, column."""
        return self.maps * self.side**2

    @property
    def seen(self) -> int:
        """Numbers that the classifier sees."""
        return self.maps * (self.cells or self.side) ** 2

    @property
    def before(self) -> int:
        """Rows and columns of a window that lie before the place that it is moved to."""
        return self.window - self.pool

    @property
    def cell_size(self) -> int:
        """Most rows, and columns, of features that are one of cells; 1 where there are none."""
        return -(-self.side // (self.cells or self.side))

    def cell(self, place: int) -> int:
        """Give the row or column of cells in which a row or column of features lies."""
        return place * (self.cells or self.side) // self.side


def conv_of(table: Table, shape: tuple[int, ...] | None, below: ConvSpec | None) -> ConvSpec:
    """Read and check the keys of a convolutional layer.

    Parameters
    ----------
    table
        Of the layer.
    shape
        Of the network's inputs (channels, rows, columns), where they are an image.
    below
        The layer below, if there is one.

    Raises
    ------
    SpecError
        If anything is missing, of the wrong type, or impossible.
    """
    numbers = {
        key: table.integer(key, *limits, 1 if key == "pool" else None)
        for key, limits in RANGES.items()
        if key not in ("window", "cells") or key in table.table
    }
    windows = WINDOWS[numbers["pool"]]
    if numbers.setdefault("window", windows[0]) not in windows:
        known = " or ".join(map(str, windows))
        raise table.error(
            "window", f"must be {known} for pool = {numbers['pool']}, not {numbers['window']}"
        )
    if below is None:
        if shape is None:
            raise table.error(
                "kind",
                "the inputs are no image whose channels come first; give shape = [channels, rows, "
                "columns], or train on data that has one",
            )
        channels, *sides = shape
        if sides[0] != sides[1]:
            raise table.error(
                "kind", f"images must be square, not {sides[0]} x {sides[1]}; cut them, or pad them"
            )
        size = sides[0]
    else:
        channels, size = below.maps, below.side
    signed = below is None and channels > 1
    if "signed" in table.table:
        signed = table.flag("signed")
        if signed and below is not None:
            raise table.error(
                "signed", "is for inputs of the network, not of other layers; remove it"
            )
    conv = ConvSpec(channels=channels, size=size, signed=signed, **{"cells": None, **numbers})
    if conv.kernel % 2 == 0:
        raise table.error("kernel", f"must be odd, not {conv.kernel}")
    if conv.kernel >= 2 * size:
        raise table.error(
            "kernel",
            f"must be at most {2 * size - 1} over maps of {size} x {size}, where each tap meets an "
            f"input somewhere, not {conv.kernel}",
        )
    if size % conv.pool:
        raise table.error(
            "pool", f"maps of {size} x {size} cannot be halved; give 1, or others below"
        )
    if conv.cells is not None and conv.cells > conv.side:
        raise table.error(
            "cells", f"must be at most {conv.side}, the size of the maps, not {conv.cells}"
        )
    if conv.features > FEATURES_LIMIT:
        raise table.error(
            "maps", f"{conv.features} features are over the limit of {FEATURES_LIMIT}; lower maps"
        )
    return conv
