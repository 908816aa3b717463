# SPDX-License-Identifier: BSD-2-Clause
"""A unit of a trained classifier: the weights V of some neurons, and the multipliers for them."""

from typing import Any

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from golden.layer_spec import TRAINED_BITS

from ..parts.pipeline import adder_tree, delayed, tree_delay
from ..plan import LayerPlan, signed_width
from ..ports import X_WIDTH, Valid, ValidInterface
from ..primitives import Primitives
from .sample_walk import Kind, step

__all__ = ["TrainedSchedule", "TrainedUnit", "access", "word"]


class TrainedSchedule:
    """In which clock after a step each part of it takes place.

    For an update words are read late, so that they arrive together with the product.

    Parameters
    ----------
    plan
        Dimensions of the layer.
    primitives
        Where memories and multipliers come from.
    """

    def __init__(self, plan: LayerPlan, primitives: Primitives):
        assert plan.trained is not None
        #: Both operands go into the multipliers.
        self.operand = primitives.memory.delay
        #: The products are there, and the word of an update.
        self.product = self.operand + primitives.multiplier.delay + 1
        #: The word of an update is read.
        self.late_read = self.product - primitives.memory.delay
        #: The local error is there.
        self.g = self.product + tree_delay(plan.trained.width) + 1
        #: The new word is written.
        self.write = self.product + 2


def word(plan: LayerPlan) -> data.ArrayLayout:
    """Layout of a word of V."""
    assert plan.trained is not None
    return data.ArrayLayout(signed(TRAINED_BITS), plan.trained.width)


def access(plan: LayerPlan) -> data.StructLayout:
    """Layout of an access to V without a step: while `busy`, `addr` is read, or `data` written."""
    assert plan.trained is not None
    return data.StructLayout(
        {"busy": 1, "addr": range(plan.trained.depth), "write": 1, "data": word(plan)}
    )


class TrainedUnit(wiring.Component):
    """Multiplies V by activations and by errors, and updates it, a word a clock.

    Contract, "Trained classifier". An UPDATE makes V' = clip(V - rs(e y, k)). It comes
    `schedule.write` + 1 clocks or more before another kind of step with the same word.

    - `step`: see `hw.local_error.sample_walk.step`.
    - `e`: the class errors, the same from two clocks before a step to its end.
    - `products`: of a SCORE, V y of the classes of the word, `schedule.product` clocks later.
    - `g`: of the last FEEDBACK of a neuron, rs(sum_c V e, 12), `schedule.g` clocks later.
    - `access`: see there; there is no step while it is busy. `word`: what is read.

    Parameters
    ----------
    plan
        Dimensions of the layer.
    index
        Which of the units.
    primitives
        Where memories and multipliers come from.
    """

    step: ValidInterface
    e: data.View
    products: data.View
    g: Signal
    access: data.View
    word: data.View

    def __init__(self, *, plan: LayerPlan, index: int, primitives: Primitives):
        assert plan.trained is not None
        self.plan = plan
        self.index = index
        self.primitives = primitives
        self.schedule = TrainedSchedule(plan, primitives)
        product = signed(TRAINED_BITS + X_WIDTH)
        super().__init__(
            {
                "step": In(Valid(step(plan))),
                "e": In(data.ArrayLayout(signed(plan.e_width), plan.layer.classes)),
                "products": Out(data.ArrayLayout(product, plan.trained.width)),
                "g": Out(signed(plan.g_width)),
                "access": In(access(plan)),
                "word": Out(word(plan)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        trained, e_width = self.plan.trained, self.plan.e_width
        assert trained is not None
        weights, y, errors = self._memory(m), Signal(X_WIDTH), self._errors(m)
        updating = delayed(m, self.step.p.kind == Kind.UPDATE, self.schedule.operand)
        scoring = delayed(m, self.step.p.kind == Kind.SCORE, self.schedule.operand)
        m.d.comb += y.eq(delayed(m, self.step.p.y[self.index], self.schedule.operand))
        products = []
        for c, weight in enumerate(weights):
            m.submodules[f"multiplier{c}"] = multiplier = self.primitives.multiplier(
                a_width=TRAINED_BITS, b_width=max(e_width, X_WIDTH + 1)
            )
            product = Signal.like(multiplier.p, name=f"product{c}")
            m.d.comb += [
                multiplier.a.eq(Mux(updating, y, weight)),
                multiplier.b.eq(Mux(scoring, y, errors[c])),
                self.products[c].eq(product),
            ]
            m.d.sync += product.eq(multiplier.p)
            products.append(product)
        self._feedback(m, products)
        return m

    def _memory(self, m: Module) -> Any:
        """Keep V; give the word that is read."""
        trained, step, schedule = self.plan.trained, self.step, self.schedule
        assert trained is not None
        m.submodules.memory = memory = self.primitives.memory(
            width=trained.word_bits, depth=trained.depth
        )
        addr = Signal(range(trained.depth))
        update = Signal()
        m.d.comb += [
            addr.eq(Cat(step.p.word, step.p.place[self.index], step.p.index)),
            update.eq(step.valid & (step.p.kind == Kind.UPDATE)),
        ]
        late, late_addr = delayed(m, update, schedule.late_read), addr
        late_addr = delayed(m, addr, schedule.late_read)
        active = delayed(m, update & step.p.active[self.index], schedule.write)
        access = self.access
        m.d.comb += [
            memory.read_addr.eq(Mux(access.busy, access.addr, Mux(late, late_addr, addr))),
            memory.write_addr.eq(
                Mux(
                    access.busy,
                    access.addr,
                    delayed(m, late_addr, schedule.write - schedule.late_read),
                )
            ),
            memory.write_enable.eq(Mux(access.busy, access.write, active)),
            self.word.eq(memory.read_data),
        ]
        new = Cat(self._updated(m, self.word[c], self.products[c]) for c in range(trained.width))
        m.d.comb += memory.write_data.eq(Mux(access.busy, Value.cast(access.data), new))
        return self.word

    def _errors(self, m: Module) -> Any:
        """Choose the errors of the classes of the word, in time for the multipliers."""
        trained = self.plan.trained
        assert trained is not None
        shape = data.ArrayLayout(signed(self.plan.e_width), trained.width)
        words, count = [], trained.words
        for k in range(count):
            classes = range(k * trained.width, (k + 1) * trained.width)
            # What fills up the last word has no error.
            values = [
                self.e[c] if c < self.plan.layer.classes else Const(0, self.plan.e_width)
                for c in classes
            ]
            words.append(Cat(values))
        if count == 1:
            return data.View(shape, words[0])
        chosen = Signal(shape)
        number = delayed(m, self.step.p.word, self.schedule.operand - 1)
        m.d.sync += chosen.eq(Array(words)[number])
        return chosen

    def _updated(self, m: Module, weight: Value, product: Value) -> Signal:
        """Compute clip(V - rs(e y, k)) in two clocks; k may be negative."""
        bits, k = TRAINED_BITS, self.plan.layer.classifier_shift
        v = product[: self.plan.e_width + X_WIDTH].as_signed()
        # The rounding half and the borrow of floor(-v) are constants below V, as in a lane.
        scaled = weight if k < 1 else Cat(Const((1 << k - 1) - 1, k), weight).as_signed()
        change = v << -k if k < 1 else v
        width = max(len(scaled), len(change)) + 1
        difference, new = Signal(signed(width - max(k, 0))), Signal(bits)
        m.d.sync += difference.eq((scaled - change)[max(k, 0) : width])
        beyond, overflow = difference[bits - 1 :], Signal()
        m.d.comb += overflow.eq(beyond.any() & ~beyond.all())
        limit = Const((1 << bits - 1) - 1, bits) ^ difference[-1].replicate(bits)
        m.d.sync += new.eq(Mux(overflow, limit, difference[:bits]))
        return new

    def _feedback(self, m: Module, products: list[Signal]):
        """Sum the products of a neuron, and round."""
        layer, trained = self.plan.layer, self.plan.trained
        assert trained is not None
        half = 1 << layer.scale - 1
        partial = adder_tree(m, products)
        total = Signal(signed(signed_width(layer.feedback_bound + half)))
        begun: Value | int = half
        if trained.words > 1:
            number = delayed(m, self.step.p.word, self.schedule.g - 1)
            begun = Mux(number == 0, half, total)
        m.d.sync += total.eq(partial + begun)
        m.d.comb += self.g.eq(total >> layer.scale)
