# SPDX-License-Identifier: BSD-2-Clause
"""The activation buffer: the inputs of the present sample, of the one before and of the next."""

from math import ceil

from amaranth.hdl import Const, Module, Mux, Shape, Signal, unsigned
from amaranth.lib import data, fifo, stream, wiring
from amaranth.lib.wiring import In, Out

from ..parts.pipeline import delayed
from ..plan import LayerPlan
from ..ports import X_WIDTH, Command, packets, samples
from ..primitives import Primitives

__all__ = ["ActivationBuffer", "is_sample", "position"]

#: Packets that may have been received and not begun; only two of them may be samples.
PACKETS = 4


def is_sample(command):
    """Tell whether a command comes with inputs."""
    return (command == Command.TRAIN) | (command == Command.INFER)


def position(plan: LayerPlan, width: int) -> data.StructLayout:
    """Layout of a place among the inputs of a sample, of which a word holds `width`.

    Input `word` * `width` + `part`, or the constant input of the bias; then both must be 0.
    """
    words = ceil(plan.layer.inputs / width)
    return data.StructLayout({"word": range(words), "part": range(width), "bias": 1})


def latency(width: int, primitives: Primitives) -> int:
    """Count the clocks of the memory and of the choice of a bank and of an input in its word."""
    return primitives.memory.delay + 1 + (width > 1)


class ActivationBuffer(wiring.Component):
    """Keeps three samples: one read as old, one as new, one arriving.

    - `i`: packets, `width` inputs a beat; those that are no samples are one beat long.
    - `packet`: headers of the packets that have arrived completely, in order.
    - `rotate`: the new sample becomes the old one, the next one becomes the new one.
    - `position`: which input to read, in both samples.
    - `x_old`, `x_new`: the inputs, `delay` clocks after their position.

    Parameters
    ----------
    plan
        Dimensions of the layer.
    width
        Inputs per beat.
    primitives
        Where memories come from.
    """

    i: stream.Interface
    packet: stream.Interface
    rotate: Signal
    position: data.View
    x_old: Signal
    x_new: Signal

    def __init__(self, *, plan: LayerPlan, width: int, primitives: Primitives):
        self.plan = plan
        self.width = width
        self.primitives = primitives
        #: Words of a sample.
        self.words = ceil(plan.layer.inputs / width)
        #: Clocks from a position to its inputs.
        self.delay = latency(width, primitives)
        super().__init__({
            "i": In(samples(plan, width)),
            "packet": Out(packets(plan)),
            "rotate": In(1),
            "position": In(position(plan, width)),
            "x_old": Out(X_WIDTH),
            "x_new": Out(X_WIDTH),
        })

    def elaborate(self, platform):
        m = Module()
        word, filled, accepted = Signal(range(self.words)), Signal(), Signal()
        self._receive(m, word=word, filled=filled, accepted=accepted)

        # One bit a bank.
        arriving, new = Signal(3, init=0b001), Signal(3, init=0b001)
        with m.If(filled):
            m.d.sync += arriving.eq(arriving.rotate_left(1))
        with m.If(self.rotate):
            m.d.sync += new.eq(new.rotate_left(1))

        write_addr, write_data = Signal.like(word), Signal(X_WIDTH * self.width)
        write_bank = Signal(3)
        m.d.sync += [
            write_addr.eq(word),
            write_data.eq(self.i.p.x),
            write_bank.eq(Mux(accepted, arriving, 0)),
        ]
        place = delayed(m, self.position, self.primitives.memory.delay)
        read_new = delayed(m, new, self.primitives.memory.delay)
        read_old = read_new.rotate_right(1)
        old_word = Signal(data.ArrayLayout(unsigned(X_WIDTH), self.width))
        new_word = Signal.like(old_word)
        for index in range(3):
            bank = self.primitives.memory(width=X_WIDTH * self.width, depth=self.words)
            m.submodules[f"bank{index}"] = bank
            m.d.comb += [
                bank.read_addr.eq(self.position.word),
                bank.write_addr.eq(write_addr),
                bank.write_data.eq(write_data),
                bank.write_enable.eq(write_bank[index]),
            ]
            with m.If(read_old[index]):
                m.d.sync += old_word.eq(bank.read_data)
            with m.If(read_new[index]):
                m.d.sync += new_word.eq(bank.read_data)
        place = delayed(m, place, 1)

        one = Const(self.plan.layer.one, X_WIDTH)
        rest = self.delay - self.primitives.memory.delay - 1
        for x, x_word in (self.x_old, old_word), (self.x_new, new_word):
            chosen = Mux(place.bias, one, x_word[place.part])
            m.d.comb += x.eq(delayed(m, chosen, rest))
        return m

    def _receive(self, m: Module, *, word: Signal, filled: Signal, accepted: Signal):
        """Accept packets: `word` of a sample is `accepted`; with the last one it is `filled`."""
        header = self.i.p.header
        m.submodules.packets = packets = fifo.SyncFIFO(
            width=Shape.cast(header.shape()).width, depth=PACKETS
        )
        sample, transferred, complete = Signal(), Signal(), Signal()
        # Samples that have arrived and are not old yet.
        level = Signal(range(3))
        m.d.comb += [
            sample.eq(is_sample(header.command)),
            self.i.ready.eq(packets.w_rdy & ~(sample & (level == 2))),
            transferred.eq(self.i.valid & self.i.ready),
            accepted.eq(transferred & sample),
            complete.eq(transferred & (~sample | (word == self.words - 1))),
            filled.eq(complete & sample),
            packets.w_data.eq(header),
            packets.w_en.eq(complete),
            self.packet.valid.eq(packets.r_rdy),
            self.packet.p.eq(packets.r_data),
            packets.r_en.eq(self.packet.ready),
        ]
        m.d.sync += level.eq(level + filled - self.rotate)
        with m.If(accepted):
            m.d.sync += word.eq(Mux(complete, 0, word + 1))
