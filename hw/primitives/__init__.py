# SPDX-License-Identifier: BSD-2-Clause
"""The cells that differ between devices, each in forms of one interface and one latency.

Nothing outside this folder names a vendor's cell: a component receives a `Primitives` and calls
its members, and a board chooses one of the instances below.
"""

from dataclasses import dataclass

from . import ecp5, interface, portable

__all__ = ["ECP5", "PORTABLE", "Primitives"]


@dataclass(frozen=True)
class Primitives:
    """The choice of a form for every primitive.

    Parameters
    ----------
    name
        What the command line calls it.
    multiplier
        A form of `hw.primitives.interface.Multiplier`.
    memory
        A form of `hw.primitives.interface.Memory`.
    """

    name: str
    multiplier: type[interface.Multiplier]
    memory: type[interface.Memory]


#: Plain Amaranth: any device, simulation.
PORTABLE = Primitives("portable", portable.Multiplier, portable.Memory)
#: Lattice ECP5: MULT18X18D and DP16KD.
ECP5 = Primitives("ecp5", ecp5.Multiplier, ecp5.Memory)
