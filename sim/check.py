# SPDX-License-Identifier: BSD-2-Clause
"""The network in Verilator and the golden model, side by side, compared to the last bit."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from golden.training import start_from
from golden.weights import Weights
from hw.ports import Command

from .rtl import Rtl, Samples, training_packets

__all__ = ["Mismatch", "MismatchError", "Pair", "first_difference"]


@dataclass(frozen=True)
class Mismatch:
    """Where hardware and golden model first differ.

    Parameters
    ----------
    stage
        "training", "inference" or "weights".
    sample
        The sample's number among those of its stage, from 0; for weights, how many samples had
        been trained.
    layer
        0 is the first.
    quantity
        "y", "s", ..., or "W".
    index
        Of the value within the quantity: (n,), (c,), (n, j), or () for a scalar.
    expected, got
        The golden model's value and the hardware's.
    count
        How many values of the sample differ, in all layers.
    """

    stage: str
    sample: int
    layer: int
    quantity: str
    index: tuple[int, ...]
    expected: int
    got: int
    count: int

    def __str__(self):
        index = f"[{', '.join(map(str, self.index))}]" if self.index else ""
        when = f"after sample {self.sample}" if self.quantity == "W" else f"sample {self.sample}"
        return (
            f"first mismatch, {self.stage}: layer {self.layer}, {when}, {self.quantity}{index}: "
            f"expected {self.expected}, got {self.got} (values that differ there: {self.count})"
        )


class MismatchError(Exception):
    """Hardware and golden model disagree; `mismatch` tells where."""

    def __init__(self, mismatch: Mismatch):
        super().__init__(str(mismatch))
        self.mismatch = mismatch


def first_difference(expected: Samples, got: Samples) -> dict[str, Any] | None:
    """Find the first sample in which two sets of quantities differ.

    Parameters
    ----------
    expected, got
        For each layer and quantity an array (samples, ...). What only `got` has is ignored.

    Returns
    -------
    dict or None
        The fields of a `Mismatch` but `stage`, `sample` counting from the first of these; in that
        sample, of the lowest layer, the first quantity in the order of `expected`, and the lowest
        index. None if there is no difference.
    """
    wrong = [
        (layer, name, got[layer][name] != values)
        for layer, quantities in enumerate(expected)
        for name, values in quantities.items()
    ]
    wrong_samples = np.any([w.reshape(len(w), -1).any(axis=1) for *_, w in wrong], axis=0)
    if not wrong_samples.any():
        return None
    sample = int(wrong_samples.argmax())
    layer, name, first = next(item for item in wrong if item[2][sample].any())
    index = tuple(int(i) for i in np.argwhere(first[sample])[0])
    return {
        "sample": sample,
        "layer": layer,
        "quantity": name,
        "index": index,
        "expected": int(expected[layer][name][sample, *index]),
        "got": int(got[layer][name][sample, *index]),
        "count": sum(int(w[sample].sum()) for *_, w in wrong),
    }


class Pair:
    """A network in Verilator and its golden model, doing the same.

    All methods raise a `MismatchError` at the first difference.

    Parameters
    ----------
    rtl
        The network.
    golden
        A `golden.model.Network` of the same description.
    """

    def __init__(self, rtl: Rtl, golden: Any):
        self.rtl = rtl
        self.golden = golden
        #: Samples so far: trained on, and only inferred.
        self.trained = 0
        self.inferred = 0
        #: Values compared so far.
        self.compared = 0

    def run(
        self, commands: Sequence[Command], labels: np.ndarray, x: np.ndarray, *, epoch: int = 0
    ) -> Iterator[np.ndarray]:
        """Do the same on both sides: see `Rtl.run`; `epoch` sets the learning rates.

        Yields
        ------
        array
            For the next samples and each layer, whether the hardware's prediction was right:
            bool (samples, layers).
        """
        spec = self.rtl.spec
        self.rtl.lr = [spec.lr_shift(layer, epoch) for layer in spec.layers]
        is_sample = np.array([command is not Command.FLUSH for command in commands])
        training = np.array([command is Command.TRAIN for command in commands])[is_sample]
        sample_labels, sample_x = np.asarray(labels)[is_sample], np.asarray(x)[is_sample]
        done = 0
        for got in self.rtl.run(commands, labels, x):
            part = slice(done, done + len(got[0]["y"]))
            done = part.stop
            expected = self._expected(sample_x[part], sample_labels[part], training[part], epoch)
            difference = first_difference(expected, got)
            if difference:
                self._raise(training[part], difference)
            self._count(training[part], expected)
            yield np.stack([layer["correct"] for layer in got], axis=1).astype(bool)

    def train(self, x: np.ndarray, labels: np.ndarray, *, epoch: int) -> Iterator[np.ndarray]:
        """Train on samples (n, M) with labels (n,), apply the last update; yield as `run`."""
        return self.run(*training_packets(x, labels), epoch=epoch)

    def infer(self, x: np.ndarray, labels: np.ndarray) -> Iterator[np.ndarray]:
        """Infer samples (n, M); yield as `run`."""
        return self.run([Command.INFER] * len(x), labels, x)

    def load(self, weights: Weights):
        """Replace the weights on both sides, in hardware through LOAD."""
        start_from(self.golden, weights)
        self.rtl.load(weights.W)

    def weights(self) -> list[np.ndarray]:
        """Read the weights out of the hardware, (N, M + 1) of each layer, and compare them."""
        weights = self.rtl.read()
        expected = [{"W": layer.W.numpy()[None]} for layer in self.golden.layers]
        difference = first_difference(expected, [{"W": w[None]} for w in weights])
        if difference:
            raise MismatchError(Mismatch("weights", **{**difference, "sample": self.trained}))
        self.compared += sum(w.size for w in weights)
        return weights

    def _expected(
        self, x: np.ndarray, labels: np.ndarray, training: np.ndarray, epoch: int
    ) -> Samples:
        """Let the golden model train on or infer samples; say what their records must hold.

        The quantities are in the order in which the hardware makes them.
        """
        steps = [
            self.golden.train(x[k : k + 1], labels[k : k + 1], epoch=epoch)
            if training[k]
            else self.golden.infer(x[k : k + 1])
            for k in range(len(x))
        ]
        expected = []
        for layer, plan in enumerate(self.rtl.plans):

            def made(name: str, width: int, layer: int = layer) -> np.ndarray:
                nothing = np.zeros((1, width), int)
                values = [getattr(step[layer], name) for step in steps]
                return np.concatenate([nothing if v is None else v.numpy() for v in values])

            neurons, classes = plan.layer.neurons, plan.layer.classes
            prediction = made("prediction", 1)
            expected.append(
                {
                    "command": np.where(training, Command.TRAIN.value, Command.INFER.value),
                    "label": labels,
                    "y_beats": np.full(len(x), plan.sample_beats),
                    "y": made("y", neurons),
                    "s": made("s", classes),
                    "prediction": prediction,
                    "correct": prediction == labels,
                    "e": made("e", classes),
                    "g_beats": np.where(training, plan.sample_beats, 0),
                    "g": made("g", neurons),
                    "overrun": np.zeros(len(x), int),
                }
            )
        return expected

    def _count(self, training: np.ndarray, expected: Samples):
        self.trained += int(training.sum())
        self.inferred += int((~training).sum())
        self.compared += sum(v.size for quantities in expected for v in quantities.values())

    def _raise(self, training: np.ndarray, difference: dict[str, Any]):
        sample = difference["sample"]
        if training[sample]:
            stage, number = "training", self.trained + int(training[:sample].sum())
        else:
            stage, number = "inference", self.inferred + int((~training[:sample]).sum())
        raise MismatchError(Mismatch(stage, **{**difference, "sample": number}))
