# SPDX-License-Identifier: BSD-2-Clause
"""The random classifier's weights, made again for every sample instead of stored."""

from collections.abc import Sequence
from itertools import count
from math import ceil
from typing import Any

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..parts.lfsr import LFSR, bits
from ..parts.pipeline import delayed
from ..ports import Rule

__all__ = ["ClassifierWeights", "FeedbackWeights", "couple", "delay", "fields"]


def array(bits: int) -> tuple[int, int]:
    """Give the rows and columns of the array that makes so many bits (contract, "Arrays")."""
    rows = next(rows for rows in count(1) if rows**2 >= bits)
    return rows, ceil(bits / rows)


def crossed(line: Sequence[Any], bits: int) -> list[Any]:
    """Give the bits of an array, whose rows and then columns are the bits of `line`."""
    rows, _columns = array(bits)
    return [line[i % rows] ^ line[rows + i // rows] for i in range(bits)]


def fields(
    seed: int, *, neurons: int, classes: int, width: int, source: str = "lfsr"
) -> list[list[int]]:
    """Compute the fields of a stream, [n][c], in software (contract, "Random numbers").

    >>> fields(1, neurons=2, classes=2, width=16)
    [[1, 0], [0, 45056]]
    """
    total = classes * width
    drawn = sum(array(total)) if source == "array" else total
    stream, made = bits(seed, 0, neurons * drawn), []
    for n in range(neurons):
        line = [stream >> n * drawn + i & 1 for i in range(drawn)]
        line = crossed(line, total) if source == "array" else line
        made.append([sum(line[c * width + i] << i for i in range(width)) for c in range(classes)])
    return made


def couple(m: Module, u: Value, wanted: Value, sign: Value, coupled: Value) -> Value:
    """Give fields `u` of a weight of this `sign` the `wanted` one where `coupled` is set.

    A field u of b bits stands for odd(u) = 2u - 2^b + 1, which is positive exactly when its top
    bit is set; complementing all bits of u negates odd(u), and all bits of several fields the sum.
    So XORing every bit with "the signs differ" changes the sign and leaves the magnitude as it is:
    the coupling costs one XOR a bit (contract, "Sign coupling").
    """
    flip = Signal()
    m.d.comb += flip.eq(coupled & (wanted ^ sign))
    return u ^ flip.replicate(len(u))


class ClassifierWeights(wiring.Component):
    """Fields u1 of the classifier weights Mc[n,c] = odd(u1), for `neurons` neurons a step.

    `u[i][c]` belongs to the i-th of the present neurons; it comes from registers, or from the XOR
    of two if the source is an array. `step` moves on to the next neurons, `restart` back to neuron
    0.

    Parameters
    ----------
    seed
        Seed of stream 1.
    neurons, classes, width
        Neurons per step, classes, bits of a field (`mb`).
    source
        Of the bits, as in the description: "lfsr" or "array".
    """

    restart: Signal
    step: Signal
    u: data.View

    def __init__(self, *, seed: int, neurons: int, classes: int, width: int, source: str):
        self.seed = seed
        self.neurons = neurons
        self.classes = classes
        self.width = width
        self.source = source
        super().__init__(
            {
                "restart": In(1),
                "step": In(1),
                "u": Out(data.ArrayLayout(data.ArrayLayout(width, classes), neurons)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        total = self.classes * self.width
        drawn = sum(array(total)) if self.source == "array" else total
        m.submodules.lfsr = lfsr = LFSR(seed=self.seed, width=self.neurons * drawn)
        m.d.comb += [lfsr.restart.eq(self.restart), lfsr.step.eq(self.step)]
        for i in range(self.neurons):
            line = list(lfsr.o[i * drawn :][:drawn])
            made = crossed(line, total) if self.source == "array" else line
            m.d.comb += self.u[i].as_value().eq(Cat(made))
        return m


def delay(terms: int) -> int:
    """Count the clocks from a step of the feedback weights to their bits.

    The sign of a sum of several terms is not one of its bits: it takes a sum and a comparison.
    """
    return 2 if terms > 1 else 0


class FeedbackWeights(wiring.Component):
    """Bits of the feedback weights K[n,c] for `neurons` neurons a step, `terms` fields for each.

    K is odd(u) of a field, or the sum over several. `rule` selects them (contract, "rule"): SYM and
    FROZEN the classifier's own; SCFB the second stream with the classifier's signs; RANDOM the
    second stream alone. Otherwise as `ClassifierWeights`, but `delay` clocks later; `u` comes two
    levels of logic behind registers.

    Parameters
    ----------
    seeds
        Seeds of streams 1 and 2.
    neurons, classes, width
        Neurons per step, classes, bits of a field (`mb`).
    terms
        Fields of a weight, an odd number.
    source
        Of the bits, as in the description: "lfsr" or "array".
    """

    restart: Signal
    step: Signal
    rule: Signal
    u: data.View

    def __init__(
        self,
        *,
        seeds: tuple[int, int],
        neurons: int,
        classes: int,
        width: int,
        source: str,
        terms: int = 1,
    ):
        self.seeds = seeds
        self.neurons = neurons
        self.classes = classes
        self.width = width
        self.source = source
        self.terms = terms
        #: Clocks from a step to its bits.
        self.delay = delay(terms)
        super().__init__(
            {
                "restart": In(1),
                "step": In(1),
                "rule": In(Rule),
                "u": Out(data.ArrayLayout(data.ArrayLayout(width * terms, classes), neurons)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        first, second = self._streams(m, ("first", "second"), self.delay)
        if self.terms > 1:
            # Copies of the streams go ahead, for the signs.
            ahead = self._streams(m, ("first_ahead", "second_ahead"), 0)
            signs = [self._signs(m, stream) for stream in ahead]
        else:
            signs = [[[u[-1] for u in row] for row in stream] for stream in (first, second)]

        independent = Signal()
        coupled = Signal()
        m.d.comb += [
            independent.eq((self.rule == Rule.SCFB) | (self.rule == Rule.RANDOM)),
            coupled.eq(self.rule == Rule.SCFB),
        ]
        for i in range(self.neurons):
            for c in range(self.classes):
                u1, u2 = first[i][c], second[i][c]
                with m.If(independent):
                    one, other = signs[0][i][c], signs[1][i][c]
                    m.d.comb += self.u[i][c].eq(couple(m, u2, one, other, coupled))
                with m.Else():
                    m.d.comb += self.u[i][c].eq(u1)
        return m

    def _streams(self, m: Module, names: tuple[str, str], late: int) -> list[Any]:
        """Add both streams, so many clocks late; give their bits."""
        streams = []
        for name, seed in zip(names, self.seeds, strict=True):
            m.submodules[name] = source = ClassifierWeights(
                seed=seed,
                neurons=self.neurons,
                classes=self.classes,
                width=self.width * self.terms,
                source=self.source,
            )
            m.d.comb += [
                source.restart.eq(delayed(m, self.restart, late)),
                source.step.eq(delayed(m, self.step, late)),
            ]
            streams.append(source.u)
        return streams

    def _signs(self, m: Module, u: Any) -> list[list[Signal]]:
        """Tell which sums of odd numbers are positive, `delay` clocks later."""
        most = self.terms * (2**self.width - 1)
        signs = []
        for i in range(self.neurons):
            signs.append([])
            for c in range(self.classes):
                fields = [u[i][c].word_select(k, self.width) for k in range(self.terms)]
                halves = [Signal(range(most + 1), name="half") for _ in range(2)]
                m.d.sync += [
                    half.eq(sum(fields[k + 2 :: 2], fields[k])) for k, half in enumerate(halves)
                ]
                positive = Signal()
                # The sum of the odd numbers is twice that of the fields, less `most`.
                m.d.sync += positive.eq(halves[0] + halves[1] > most // 2)
                signs[-1].append(positive)
        return signs
