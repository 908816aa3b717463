# SPDX-License-Identifier: BSD-2-Clause
"""The lane: one neuron at a time, and the multiplier that uses and updates its weights."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Shape, ShapeLike, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..parts.pipeline import delayed
from ..plan import LayerPlan, multipliers
from ..ports import X_WIDTH
from ..primitives import Primitives
from .wide_multiplier import WideMultiplier

__all__ = ["Lane", "Schedule", "control", "reload", "write_to_read"]


class Schedule:
    """In which clock after its arrival at the lanes each part of an event takes place.

    The weights of U events are read late, so that they arrive together with the product. The
    multipliers lie apart from the rest of a lane: their products have a register of their own.

    Parameters
    ----------
    primitives
        Where memories and multipliers come from.
    """

    def __init__(self, primitives: Primitives):
        #: The weight of an F event is read.
        self.read = 0
        #: Both operands go into the multiplier.
        self.operand = primitives.memory.delay
        #: The product is there, and the weight of a U event or of a move.
        self.product = self.operand + primitives.multiplier.delay + 1
        #: The weight of a U event, or of a move, is read.
        self.late_read = self.product - primitives.memory.delay
        #: The accumulator holds the sum so far; the difference is there.
        self.sum = self.product + 1
        #: The new weight is written; the activation can be drained.
        self.result = self.sum + 1
        #: When each field of `control` is due.
        self.fields = {
            "read_addr": self.read,
            "accept": self.operand - 1,
            "forward": self.operand,
            "x": self.operand,
            "lane": self.product - 1,
            "load": self.product,
            "clear": self.product,
            "accumulate": self.product,
            "below": self.product,
            "limit": self.sum,
            "capture": self.sum,
            "read": self.result,
            "write": self.result,
            "write_addr": self.result,
        }


def write_to_read(primitives: Primitives) -> int:
    """Clocks from a U event until an F event may read the weight that it has written."""
    return Schedule(primitives).result + 1


def reload(primitives: Primitives) -> int:
    """Clocks from a U event or a load until a load or a read of the same address may follow."""
    schedule = Schedule(primitives)
    return schedule.result + 1 - schedule.late_read


def control(plan: LayerPlan) -> data.StructLayout:
    """Layout of what controls all lanes; each field belongs to the event of another clock.

    - `read_addr`: weight to read. `write`, `write_addr`: the new weight goes there.
    - `accept`: the next local error becomes the present one.
    - `forward`: the weight is the operand, not the local error. `x`: the other operand.
    - `lane`: whose weight is moved. `load`: it becomes `limit`. `read`: it leaves the array.
    - `clear`, `accumulate`: z becomes 0, or takes the product.
    - `below`: if updates are rounded stochastically, the complement of what is drawn for one.
    - `limit`: the largest weight, or the word that is loaded.
    - `capture`: the sum becomes an activation.
    """
    addr = range(plan.depth)
    shapes: dict[str, ShapeLike] = {
        "read_addr": addr,
        "write_addr": addr,
        "x": Shape(plan.x_shape.width + plan.x_growth, signed=plan.signed_inputs),
        "lane": range(plan.lanes),
        "limit": plan.layer.wb,
        "below": plan.drawn_bits,
    }
    names = (
        *("read_addr", "accept", "forward", "x", "lane", "load", "clear", "accumulate"),
        *("below", "limit", "capture", "read", "write", "write_addr"),
    )
    return data.StructLayout({name: shapes.get(name, 1) for name in names})


class Lane(wiring.Component):
    """Multiplier, accumulator, update, rounding and saturation; the weights lie in a bank.

    An F event does z += W x, a U event makes W' = clip(W - rs(g x, update_shift)), with the same
    multiplier; with `sr`, a number that is drawn takes the place of the half in rs. At the end of a
    group y = clip(z >> z_shift, 0, 2^yb - 1) (contract, "One training step of a layer"). One event
    a clock, in any order; `Schedule` tells the clock of each part.

    - `control`: see there; of it, only what is not the bank's or the cluster's counts here.
    - `weight`: what the bank has read; `updated`: what it is to write.
    - `load`: with x = 0, the new weight is `control.limit` instead.
    - `g_load`, `g`: the local error of the next neuron, shifted for the learning rate.
    - `y`: activation of the last neuron that was captured.
    - `lost`: if the layer counts its health: were the event an update, it would be rounded to 0,
      and is not 0; in the clock of `updated`.

    Parameters
    ----------
    plan
        Dimensions of the layer.
    primitives
        Where the multiplier comes from.
    """

    control: data.View
    weight: Signal
    updated: Signal
    load: Signal
    g_load: Signal
    g: Signal
    y: Signal
    lost: Signal

    def __init__(self, *, plan: LayerPlan, primitives: Primitives):
        self.plan = plan
        self.primitives = primitives
        word = signed(plan.layer.wb)
        super().__init__(
            {
                "control": In(control(plan)),
                "weight": In(word),
                "updated": Out(word),
                "load": In(1),
                "g_load": In(1),
                "g": In(signed(plan.update_width)),
                "y": Out(plan.layer.yb),
                **({"lost": Out(1)} if plan.layer.health else {}),
            }
        )

    def elaborate(self, platform):
        m = Module()
        plan, control = self.plan, self.control
        m.submodules.multiplier = multiplier = self._multiplier()

        g_next = Signal(signed(plan.update_width))
        with m.If(self.g_load):
            m.d.sync += g_next.eq(self.g)
        g = Signal.like(g_next)
        with m.If(control.accept):
            m.d.sync += g.eq(g_next)
        product = Signal.like(multiplier.p)
        m.d.comb += [
            multiplier.a.eq(Mux(control.forward, self.weight, g)),
            multiplier.b.eq(control.x),
        ]
        m.d.sync += product.eq(multiplier.p)

        # To clear z in a clock of its own takes no logic; to choose between 0 and z at the adder
        # would take as much as the adder.
        z = Signal(signed(plan.z_width))
        with m.If(control.clear):
            m.d.sync += z.eq(0)
        with m.Elif(control.accumulate):
            m.d.sync += z.eq(z + product)
        shifted = z >> plan.z_shift
        with m.If(control.capture):
            with m.If(z[-1]):
                m.d.sync += self.y.eq(0)
            with m.Elif(shifted[plan.layer.yb :].any()):
                m.d.sync += self.y.eq(plan.layer.y_max)
            with m.Else():
                m.d.sync += self.y.eq(shifted)
        self._update(m, product)
        return m

    def _multiplier(self) -> Any:
        """Make a cell, or several where an operand is wider."""
        plan = self.plan
        widths = {"a_width": plan.operand_width, "b_width": X_WIDTH + 1 + plan.x_growth}
        if multipliers(plan.operand_width) > 1:
            return WideMultiplier(primitives=self.primitives, **widths)
        return self.primitives.multiplier(**widths)

    def _update(self, m: Module, v: Value):
        """Compute clip(weight - rs(v, update_shift)) from the product v."""
        wb, shift = self.plan.layer.wb, max(self.plan.update_shift, 0)
        v = v << max(-self.plan.update_shift, 0)
        # W - ((v + half) >> k) = ((W << k) + (1 << k) - 1 - half - v) >> k: the half and the borrow
        # of floor(-v) stand below the weight, so that one subtraction does it all. What is drawn in
        # place of a half comes as its complement, or each lane would have to make it.
        half = Const((1 << shift >> 1) - 1 if shift else 0, shift)
        below = self.control.below if self.plan.drawn_bits else half
        scaled = Cat(below, self.weight).as_signed()
        width = max(wb + shift, len(v)) + 1
        difference = Signal(signed(width - shift))
        # A word that is loaded takes the place of the limit of a positive overflow: that costs
        # nothing but a reset.
        loaded = Signal()
        m.d.sync += [difference.eq((scaled - v)[shift:width]), loaded.eq(self.load)]
        with m.If(self.load):
            m.d.sync += difference.eq(0)
        beyond, overflow = difference[wb - 1 :], Signal()
        m.d.comb += overflow.eq(loaded | (beyond.any() & ~beyond.all()))
        limit = self.control.limit ^ difference[-1].replicate(wb)
        m.d.sync += self.updated.eq(Mux(overflow, limit, difference[:wb]))
        if self.plan.layer.health and shift:
            self._find_lost(m, v, difference)

    def _find_lost(self, m: Module, v: Value, difference: Value):
        """Tell whether the product v is not 0, but rs(v, update_shift) is."""
        shift = self.plan.update_shift
        high, low = v >> shift, Signal(shift)
        m.d.comb += low.eq(v)
        # Whether the low bits carry when they are rounded, or drawn bits are added, shows in the
        # difference. If they do, 0 comes of high bits of -1, else of 0.
        minus, zero, odd = (
            delayed(m, flag, 1)
            for flag in (high.all(), ~high.any() & low.any(), self.weight[0] ^ high[0])
        )
        m.d.sync += self.lost.eq(Mux(difference[0] ^ odd, minus, zero))
