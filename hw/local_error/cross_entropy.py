# SPDX-License-Identifier: BSD-2-Clause
"""The local error of cross-entropy: softmax less the label, by three tables, without a divider."""

from math import ceil, exp, floor, log

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from ..parts.pipeline import adder_tree, delayed, largest, tree_delay
from ..plan import LayerPlan, signed_width
from ..ports import Valid, ValidInterface, errors, scores, trains

__all__ = ["CrossEntropy", "latency", "lookups"]

#: Fraction bits of a logarithm: a step of an index is 1/32 of a nat.
FRACTION = 5
#: Fraction bits of what is summed, and of a probability.
SUMMED, PROBABILITY = 10, 8
#: Bits of an index; what is farther away counts nothing.
INDEX = 8
#: Clocks of a pass over all scores, at most.
PASS = 5


def exponentials(fraction: int) -> list[int]:
    """Compute exp(-i / 32) with so many fraction bits: TE and TP of the contract.

    >>> exponentials(10)[:3], exponentials(8)[-1]
    ([1024, 992, 962], 0)
    """
    return [floor(exp(-i / 2**FRACTION) * 2**fraction + 0.5) for i in range(2**INDEX)]


def logarithms(classes: int) -> list[int]:
    """Compute ln((32 k + 16) / 1024) with 5 fraction bits: TL of the contract, 0 below k = 32.

    >>> logarithms(2)[31:35]
    [0, 0, 1, 2]
    """
    return [
        floor(2**FRACTION * log((32 * max(k, 32) + 16) / 1024) + 0.5)
        for k in range(32 * classes + 1)
    ]


def lookups(plan: LayerPlan) -> int:
    """Classes that are looked up in a clock."""
    return ceil(plan.layer.classes / PASS)


def beats(plan: LayerPlan) -> int:
    """Count the clocks of a pass over all scores."""
    return ceil(plan.layer.classes / lookups(plan))


def latency(plan: LayerPlan) -> int:
    """Count the clocks from the scores to the errors."""
    second, third = _passes(plan)
    # The scores are fetched before each use; a difference and a probability come before an error.
    return 1 + second + third + beats(plan) + 2


def _passes(plan: LayerPlan) -> tuple[int, int]:
    """Count the clocks from the start of the first pass to the second, and on to the third."""
    tree = tree_delay(lookups(plan))
    # The largest score is found; a difference, an exponential, the sum, a logarithm, its use.
    return beats(plan) + tree, beats(plan) + tree + 4


def _read(m: Module, table: list[int], index: Value) -> Value:
    """Read a table that is made of LUTs, which Yosys left to itself would put into a block."""
    m.submodules += (
        rom := memory.Memory(
            shape=range(max(table) + 1),
            depth=len(table),
            init=table,
            attrs={"rom_style": "logic"},
        )
    )
    port = rom.read_port(domain="comb")
    m.d.comb += port.addr.eq(index)
    return port.data


class CrossEntropy(wiring.Component):
    """Computes e[c] = softmax(s)[c] - (1 where c is the label) (contract, "Cross-entropy").

    Three passes go over the scores, a few classes a clock: the first finds the largest score, the
    second sums exponentials of the distances from it, the third looks up the probabilities. With
    a = (largest - s) >> k and l the logarithm of the sum, a + l is (largest + (l << k) - s) >> k,
    so that one subtraction serves both passes. The tables are LUTs: they are read in one clock
    instead of two, and a network runs out of memory blocks sooner.

    - `scores`: of a sample; their payload stays until its errors are made.
    - `errors`: `delay` clocks later; the payload stays until the next scores. All 0 unless the
      sample trains.

    Parameters
    ----------
    plan
        Dimensions of the layer.
    """

    scores: ValidInterface
    errors: ValidInterface

    def __init__(self, *, plan: LayerPlan):
        self.plan = plan
        #: Clocks from the scores to the errors.
        self.delay = latency(plan)
        super().__init__(
            {
                "scores": In(Valid(scores(plan))),
                "errors": Out(Valid(errors(plan))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        layer, width = self.plan.layer, lookups(self.plan)
        second, third = _passes(self.plan)
        start_first = self.scores.valid
        start_second = delayed(m, start_first, second)
        start_third = delayed(m, start_second, third)
        beat = self._beat(m, start_first | start_second | start_third)
        s = self._fetched(m, beat)
        best = self._best(m, s, delayed(m, start_first, 1))

        # Fraction bits of a score beyond those of an index; if it has fewer, it grows.
        point, logs = layer.fy + layer.scale - FRACTION, logarithms(layer.classes)
        up, down = max(-point, 0), max(point, 0)
        bound, most = layer.s_bound << up, logs[-1] << down
        origin, last = Signal(signed(signed_width(bound + most))), Signal()
        far = []
        for p, score in enumerate(s):
            distance = Signal((2 * bound + most).bit_length(), name=f"distance{p}")
            m.d.sync += distance.eq(Mux(last, origin, best << up) - (score << up))
            far.append(distance >> down)

        present = self._present(m, delayed(m, beat, 2))
        terms = [
            self._looked_up(m, exponentials(SUMMED), index, here)
            for index, here in zip(far, present, strict=True)
        ]
        total = Signal(range((1 << SUMMED) * layer.classes + 1))
        first_term = delayed(m, start_second, 3 + tree_delay(width))
        logarithm = Signal(range(logs[-1] + 1))
        m.d.sync += [
            total.eq(Mux(first_term, 0, total) + adder_tree(m, terms)),
            logarithm.eq(_read(m, logs, total >> FRACTION)),
        ]
        with m.If(start_third):
            m.d.sync += [origin.eq((best << up) + (logarithm << down)), last.eq(1)]
        with m.If(start_first):
            m.d.sync += last.eq(0)

        odds = [self._looked_up(m, exponentials(PROBABILITY), index, Const(1)) for index in far]
        made = delayed(m, start_third | (last & (beat != 0)), 3)
        self._make(m, odds, delayed(m, beat, 2), made)
        return m

    def _beat(self, m: Module, start: Value) -> Signal:
        """Count the beats of a pass."""
        beat, last = Signal(range(beats(self.plan))), beats(self.plan) - 1
        with m.If(start | (beat != 0)):
            m.d.sync += beat.eq(Mux(beat == last, 0, beat + 1))
        return beat

    def _fetched(self, m: Module, beat: Signal) -> list[Signal]:
        """Fetch the scores of a beat; in place of missing classes the last one again."""
        s, width = self.scores.p.s, lookups(self.plan)
        fetched = []
        for p in range(width):
            score = Signal(signed(self.plan.s_width), name=f"score{p}")
            own = range(p, beats(self.plan) * width, width)
            m.d.sync += score.eq(Array(s[min(c, len(s) - 1)] for c in own)[beat])
            fetched.append(score)
        return fetched

    def _best(self, m: Module, s: list[Signal], first: Value) -> Value:
        """Find the largest score in a pass; those after it change nothing."""
        places = []
        for p, score in enumerate(s):
            best = Signal.like(score, name=f"best{p}")
            with m.If(first | (score > best)):
                m.d.sync += best.eq(score)
            places.append(best)
        return largest(m, places)

    def _present(self, m: Module, beat: Value) -> list[Value]:
        """Tell which of the classes of a beat there are."""
        missing = beats(self.plan) * lookups(self.plan) - self.plan.layer.classes
        final = beat == beats(self.plan) - 1
        whole = lookups(self.plan) - missing
        return [Const(1)] * whole + [~final] * missing

    def _looked_up(self, m: Module, table: list[int], index: Value, present: Value) -> Signal:
        """Look an index up; beyond the table, and where no class is, there is 0."""
        assert table[-1] == 0
        entry = Signal(range(table[0] + 1))
        with m.If(index[INDEX:].any() | ~present):
            m.d.sync += entry.eq(0)
        with m.Else():
            m.d.sync += entry.eq(_read(m, table, index[:INDEX]))
        return entry

    def _make(self, m: Module, odds: list[Signal], beat: Value, made: Value):
        """Subtract the label from the probabilities, which come a clock after their `beat`."""
        layer, width, one = self.plan.layer, lookups(self.plan), 1 << PROBABILITY
        header, errors = self.scores.p.header, self.errors.p
        train, now = trains(header), delayed(m, beat, 1)
        wrong = []
        for p, (odd, present) in enumerate(zip(odds, self._present(m, now), strict=True)):
            right, e = Signal(name=f"right{p}"), Signal(signed(self.plan.e_width), name=f"e{p}")
            own = Array(range(p, beats(self.plan) * width, width))
            m.d.sync += right.eq(own[beat] == header.label)
            # Only what is at an end exceeds the range of an error.
            with m.If(right):
                m.d.comb += e.eq(Mux(odd == 0, 1 - one, odd - one))
            with m.Else():
                m.d.comb += e.eq(Mux(odd[-1], one - 1, odd))
            wrong.append(present & Mux(right, ~odd[-1], odd.any()))
            for c in range(p, layer.classes, width):
                with m.If(made & (now == c // width)):
                    m.d.sync += errors.e[c].eq(Mux(train, e, 0))
        m.d.sync += self.errors.valid.eq(made & (now == beats(self.plan) - 1))
        with m.If(self.scores.valid):
            m.d.sync += errors.update.eq(0)
        with m.If(made & train & Cat(wrong).any()):
            m.d.sync += errors.update.eq(1)
