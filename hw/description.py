# SPDX-License-Identifier: BSD-2-Clause
"""The description that a command line names, if it is one that hardware can be made of."""

from golden.errors import InputError
from golden.spec import NetworkSpec, find, load

__all__ = ["DescriptionError", "describe"]


class DescriptionError(InputError):
    """The description is valid, but not for hardware; the message says what to change."""


def describe(config: str, **overrides: int) -> NetworkSpec:
    """Load the description at the path `config`, or of that name in configs/.

    Raises
    ------
    SpecError
        If there is none, or it is not valid.
    DescriptionError
        If it asks for what only the golden model does.
    """
    path = find(config)
    spec = load(path, **overrides)
    if spec.batch != 1:
        raise DescriptionError(
            f"{path}: batch: the hardware trains on one sample at a time, not on {spec.batch}; "
            "set batch = 1, or train with python -m golden"
        )
    for layer in spec.layers:
        for key, asked, answer in (
            ("rule", layer.rule == "tlc", "trains no classifiers; take another rule"),
            ("dropout", layer.dropout, "drops no neurons; remove it"),
            ("sr", layer.sr, "does not round stochastically; remove it"),
            ("yb", layer.yb != 8, f"has activations of 8 bits, not {layer.yb}; remove it"),
        ):
            if asked:
                raise DescriptionError(
                    f"{path}: layer {layer.index}: {key}: the hardware {answer}, or train with "
                    "python -m golden"
                )
    return spec
