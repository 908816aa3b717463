# SPDX-License-Identifier: BSD-2-Clause
"""The network in Verilator and the golden model, side by side, compared to the last bit."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np

from golden.events import COUNTS, count_layer
from golden.exits import leaving, margins
from golden.model import Step
from golden.training import start_from, weights_of
from golden.weights import Weights
from hw.plan import LayerPlan
from hw.ports import CLOCK_COUNTERS, HEALTH_TOTALS, LEFT, Command

from .rtl import SAMPLES, Rtl, Samples

__all__ = ["Mismatch", "MismatchError", "Pair", "first_difference"]


@dataclass(frozen=True)
class Mismatch:
    """Where hardware and golden model first differ.

    Parameters
    ----------
    stage
        "training", "inference", "weights" or "counters".
    sample
        The sample's number among those of its stage, from 0; for weights and counters, how many
        samples had been trained.
    layer
        0 is the first.
    quantity
        "y", "s", ..., "W", "V", or the name of a counter.
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
        after = "after " if self.stage in ("weights", "counters") else ""
        return (
            f"first mismatch, {self.stage}: layer {self.layer}, {after}sample {self.sample}, "
            f"{self.quantity}{index}: expected {self.expected}, got {self.got} "
            f"(values that differ there: {self.count})"
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
        # What each READ must give, behind the training samples before it.
        self._reads: list[tuple[int, Weights]] = []
        #: Values compared so far.
        self.compared = 0
        #: What each layer has had to do so far, by the golden model, and its health until the last
        #: READ, if it counts that.
        self.counts = [dict.fromkeys(_running(plan), 0) for plan in rtl.plans]
        #: The layer at which each sample has left that was inferred, in pieces (samples,).
        self.exits: list[np.ndarray] = []
        #: What each layer would have had to do for samples that have left below it.
        self.saved: list[dict[str, int]] = [dict.fromkeys(COUNTS, 0) for _ in rtl.plans]
        # What the counters stood at when that was nothing; None while it is not known.
        self._zero = None if rtl.clocks else [dict(counts) for counts in self.counts]
        # What the last READ decides of the health of each layer that counts it.
        self._last = [
            {"dead": plan.layer.neurons} if plan.layer.health else {} for plan in rtl.plans
        ]
        self._watch = golden.watch() if any(self._last) else None

    def run(
        self,
        commands: Sequence[Command],
        labels: np.ndarray,
        x: np.ndarray,
        *,
        epoch: int = 0,
        loads: Sequence[Weights] = (),
    ) -> Iterator[np.ndarray]:
        """Do the same on both sides: see `Rtl.run`; `epoch` sets rates and rules.

        The weights that a READ gives are compared when all is done.

        Yields
        ------
        array
            For the next samples and each layer, whether the hardware's prediction was right:
            bool (samples, layers). It is not where a sample has left below: see `exits`.
        """
        spec = self.rtl.spec
        self.rtl.begin(epoch)
        rules = [spec.rule_in(layer, epoch) for layer in spec.layers]
        labels, x = np.asarray(labels), np.asarray(x)
        samples = [k for k, command in enumerate(commands) if command in SAMPLES]
        training = np.array([commands[k] is Command.TRAIN for k in samples], bool)
        steps = self._steps(commands, labels, x, epoch, loads)
        done = 0
        for got in self.rtl.run(commands, labels, x, loads=loads):
            part = slice(done, done + len(got[0]["y"]))
            done = part.stop
            chosen = samples[part]
            made = [*islice(steps, len(chosen))]
            whole = self._expected(made, labels[chosen], training[part], rules)
            exits = self._exits(whole, training[part])
            expected = [
                _without(quantities, exits < layer) if LEFT in quantities else quantities
                for layer, quantities in enumerate(whole)
            ]
            difference = first_difference(expected, got)
            if difference:
                self._raise(training[part], difference)
            self._count(training[part], expected)
            self._count_events(training[part], x[chosen], whole, rules, exits)
            self.exits.append(exits[~training[part]])
            yield np.stack([layer["correct"] for layer in got], axis=1).astype(bool)
        # What comes after the last sample.
        assert not [*steps]
        for (trained, expected), weights in zip(self._reads, self.rtl.reads, strict=True):
            self._compare_weights(expected, weights, trained)
        self._reads.clear()
        self.rtl.reads.clear()

    def train(self, x: np.ndarray, labels: np.ndarray, *, epoch: int) -> Iterator[np.ndarray]:
        """Train on samples (n, M) with labels (n,); yield as `run`."""
        return self.run([Command.TRAIN] * len(x), labels, x, epoch=epoch)

    def infer(self, x: np.ndarray, labels: np.ndarray) -> Iterator[np.ndarray]:
        """Infer samples (n, M); yield as `run`."""
        return self.run([Command.INFER] * len(x), labels, x)

    def load(self, weights: Weights):
        """Replace the weights on both sides, in hardware through LOAD."""
        start_from(self.golden, weights)
        self.rtl.load(weights)

    def weights(self) -> Weights:
        """Read the weights out of the hardware, and compare them.

        All that was sent before has been carried out by then, so that the counters are compared
        with the golden model's own count. A network that had been used before the pair was made
        has them compared from the first call on.
        """
        self._take_health()
        weights = self.rtl.read()
        self._compare_weights(weights_of(self.golden), weights, self.trained)
        self._compare_counters()
        return weights

    def _compare_weights(self, expected: Weights, got: Weights, trained: int):
        """Compare all weights, after so many training samples."""
        ours, theirs = _matrices(expected), _matrices(got)
        difference = first_difference(ours, theirs)
        if difference:
            raise MismatchError(Mismatch("weights", **{**difference, "sample": trained}))
        self.compared += sum(values.size for layer in ours for values in layer.values())

    def _compare_counters(self):
        counters = self.rtl.counters
        if self._zero is None:
            self._zero = [
                {name: got[name] - count for name, count in counts.items()}
                for got, counts in zip(counters, self.counts, strict=True)
            ]
            for last, got in zip(self._last, counters, strict=True):
                last |= {"dead": got["dead"]} if last else {}
        expected = [
            {name: zero[name] + count for name, count in counts.items()}
            | {"cycles": sum(got[name] for name in CLOCK_COUNTERS)}
            | last
            for zero, counts, got, last in zip(
                self._zero, self.counts, counters, self._last, strict=True
            )
        ]
        difference = first_difference(_singles(expected), _singles(counters))
        if difference:
            raise MismatchError(Mismatch("counters", **{**difference, "sample": self.trained}))
        self.compared += sum(map(len, expected))

    def _count_events(
        self,
        training: np.ndarray,
        x: np.ndarray,
        whole: Samples,
        rules: Sequence[str],
        exits: np.ndarray,
    ):
        """Count what samples take of which `whole` is what all layers make, if they get there."""
        inputs = [x, *(layer["y"] for layer in whole[:-1])]
        for index, (values, made) in enumerate(zip(inputs, whole, strict=True)):
            layer = replace(self.rtl.plans[index].layer, rule=rules[index])
            counts, left = self.counts[index], exits < index
            e, g = made["e"][training], made["g"][training]
            parts = (
                count_layer(layer, values[training], e, g),
                count_layer(layer, values[~training & ~left]),
            )
            spared = count_layer(layer, values[left])
            for name in COUNTS:
                counts[name] += sum(int(part[name].sum()) for part in parts)
                self.saved[index][name] += int(spared[name].sum())
            if LEFT in counts:
                counts[LEFT] += int(left.sum())

    def _exits(self, whole: Samples, training: np.ndarray) -> np.ndarray:
        """Find the layer at which each sample leaves (samples,); one that trains does not."""
        thresholds = [
            None if margin is None else plan.layer.threshold(margin)
            for plan, margin in zip(self.rtl.plans, self.rtl.margins, strict=True)
        ]
        sure = np.stack([margins(layer["s"]) for layer in whole], axis=1)
        return np.where(training, len(whole) - 1, leaving(sure, thresholds[:-1]))

    def _take_health(self):
        """Count health up to a READ, as the hardware that counts it does."""
        if self._watch is None:
            return
        taken = self.golden.take_health(self._watch)
        for counts, last, health in zip(self.counts, self._last, taken, strict=True):
            if last:
                for name in HEALTH_TOTALS:
                    counts[name] += health[name]
                last["at_limit"] = health["at_limit"]
                # Until a sample trains, hardware shows those of the READ before.
                if health["samples"]:
                    last["dead"] = health["dead"]

    def _steps(
        self,
        commands: Sequence[Command],
        labels: np.ndarray,
        x: np.ndarray,
        epoch: int,
        loads: Sequence[Weights],
    ) -> Iterator[list[Step]]:
        """Let the golden model do what packets ask for; yield what it makes of each sample."""
        given = iter(loads)
        trained = self.trained
        for k, command in enumerate(commands):
            if command is Command.TRAIN:
                trained += 1
                yield self.golden.train(x[k : k + 1], labels[k : k + 1], epoch=epoch)
            elif command is Command.INFER:
                yield self.golden.infer(x[k : k + 1])
            elif command is Command.LOAD:
                start_from(self.golden, next(given))
            else:
                self._take_health()
                self._reads.append((trained, weights_of(self.golden)))

    def _expected(
        self,
        steps: Sequence[list[Step]],
        labels: np.ndarray,
        training: np.ndarray,
        rules: Sequence[str],
    ) -> Samples:
        """Say what the records of samples must hold of which the golden model has made `steps`.

        `rules` are those by which the layers have learned.
        The quantities are in the order in which the hardware makes them.
        """
        expected = []
        for layer, plan in enumerate(self.rtl.plans):

            def made(name: str, width: int, layer: int = layer) -> np.ndarray:
                nothing = np.zeros((1, width), int)
                values = [getattr(step[layer], name) for step in steps]
                return np.concatenate([nothing if v is None else v.numpy() for v in values])

            neurons, classes = plan.layer.neurons, plan.layer.classes
            exits: dict[str, np.ndarray] = {}
            if plan.layer.exits_below:
                exits[LEFT] = np.zeros(len(steps), int)
            if plan.layer.margin is not None:
                exits["margin"] = margins(made("s", classes))
            prediction, e = made("prediction", 1), made("e", classes)
            # Local errors are made only if they change weights.
            updates = np.logical_and(e.any(axis=1), rules[layer] != "frozen")
            expected.append(
                {
                    "command": np.where(training, Command.TRAIN.value, Command.INFER.value),
                    "label": labels,
                    "y_beats": np.full(len(steps), plan.sample_beats),
                    "y": made("y", neurons),
                    "s": made("s", classes),
                    "prediction": prediction,
                    "correct": prediction == labels,
                    "e": e,
                    "g_beats": np.where(updates, plan.sample_beats, 0),
                    "g": np.where(updates[:, None], made("g", neurons), 0),
                    "overrun": np.zeros(len(steps), int),
                    **exits,
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


def _without(quantities: Mapping[str, np.ndarray], left: np.ndarray) -> dict[str, np.ndarray]:
    """Leave only what comes with a packet of those samples that have left below."""
    stays = ~left
    shown = {
        name: values * stays.reshape(-1, *[1] * (values.ndim - 1))
        for name, values in quantities.items()
    }
    return {**shown, **{name: quantities[name] for name in ("command", "label")}, LEFT: left * 1}


def _running(plan: LayerPlan) -> tuple[str, ...]:
    """Name the counters of a layer that run on from reset, but those of clocks."""
    left = (LEFT,) if plan.layer.exits_below else ()
    return (*COUNTS, *left, *(HEALTH_TOTALS if plan.layer.health else ()))


def _matrices(weights: Weights) -> Samples:
    """Write weights as quantities of one sample."""
    return [
        {"W": W[None]} | ({} if V is None else {"V": V[None]})
        for W, V in zip(weights.W, weights.V, strict=True)
    ]


def _singles(layers: Sequence[Mapping[str, int]]) -> Samples:
    """Write numbers as quantities of one sample."""
    return [{name: np.array([value]) for name, value in layer.items()} for layer in layers]
