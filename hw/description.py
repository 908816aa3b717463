# SPDX-License-Identifier: BSD-2-Clause
"""The description that a command line names, if it is one that hardware can be made of."""

from golden.spec import NetworkSpec, find, load

from .network_plan import NetworkPlan

__all__ = ["describe"]


def describe(config: str, **overrides: int) -> NetworkSpec:
    """Load the description at the path `config`, or of that name in configs/.

    Raises
    ------
    SpecError
        If there is none, or it is not valid.
    PlanError
        If there can be no hardware of it.
    """
    spec = load(find(config), **overrides)
    NetworkPlan(spec)
    return spec
