# SPDX-License-Identifier: BSD-2-Clause
"""The random classifier's weights, made again for every sample instead of stored."""

from amaranth.hdl import Module, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..parts.lfsr import LFSR, bits
from ..ports import Rule

__all__ = ["ClassifierWeights", "FeedbackWeights", "couple", "fields"]


def fields(seed: int, *, neurons: int, classes: int, width: int) -> list[list[int]]:
    """Compute the fields of a stream, [n][c], in software (contract, "Random numbers").

    >>> fields(1, neurons=2, classes=2, width=16)
    [[1, 0], [0, 45056]]
    """
    stream = bits(seed, 0, neurons * classes * width)
    return [
        [stream >> (n * classes + c) * width & 2**width - 1 for c in range(classes)]
        for n in range(neurons)
    ]


def couple(m: Module, u1: Value, u2: Value, coupled: Value) -> Value:
    """Give field `u2` the sign of field `u1` where `coupled` is set.

    A field u of b bits stands for odd(u) = 2u - 2^b + 1, which is positive exactly when its top
    bit is set; complementing all bits of u negates odd(u). So XORing every bit of u2 with "the
    top bits differ" sets the top bit to that of u1 and leaves |odd(u2)| as it is: the coupling
    costs one XOR a bit (contract, "Sign coupling").
    """
    flip = Signal()
    m.d.comb += flip.eq(coupled & (u1[-1] ^ u2[-1]))
    return u2 ^ flip.replicate(len(u2))


class ClassifierWeights(wiring.Component):
    """Fields u1 of the classifier weights Mc[n,c] = odd(u1), for `neurons` neurons a step.

    `u[i][c]` belongs to the i-th of the present neurons; it comes from registers. `step` moves
    on to the next neurons, `restart` back to neuron 0.

    Parameters
    ----------
    seed
        Seed of stream 1.
    neurons, classes, width
        Neurons per step, classes, bits of a field (`mb`).
    """

    restart: Signal
    step: Signal
    u: data.View

    def __init__(self, *, seed: int, neurons: int, classes: int, width: int):
        self.seed = seed
        self.neurons = neurons
        self.classes = classes
        self.width = width
        super().__init__(
            {
                "restart": In(1),
                "step": In(1),
                "u": Out(data.ArrayLayout(data.ArrayLayout(width, classes), neurons)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.lfsr = lfsr = LFSR(
            seed=self.seed, width=self.neurons * self.classes * self.width
        )
        m.d.comb += [
            lfsr.restart.eq(self.restart),
            lfsr.step.eq(self.step),
            self.u.as_value().eq(lfsr.o),
        ]
        return m


class FeedbackWeights(wiring.Component):
    """Fields of the feedback weights K[n,c] = odd(u), for `neurons` neurons a step.

    `rule` selects them (contract, "rule"): SYM and FROZEN the classifier's own; SCFB the second
    stream with the classifier's signs; RANDOM the second stream alone. Otherwise as
    `ClassifierWeights`; `u` comes two levels of logic behind registers.

    Parameters
    ----------
    seeds
        Seeds of streams 1 and 2.
    neurons, classes, width
        Neurons per step, classes, bits of a field (`mb`).
    """

    restart: Signal
    step: Signal
    rule: Signal
    u: data.View

    def __init__(self, *, seeds: tuple[int, int], neurons: int, classes: int, width: int):
        self.seeds = seeds
        self.neurons = neurons
        self.classes = classes
        self.width = width
        super().__init__(
            {
                "restart": In(1),
                "step": In(1),
                "rule": In(Rule),
                "u": Out(data.ArrayLayout(data.ArrayLayout(width, classes), neurons)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        streams = [
            ClassifierWeights(
                seed=seed, neurons=self.neurons, classes=self.classes, width=self.width
            )
            for seed in self.seeds
        ]
        m.submodules.first, m.submodules.second = first, second = streams
        for source in streams:
            m.d.comb += [source.restart.eq(self.restart), source.step.eq(self.step)]

        independent = Signal()
        coupled = Signal()
        m.d.comb += [
            independent.eq((self.rule == Rule.SCFB) | (self.rule == Rule.RANDOM)),
            coupled.eq(self.rule == Rule.SCFB),
        ]
        for i in range(self.neurons):
            for c in range(self.classes):
                u1, u2 = first.u[i][c], second.u[i][c]
                with m.If(independent):
                    m.d.comb += self.u[i][c].eq(couple(m, u1, u2, coupled))
                with m.Else():
                    m.d.comb += self.u[i][c].eq(u1)
        return m
