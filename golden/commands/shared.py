# SPDX-License-Identifier: BSD-2-Clause
"""What several commands need: descriptions with their data, and weights that belong to both."""

from pathlib import Path

import numpy as np
import torch

from golden import spec, weights
from golden.cli import data_of
from golden.data import Data
from golden.errors import quoted
from golden.files import shown

__all__ = ["prepare", "weights_for"]

#: Products of a layer and batch from which on it pays to share them out among threads.
SHARED_WORK = 2_000_000


def prepare(config: str, **overrides: int | None) -> tuple[spec.NetworkSpec, Data]:
    """Load a description, with those overrides that are given, and its data."""
    given = {key: value for key, value in overrides.items() if value is not None}
    network = spec.load(spec.find(config), **given)
    data = data_of(network)
    if network.batch * max(layer.weights for layer in network.layers) < SHARED_WORK:
        torch.set_num_threads(1)
    return network, data


def weights_for(path: Path, network: spec.NetworkSpec, data: Data) -> weights.Weights:
    """Read weights that were trained on this data, as far as they know on which.

    Raises
    ------
    WeightsError
        If they cannot be used; or if classes have other names, or features were scaled otherwise.
    """
    learned = weights.load(path, network)
    mend = "give the data that it was trained on, or another file"
    for theirs, ours in zip(learned.labels, data.labels, strict=False):
        if theirs != ours:
            raise weights.WeightsError(
                f"{shown(path)}: has a class {quoted(theirs)} where the data has {quoted(ours)}; "
                f"{mend}"
            )
    one, other = learned.scaling, data.scaling
    if one and other:
        differ = np.flatnonzero((one.low != other.low) | (one.high != other.high))
        for i in differ[:1]:
            raise weights.WeightsError(
                f"{shown(path)}: feature {i} was scaled from {one.low[i]:g} .. {one.high[i]:g}, "
                f"that of the data is from {other.low[i]:g} .. {other.high[i]:g}; {mend}"
            )
    return learned
