# SPDX-License-Identifier: BSD-2-Clause
"""What inference needs of a trained network, in plain integers."""

import re
from dataclasses import dataclass

import numpy as np

from golden.conv_spec import ConvSpec
from golden.data import Scaling
from golden.model import IntegerNetwork
from golden.weights import Weights

__all__ = ["LayerTables", "Results", "Tables", "integers"]


@dataclass(frozen=True, kw_only=True)
class LayerTables:
    """One layer: y = min(max(0, W x + bias) >> shift, y_max) * keep >> 3, then s = M y.

    In convolutions W x is one of those, and the largest activations are taken of all.

    Parameters
    ----------
    W, bias
        Weights (rows, M) and what is added to their sums (rows,): the bias column times its input,
        less what the means of centred inputs give.
    M
        The classifier, random or trained: (N, C), a row for each activation.
    shift
        Fraction bits of the sums that activations lack.
    y_max
        The largest activation.
    keep
        Eighths of an activation that inference keeps: 8 but for dropout.
    z_bound, s_bound
        Magnitudes that no partial sum of z and of the scores exceeds.
    conv
        The shape of convolutions.
    """

    W: np.ndarray
    bias: np.ndarray
    M: np.ndarray
    shift: int
    y_max: int
    keep: int
    z_bound: int
    s_bound: int
    conv: ConvSpec | None = None


@dataclass(frozen=True, kw_only=True)
class Tables:
    """A trained network.

    `name` is as the description has it, `identifier` fit for a programming language. `labels` are
    the names of the classes, `scaling` is how features become the 8-bit inputs; each may be
    missing.
    """

    name: str
    inputs: int
    classes: int
    labels: tuple[str, ...]
    scaling: Scaling | None
    layers: tuple[LayerTables, ...]

    @classmethod
    def of(cls, network: IntegerNetwork, weights: Weights) -> "Tables":
        """Take a network that holds the weights."""
        spec = network.spec
        layers = []
        for layer in network.layers:
            p, W = layer.spec, layer.W.long().numpy()
            layers.append(
                LayerTables(
                    W=W[:, :-1],
                    bias=W[:, -1] * p.one - layer.offset().long().numpy(),
                    M=layer.classifier().long().numpy(),
                    shift=p.fw + p.fx - p.fy,
                    y_max=p.y_max,
                    keep=8 - p.dropout,
                    # Centred, inputs and means give sums of their own.
                    z_bound=p.z_bound << p.centred,
                    s_bound=p.s_bound,
                    conv=p.conv,
                )
            )
        return cls(
            name=spec.name,
            inputs=spec.inputs,
            classes=spec.classes,
            labels=weights.labels,
            scaling=weights.scaling,
            layers=tuple(layers),
        )

    @property
    def identifier(self) -> str:
        """The name, with nothing but letters, digits and underscores, beginning with a letter."""
        text = re.sub("[^A-Za-z0-9]", "_", self.name)
        return text if text[0].isalpha() else f"net_{text}"


@dataclass(frozen=True)
class Results:
    """What inference gives for n samples: scores (n, layers, C), predictions (n, layers)."""

    scores: np.ndarray
    predictions: np.ndarray


def integers(low: int, high: int) -> np.dtype:
    """Choose the smallest type of signed integers from `low` to `high`.

    >>> integers(-128, 127), integers(0, 128)
    (dtype('int8'), dtype('int16'))
    """
    for name in ("int8", "int16", "int32"):
        limits = np.iinfo(name)
        if limits.min <= low and high <= limits.max:
            return np.dtype(name)
    return np.dtype("int64")
