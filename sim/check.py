# SPDX-License-Identifier: BSD-2-Clause
"""The network in Verilator and the golden model, side by side, compared to the last bit."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from hw.ports import Command

from .rtl import Rtl, Samples

__all__ = ["Divergence", "DivergenceError", "Pair", "compare"]

@dataclass(frozen=True)
class Divergence:
    """Where hardware and golden model first differ.

    Parameters
    ----------
    stage
        What was being done: "training", "inference", "weights".
    layer
        0 is the first.
    sample
        Counted from 0 since the beginning of the stage; for weights, how many had been trained.
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
    layer: int
    sample: int
    quantity: str
    index: tuple[int, ...]
    expected: int
    got: int
    count: int

    def __str__(self):
        index = f"[{', '.join(map(str, self.index))}]" if self.index else ""
        where = f"after {self.sample} samples" if self.quantity == "W" else f"sample {self.sample}"
        return (
            f"first divergence in {self.stage}: layer {self.layer}, {where}, "
            f"{self.quantity}{index}: expected {self.expected}, got {self.got} "
            f"({self.count} values differ there)"
        )


class DivergenceError(Exception):
    """Hardware and golden model disagree; `divergence` tells where."""

    def __init__(self, divergence: Divergence):
        super().__init__(str(divergence))
        self.divergence = divergence


def compare(stage: str, first: int, expected: Samples, got: Samples) -> int:
    """Compare all quantities of consecutive samples.

    Parameters
    ----------
    stage, first
        What is being done, and the number of the first sample: for the message.
    expected, got
        For each layer and quantity an array (samples, ...). What only one of them has is ignored.

    Returns
    -------
    int
        How many values have been compared.

    Raises
    ------
    DivergenceError
        For the first sample that differs; in it, for the lowest layer, the first quantity in the
        order of `expected`, and the lowest index.
    """
    differing = [
        (layer, name, have[name] != values)
        for layer, (want, have) in enumerate(zip(expected, got, strict=True))
        for name, values in want.items()
    ]
    wrong_samples = [wrong.reshape(len(wrong), -1).any(axis=1) for *_, wrong in differing]
    if np.any(wrong_samples):
        sample = int(np.any(wrong_samples, axis=0).argmax())
        count = sum(int(wrong[sample].sum()) for *_, wrong in differing)
        layer, name, wrong = next(item for item in differing if item[2][sample].any())
        index = tuple(int(i) for i in np.argwhere(wrong[sample])[0])
        place = (sample, *index)
        raise DivergenceError(
            Divergence(
                stage,
                layer,
                first + sample,
                name,
                index,
                int(expected[layer][name][place]),
                int(got[layer][name][place]),
                count,
            )
        )
    return sum(wrong.size for *_, wrong in differing)


class Pair:
    """A network in Verilator and its golden model, doing the same.

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
        #: Training samples so far.
        self.trained = 0
        #: Values compared so far.
        self.compared = 0

    def train(self, x: np.ndarray, labels: np.ndarray, *, epoch: int) -> Iterator[np.ndarray]:
        """Train on samples (n, M) at the learning rate of an epoch.

        Yields
        ------
        array
            For the next samples and each layer, whether the hardware's prediction was right:
            bool (samples, layers).

        Raises
        ------
        DivergenceError
            At the first sample that differs.
        """
        spec = self.rtl.spec
        self.rtl.lr = [layer.lr + epoch // spec.lr_step for layer in spec.layers]
        done = 0
        for got in self.rtl.train(x, labels):
            count = len(got[0]["y"])
            steps = [
                self.golden.train(x[k : k + 1], labels[k : k + 1], epoch=epoch)
                for k in range(done, done + count)
            ]
            expected = self._expected(steps, labels[done : done + count], Command.TRAIN)
            self.compared += compare("training", self.trained, expected, got)
            self.trained += count
            done += count
            yield _correct(got)

    def infer(self, x: np.ndarray, labels: np.ndarray) -> Iterator[np.ndarray]:
        """Infer samples (n, M); yield and raise as `train`."""
        done = 0
        for got in self.rtl.infer(x, labels):
            part = slice(done, done + len(got[0]["y"]))
            expected = self._expected([self.golden.infer(x[part])], labels[part], Command.INFER)
            self.compared += compare("inference", done, expected, got)
            done = part.stop
            yield _correct(got)

    def weights(self) -> list[np.ndarray]:
        """Read the weights out of the hardware, (N, M + 1) of each layer, and compare them.

        Raises
        ------
        DivergenceError
            At the first weight that differs.
        """
        weights = self.rtl.read()
        expected = [{"W": layer.W.numpy()[None]} for layer in self.golden.layers]
        got = [{"W": w[None]} for w in weights]
        self.compared += compare("weights", self.trained, expected, got)
        return weights

    def _expected(self, steps: list[list[Any]], labels: np.ndarray, command: Command) -> Samples:
        """Say what the records of samples must hold, of which the golden model made `steps`.

        The order of the quantities is that in which they come about.
        """
        train = command is Command.TRAIN
        count = len(labels)
        expected = []
        for layer, plan in enumerate(self.rtl.plans):
            made = {
                name: np.concatenate([getattr(step[layer], name).numpy() for step in steps])
                for name in ("y", "s", "prediction", *(("e", "g") if train else ()))
            }
            expected.append({
                "command": np.full(count, command.value),
                "label": labels,
                "y_beats": np.full(count, plan.sample_beats),
                "y": made["y"],
                "s": made["s"],
                "prediction": made["prediction"],
                "correct": made["prediction"] == labels,
                "e": made["e"] if train else np.zeros_like(made["s"]),
                "g_beats": np.full(count, plan.sample_beats if train else 0),
                **({"g": made["g"]} if train else {}),
                "overrun": np.zeros(count, int),
            })
        return expected


def _correct(samples: Samples) -> np.ndarray:
    return np.stack([layer["correct"] for layer in samples], axis=1).astype(bool)
