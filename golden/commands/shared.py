# SPDX-License-Identifier: BSD-2-Clause
"""What several commands need: a description with its data."""

import torch

from golden import spec
from golden.cli import data_of
from golden.data import Data

__all__ = ["prepare"]

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
