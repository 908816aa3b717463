# SPDX-License-Identifier: BSD-2-Clause
"""The description that a command line names, if it is one that hardware can be made of."""

from golden.spec import NetworkSpec, find, load

from .fit import fit

__all__ = ["describe", "read"]


def describe(config: str, **overrides: int | str | None) -> NetworkSpec:
    """Load the description at the path `config`, or of that name in configs/; choose its lanes.

    Overrides that are not None replace top-level keys. Everything that is made of a network, in
    hardware or about it, is made of what this returns: every layer has a number of lanes.

    Raises
    ------
    SpecError
        If there is none, or it is not valid.
    PlanError
        If there can be no hardware of it, or none that fits the board it is meant for.
    """
    return fit(read(config, **overrides)).spec


def read(config: str, **overrides: int | str | None) -> NetworkSpec:
    """Load a description as it is, with those overrides that are not None.

    Raises
    ------
    SpecError
        If there is none, or it is not valid.
    """
    given = {key: value for key, value in overrides.items() if value is not None}
    return load(find(config), **given)
