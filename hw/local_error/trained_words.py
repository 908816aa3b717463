# SPDX-License-Identifier: BSD-2-Clause
"""V from outside the steps: its initial values, those that are loaded, those that are read."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from golden.layer_spec import TRAINED_BITS

from ..parts.lfsr import LFSR, odd
from ..plan import LayerPlan
from ..primitives import Primitives
from .random_weights import ClassifierWeights
from .trained_unit import access, word

__all__ = ["TrainedWords"]

V = signed(TRAINED_BITS)


class WordScan(wiring.Component):
    """Goes through all weights V, n-major: which class of which word of which unit is the present.

    `step` moves on; `ends` marks the last class of a word, `last` the last of all, after which
    comes the first again.
    """

    step: Signal
    place: Signal
    unit: Signal
    addr: Signal
    ends: Signal
    last: Signal

    def __init__(self, *, plan: LayerPlan):
        trained = plan.trained
        assert trained is not None
        self.plan = plan
        super().__init__(
            {
                "step": In(1),
                "place": Out(range(trained.width)),
                "unit": Out(range(trained.units)),
                "addr": Out(range(trained.depth)),
                "ends": Out(1),
                "last": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        trained, layer = self.plan.trained, self.plan.layer
        assert trained is not None
        n, word = Signal(range(layer.neurons)), Signal(range(trained.words))
        place, beat = Signal(range(trained.places)), Signal(range(trained.beats))
        # Neurons of the beat before the present one.
        before = Signal(range(trained.drain_width))
        last_word, last_neuron, last_of_beat = Signal(), Signal(), Signal()
        rest = layer.classes - (trained.words - 1) * trained.width
        m.d.comb += [
            self.addr.eq(Cat(word, place, beat)),
            last_word.eq(word == trained.words - 1),
            last_neuron.eq(n == layer.neurons - 1),
            last_of_beat.eq(before == trained.drain_width - 1),
            self.ends.eq(self.place == Mux(last_word, rest - 1, trained.width - 1)),
            self.last.eq(self.ends & last_word & last_neuron),
        ]
        with m.If(self.step):
            m.d.sync += self.place.eq(Mux(self.ends, 0, self.place + 1))
            with m.If(self.ends):
                m.d.sync += word.eq(Mux(last_word, 0, word + 1))
            with m.If(self.ends & last_word):
                m.d.sync += [n.eq(n + 1), before.eq(before + 1), self.unit.eq(self.unit + 1)]
                with m.If(self.unit == trained.units - 1):
                    m.d.sync += [self.unit.eq(0), place.eq(place + 1)]
                with m.If(last_of_beat):
                    m.d.sync += [Cat(before, self.unit, place).eq(0), beat.eq(beat + 1)]
                with m.If(last_neuron):
                    m.d.sync += Cat(n, before, self.unit, place, beat).eq(0)
        return m


class TrainedWords(wiring.Component):
    """Accesses V weight by weight, n-major, while there are no steps.

    After reset it gives all V their initial values: Mc << (12 - ms) (contract, "Trained
    classifier"), one a clock.

    - `load`, `read`: high for a clock to begin; then all weights come in by `i`, or go out by `o`.
    - `done`: high for a clock when the initial weights, those that were loaded, or those that were
      read are where they belong.
    - `access`: to all units but for `write`, which `write` tells apart.
    - `words`: what each unit reads.

    Parameters
    ----------
    plan
        Dimensions of the layer.
    primitives
        Where memories come from.
    """

    load: Signal
    read: Signal
    done: Signal
    i: stream.Interface
    o: stream.Interface
    access: data.View
    write: Signal
    words: data.View

    def __init__(self, *, plan: LayerPlan, primitives: Primitives):
        trained = plan.trained
        assert trained is not None
        self.plan = plan
        self.primitives = primitives
        super().__init__(
            {
                "load": In(1),
                "read": In(1),
                "done": Out(1),
                "i": In(stream.Signature(V)),
                "o": Out(stream.Signature(V)),
                "access": Out(access(plan)),
                "write": Out(trained.units),
                "words": In(data.ArrayLayout(word(plan), trained.units)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.scan = scan = WordScan(plan=self.plan)
        value, store, ended, draw = Signal(V), Signal(), Signal(), Signal()
        # Clocks from the scan to the word, and to the weight in it.
        fetch = self.primitives.memory.delay + 2
        wait = Signal(range(fetch))
        m.d.comb += [
            scan.step.eq(store | (self.o.valid & self.o.ready)),
            ended.eq(scan.step & scan.last),
        ]
        self._write(m, scan, value, store)
        m.d.sync += [
            self.access.addr.eq(scan.addr),
            self.o.p.eq(self.words[scan.unit][scan.place]),
        ]
        with m.FSM() as fsm:
            m.d.comb += self.access.busy.eq(~fsm.ongoing("IDLE"))
            with m.State("INITIALISE"):
                m.d.comb += [value.eq(self._initial(m, draw)), draw.eq(1), store.eq(1)]
                with m.If(ended):
                    m.next = "DONE"

            with m.State("IDLE"):
                with m.If(self.load):
                    m.next = "LOAD"
                with m.Elif(self.read):
                    m.next = "FETCH"

            with m.State("LOAD"):
                m.d.comb += [value.eq(self.i.p), self.i.ready.eq(1), store.eq(self.i.valid)]
                with m.If(ended):
                    m.next = "DONE"

            with m.State("FETCH"):
                m.d.sync += wait.eq(wait + 1)
                with m.If(wait == fetch - 1):
                    m.d.sync += wait.eq(0)
                    m.next = "GIVE"

            with m.State("GIVE"):
                m.d.comb += self.o.valid.eq(1)
                with m.If(ended):
                    m.next = "DONE"
                with m.Elif(self.o.ready):
                    m.next = "FETCH"

            # The last word is written.
            with m.State("DONE"):
                m.d.comb += self.done.eq(1)
                m.next = "IDLE"
        return m

    def _initial(self, m: Module, draw: Signal) -> Value:
        """Give the initial value of one weight after the other, the next with `draw`."""
        layer, fields = self.plan.layer, self._fields(m, draw)
        mc = sum((odd(fields.word_select(k, layer.mb)) for k in range(layer.terms)), Const(0))
        return mc << layer.scale - layer.ms

    def _fields(self, m: Module, draw: Signal) -> Value:
        """Draw the random fields of a weight."""
        layer, width = self.plan.layer, self.plan.random_bits
        if layer.source == "lfsr":
            m.submodules.initial = lfsr = LFSR(seed=layer.seeds[1], width=width)
            m.d.comb += lfsr.step.eq(draw)
            return lfsr.o
        # An array makes those of all classes at once.
        m.submodules.initial = weights = ClassifierWeights(
            seed=layer.seeds[1],
            neurons=1,
            classes=layer.classes,
            width=width,
            source=layer.source,
        )
        c, last = Signal(range(layer.classes)), Signal()
        m.d.comb += [last.eq(c == layer.classes - 1), weights.step.eq(draw & last)]
        with m.If(draw):
            m.d.sync += c.eq(Mux(last, 0, c + 1))
        return weights.u[0][c]

    def _write(self, m: Module, scan: WordScan, value: Signal, store: Signal):
        """Gather the weights of a word, and write it."""
        with m.If(store):
            m.d.sync += self.access.data[scan.place].eq(value)
        for unit in range(len(self.write)):
            m.d.sync += self.write[unit].eq(store & scan.ends & (scan.unit == unit))
