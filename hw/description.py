# SPDX-License-Identifier: BSD-2-Clause
"""The description that a command line names, if it is one that hardware can be made of."""

from pathlib import Path

from golden.spec import Network, load

__all__ = ["CONFIGS", "DescriptionError", "describe"]

#: Where descriptions live that are named without a path.
CONFIGS = Path(__file__).parent.parent / "configs"


class DescriptionError(ValueError):
    """There is no such description, or none for hardware; the message says what to change."""


def describe(config: str, **overrides: int) -> Network:
    """Load the description at the path `config`, or of that name in configs/.

    Raises
    ------
    DescriptionError
        If there is none, or its batch is not 1.
    SpecError
        If it is not valid.
    """
    path = Path(config)
    if path.suffix != ".toml":
        path = CONFIGS / f"{config}.toml"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in CONFIGS.glob("*.toml")))
        raise DescriptionError(
            f"there is no description {config!r}: give the path of a .toml file, or one of {known}"
        )
    spec = load(path, **overrides)
    if spec.batch != 1:
        raise DescriptionError(
            f"{path}: batch: the hardware trains on one sample at a time, not on {spec.batch}; "
            "set batch = 1, or train with python -m golden"
        )
    return spec
