# SPDX-License-Identifier: BSD-2-Clause
"""How much a training step has to do where zeros are skipped, counted from what the model made.

The unit of work is an event: an input of a sample that is not 0, or its bias, meets a weight of
each neuron of a group. An F event adds to the sums of the neurons, a U event updates the weights.
Neurons form groups of as many as there are lanes, in their order; a layer whose lanes are to be
chosen is one group, which takes the most. Each group takes the F events of every sample. If a
sample is trained on and has a class error that is not 0, each group with a local error that is not
0 takes the U events of the sample. All else would change nothing.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from golden.layer_spec import LayerSpec
from golden.model import Step
from golden.spec import NetworkSpec

__all__ = ["COUNTS", "count", "count_layer", "dense", "products"]

#: What is counted.
COUNTS = (
    "forward",  # F events
    "update",  # U events
    "columns_skipped",  # inputs that were 0, once for each sample
    "updates_skipped",  # training samples that updated nothing: all errors 0, or the rule frozen
    "groups_skipped",  # groups of the other training samples whose local errors were all 0
    "weight_reads",  # by F and U events
    "weight_writes",  # by U events
)


def products(layer: LayerSpec, x: np.ndarray) -> np.ndarray:
    """Count the products of weights with inputs that are not 0, or the bias, forward: int64 (B,).

    Of inputs x (B, M). In convolutions an input meets all taps of a kernel that reach it.
    """
    if layer.conv is None:
        return (np.count_nonzero(x, axis=1) + 1) * layer.neurons
    conv = layer.conv
    maps = np.asarray(x).reshape(-1, conv.channels, conv.size, conv.size)
    places = np.arange(conv.size)
    half = conv.kernel // 2
    reach = np.minimum(places, half) + np.minimum(places[::-1], half) + 1
    some = maps != (128 if conv.signed else 0)
    met = np.einsum("bcrq,r,q->b", some, reach, reach)
    return (met + conv.size**2) * conv.maps


def count_layer(layer: LayerSpec, x: Any, e: Any = None, g: Any = None) -> dict[str, np.ndarray]:
    """Count what samples take in a layer, each in a step of its own.

    Parameters
    ----------
    layer
        The layer, fully connected.
    x
        Inputs (B, M).
    e, g
        Errors (B, C) and local errors (B, N); None at inference.

    Returns
    -------
    dict
        For each of `COUNTS` an array (B,), int64.
    """
    inputs = np.count_nonzero(x, axis=1)
    entries = inputs + 1
    starts = np.arange(0, layer.neurons, layer.lanes or layer.neurons)
    sizes = np.diff(starts, append=layer.neurons)
    updates = np.zeros(len(entries), bool)
    some = np.zeros((len(entries), len(starts)), bool)
    if e is not None and layer.rule != "frozen":
        updates = np.any(e, axis=1)
        some = np.logical_or.reduceat(np.asarray(g) != 0, starts, axis=1) & updates[:, None]
    written = entries * (some @ sizes)
    return {
        "forward": entries * len(starts),
        "update": entries * some.sum(axis=1),
        "columns_skipped": layer.inputs - inputs,
        "updates_skipped": ~updates & (e is not None),
        "groups_skipped": (~some).sum(axis=1) * updates,
        "weight_reads": products(layer, x) + written,
        "weight_writes": written,
    }


def count(
    network: NetworkSpec, x: Any, steps: Sequence[Step], epoch: int = 0
) -> list[dict[str, np.ndarray]]:
    """Count what samples (B, M) take in each layer of a network, each in a step of its own.

    `steps` is what `IntegerNetwork.train`, with a batch of 1 and in this epoch, or
    `IntegerNetwork.infer` gave for them. See `count_layer`.
    """
    inputs = [x, *(step.y.numpy() for step in steps[:-1])]
    return [
        count_layer(
            replace(layer, rule=network.rule_in(layer, epoch)),
            values,
            None if step.e is None else step.e.numpy(),
            None if step.g is None else step.g.numpy(),
        )
        for layer, values, step in zip(network.layers, inputs, steps, strict=True)
    ]


def dense(layer: LayerSpec) -> int:
    """Count the products of a training step of a layer in which nothing is zero."""
    return layer.weights * (1 if layer.rule == "frozen" else 2)
