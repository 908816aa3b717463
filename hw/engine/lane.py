# SPDX-License-Identifier: BSD-2-Clause
"""The lane: one neuron at a time, its weights, and the two multipliers that use and update them."""

from enum import Enum, auto

from amaranth.hdl import Cat, Const, Module, Mux, ShapeLike, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..plan import LayerPlan
from ..ports import X_WIDTH
from ..primitives import Primitives

__all__ = ["CONTROL_STAGES", "Lane", "Stage", "control", "schedule"]


class Stage(Enum):
    """What a lane does with an input, in the order of time but for READ."""

    #: The local error of the group's neuron becomes the present one.
    GRADIENT = auto()
    #: Local error and old input go into the update multiplier.
    UPDATE = auto()
    #: The weight's address goes into the bank.
    READ = auto()
    #: The weight has been read, and the update is there.
    WEIGHT = auto()
    #: The new weight is written, and goes into the forward multiplier with the new input.
    WRITE = auto()
    #: The product is accumulated.
    ACCUMULATE = auto()
    #: The accumulator holds the sum of the inputs so far.
    SUM = auto()
    #: The activation can be drained.
    RESULT = auto()


def schedule(primitives: Primitives) -> dict[Stage, int]:
    """Count the clocks from an input's arrival at the lanes to each stage.

    The multipliers lie apart from the rest of a lane: their products have a register of their own
    before they are used.
    """
    memory, multiplier = primitives.memory.delay, primitives.multiplier.delay
    update = 1
    weight = update + multiplier + 1
    # Two registers lie between: behind the subtraction and behind the saturation.
    write = weight + 2
    accumulate = write + multiplier + 1
    return {
        Stage.GRADIENT: update - 1,
        Stage.UPDATE: update,
        Stage.READ: weight - memory,
        Stage.WEIGHT: weight,
        Stage.WRITE: write,
        Stage.ACCUMULATE: accumulate,
        Stage.SUM: accumulate + 1,
        Stage.RESULT: accumulate + 2,
    }


#: The stage in which a lane needs each field of its `control`.
CONTROL_STAGES = {
    "accept": Stage.GRADIENT,
    "x_old": Stage.UPDATE,
    "read_addr": Stage.READ,
    "load": Stage.WRITE,
    "word": Stage.WRITE,
    "write_addr": Stage.WRITE,
    "x_new": Stage.WRITE,
    "accumulate": Stage.ACCUMULATE,
    "restart": Stage.ACCUMULATE,
    "capture": Stage.SUM,
}


def control(plan: LayerPlan) -> data.StructLayout:
    """Layout of what controls all lanes of a cluster; `CONTROL_STAGES` says when.

    - `accept`: the next local error becomes the present one.
    - `x_old`: the input of the sample before; 0 where the weight stays as it is.
    - `read_addr`, `write_addr`: of the weight.
    - `load`: the weight becomes `word`.
    - `x_new`: the input of the present sample.
    - `accumulate`: the product counts; with `restart` it is the first of its sum.
    - `capture`: the sum becomes an activation.
    """
    addr = range(plan.depth)
    shapes: dict[str, ShapeLike] = {
        "x_old": X_WIDTH,
        "read_addr": addr,
        "word": signed(plan.layer.wb),
        "write_addr": addr,
        "x_new": X_WIDTH,
    }
    return data.StructLayout({name: shapes.get(name, 1) for name in CONTROL_STAGES})


class Lane(wiring.Component):
    """Weight bank, update and forward multipliers, accumulator, rounding and saturation.

    For each input, W' = clip(W - rs(g x_old, update_shift)) is written back if `write` is set, and
    z accumulates W' x_new. At the end of a group y = clip(z >> z_shift, 0, 255) (contract, "One
    training step of a layer"). One input a clock; `schedule` tells the clock of each `Stage`.

    - `control`: see there.
    - `write`: writes the new weight, or the word that is loaded; with `control.write_addr`.
    - `g_load`, `g`: the local error of the next neuron, shifted for the learning rate.
    - `weight`: the weight as it was read, in `Stage.WEIGHT`.
    - `y`: activation of the last neuron that was captured, from `Stage.RESULT` on.

    Parameters
    ----------
    plan
        Dimensions of the layer.
    primitives
        Where memory and multipliers come from.
    """

    control: data.View
    write: Signal
    g_load: Signal
    g: Signal
    weight: Signal
    y: Signal

    def __init__(self, *, plan: LayerPlan, primitives: Primitives):
        self.plan = plan
        self.primitives = primitives
        super().__init__({
            "control": In(control(plan)),
            "write": In(1),
            "g_load": In(1),
            "g": In(signed(plan.update_width)),
            "weight": Out(signed(plan.layer.wb)),
            "y": Out(X_WIDTH),
        })

    def elaborate(self, platform):
        m = Module()
        plan, control = self.plan, self.control
        m.submodules.bank = bank = self.primitives.memory(width=plan.layer.wb, depth=plan.depth)
        m.submodules.update = update = self.primitives.multiplier(
            a_width=plan.update_width, b_width=X_WIDTH + 1
        )
        m.submodules.forward = forward = self.primitives.multiplier(
            a_width=plan.layer.wb, b_width=X_WIDTH + 1
        )

        g_next = Signal(signed(plan.update_width))
        with m.If(self.g_load):
            m.d.sync += g_next.eq(self.g)
        g = Signal.like(g_next)
        with m.If(control.accept):
            m.d.sync += g.eq(g_next)

        w = self._updated(m, update.p)
        m.d.comb += [
            bank.read_addr.eq(control.read_addr),
            self.weight.eq(bank.read_data),
            update.a.eq(g),
            update.b.eq(control.x_old),
            bank.write_addr.eq(control.write_addr),
            bank.write_data.eq(Mux(control.load, control.word, w)),
            bank.write_enable.eq(self.write),
            forward.a.eq(w),
            forward.b.eq(control.x_new),
        ]

        z = Signal(signed(plan.z_width))
        product = Signal.like(forward.p)
        m.d.sync += product.eq(forward.p)
        with m.If(control.accumulate):
            m.d.sync += z.eq(Mux(control.restart, 0, z) + product)
        shifted = z >> plan.z_shift
        with m.If(control.capture):
            with m.If(z[-1]):
                m.d.sync += self.y.eq(0)
            with m.Elif(shifted[X_WIDTH:].any()):
                m.d.sync += self.y.eq(2**X_WIDTH - 1)
            with m.Else():
                m.d.sync += self.y.eq(shifted)
        return m

    def _updated(self, m: Module, v: Value) -> Signal:
        """Compute clip(weight - rs(v, update_shift)) from the product v."""
        wb, shift = self.plan.layer.wb, self.plan.update_shift
        # W - rs(v, k) = ((W << k) + (1 << k - 1) - 1 - v) >> k: the rounding half and the borrow
        # of floor(-v) are constants below the weight, so that one subtraction does it all.
        half = Const((1 << (shift - 1)) - 1, shift)
        change = Signal.like(v, name="change")
        m.d.sync += change.eq(v)
        scaled = Cat(half, self.weight).as_signed()
        width = max(wb + shift, len(change)) + 1
        difference = Signal(signed(width - shift))
        m.d.sync += difference.eq((scaled - change)[shift:width])

        w = Signal(signed(wb))
        overflow = Signal()
        m.d.comb += overflow.eq(difference[wb - 1 :].any() & ~difference[wb - 1 :].all())
        sign = difference[-1]
        limit = Cat((~sign).replicate(wb - 1), sign)
        m.d.sync += w.eq(Mux(overflow, limit, difference[:wb]))
        return w
