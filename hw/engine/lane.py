# SPDX-License-Identifier: BSD-2-Clause
"""The lane: one neuron at a time, its weights, and the two multipliers that use and mend them."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..plan import LayerPlan
from ..ports import X_WIDTH
from ..primitives import Primitives

__all__ = ["Lane", "Schedule", "control"]


class Schedule:
    """Clocks, after an input's wave, at which a lane does what; they follow from the primitives.

    The multipliers lie apart from the rest of a lane: their products have a register of their own
    before they are used.
    """

    def __init__(self, primitives: Primitives):
        memory, multiplier = primitives.memory.delay, primitives.multiplier.delay
        #: The update's operands go in, after the local error was taken over in the clock before.
        self.update = 1
        #: The weight has been read, and the update is there.
        self.weight = self.update + multiplier + 1
        #: The weight's address goes in.
        self.read = self.weight - memory
        #: The new weight is written, and goes into the forward multiplier. Two registers lie
        #: before: behind the subtraction and behind the saturation.
        self.write = self.weight + 2
        #: The product is accumulated.
        self.accumulate = self.write + multiplier + 1
        #: The accumulator holds the sum of the inputs so far.
        self.sum = self.accumulate + 1
        #: The activation can be drained.
        self.result = self.sum + 1


def control(plan: LayerPlan) -> data.StructLayout:
    """Layout of what the lanes of a cluster are told, each part in its clock of the `Schedule`."""
    return data.StructLayout({
        "take": 1,  # update - 1: the next local error becomes the present one
        "x_old": X_WIDTH,  # update; 0 where the weight stays as it is
        "read_addr": range(plan.depth),  # read
        "load": 1,  # write
        "word": signed(plan.layer.wb),  # write
        "write_addr": range(plan.depth),  # write
        "x_new": X_WIDTH,  # write
        "accumulate": 1,  # accumulate
        "restart": 1,  # accumulate
        "capture": 1,  # sum
    })


class Lane(wiring.Component):
    """Weight bank, update and forward multipliers, accumulator, rounding and saturation.

    For each input, W' = clip(W - rs(g x_old, update_shift)) is written back if `write` is set, and
    z accumulates W' x_new. At the end of a group y = clip(z >> z_shift, 0,
    255) (contract, "One training step of a layer"). One input a clock; `Schedule` tells when each
    part of `control` is due.

    - `write`: writes the new weight, or the word that is loaded.
    - `g_load`, `g`: the local error of the next neuron, shifted for the learning rate.
    - `weight`: the weight as it was read.
    - `y`: activation of the last neuron that was captured.

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
        plan, told = self.plan, self.control
        wb, shift = plan.layer.wb, plan.update_shift
        m.submodules.bank = bank = self.primitives.memory(width=wb, depth=plan.depth)
        m.submodules.update = update = self.primitives.multiplier(
            a_width=plan.update_width, b_width=X_WIDTH + 1
        )
        m.submodules.forward = forward = self.primitives.multiplier(
            a_width=wb, b_width=X_WIDTH + 1
        )

        g_next = Signal(signed(plan.update_width))
        with m.If(self.g_load):
            m.d.sync += g_next.eq(self.g)
        g = Signal.like(g_next)
        with m.If(told.take):
            m.d.sync += g.eq(g_next)

        m.d.comb += [
            bank.read_addr.eq(told.read_addr),
            self.weight.eq(bank.read_data),
            update.a.eq(g),
            update.b.eq(told.x_old),
        ]

        # W - rs(v, k) = ((W << k) + (1 << k - 1) - 1 - v) >> k: the rounding half and the borrow
        # of floor(-v) are constants below the weight, so that one subtraction does it all.
        half = Const((1 << (shift - 1)) - 1, shift)
        change = Signal.like(update.p)
        m.d.sync += change.eq(update.p)
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

        m.d.comb += [
            bank.write_addr.eq(told.write_addr),
            bank.write_data.eq(Mux(told.load, told.word, w)),
            bank.write_enable.eq(self.write),
            forward.a.eq(w),
            forward.b.eq(told.x_new),
        ]

        z = Signal(signed(plan.z_width))
        product = Signal.like(forward.p)
        m.d.sync += product.eq(forward.p)
        with m.If(told.accumulate):
            m.d.sync += z.eq(Mux(told.restart, 0, z) + product)
        shifted = z >> plan.z_shift
        with m.If(told.capture):
            with m.If(z[-1]):
                m.d.sync += self.y.eq(0)
            with m.Elif(shifted[X_WIDTH:].any()):
                m.d.sync += self.y.eq(2**X_WIDTH - 1)
            with m.Else():
                m.d.sync += self.y.eq(shifted)
        return m
