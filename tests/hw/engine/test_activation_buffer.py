# SPDX-License-Identifier: BSD-2-Clause
"""The activation buffer: both samples at any position, packets in order, room for one ahead."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from hw.engine.activation_buffer import ActivationBuffer, is_sample
from hw.ports import Command
from hw.primitives import PORTABLE
from tests.hw.bench import plan, simulate


@given(
    inputs=st.integers(1, 20),
    width=st.integers(1, 5),
    fx=st.integers(0, 8),
    seed=st.integers(0, 2**32),
)
@settings(deadline=None, max_examples=40)
def test_samples(inputs, width, fx, seed):
    rng = random.Random(seed)
    layer = plan(inputs=inputs, fx=fx, lr=8, fw=8).layer
    dut = ActivationBuffer(
        plan=plan(inputs=inputs, fx=fx, lr=8, fw=8), width=width, primitives=PORTABLE
    )
    packets = [
        (rng.choice(list(Command)), rng.randrange(3), [rng.randrange(256) for _ in range(inputs)])
        for _ in range(15)
    ]

    async def send(ctx):
        for command, label, x in packets:
            step = width if is_sample(command) else inputs
            for first in range(0, inputs, step):
                while rng.random() < 0.3:
                    await ctx.tick()
                beat = [*x[first : first + width], *[rng.randrange(256)] * width][:width]
                header = {"command": command, "label": label}
                ctx.set(dut.i.payload, {"header": header, "x": beat})
                ctx.set(dut.i.valid, 1)
                await ctx.tick().until(dut.i.ready)
                ctx.set(dut.i.valid, 0)

    async def read(ctx):
        old = None
        for command, label, x in packets:
            while not ctx.get(dut.packet.valid) or rng.random() < 0.2:
                await ctx.tick()
            assert ctx.get(dut.packet.payload.command) == command
            assert ctx.get(dut.packet.payload.label) == label
            ctx.set(dut.packet.ready, 1)
            await ctx.tick()
            ctx.set(dut.packet.ready, 0)
            if not is_sample(command):
                continue
            # The bias and the rotation come last, together, as the sequencer does it.
            for j in range(layer.columns + dut.delay):
                if j < inputs:
                    ctx.set(dut.position, {"word": j // width, "part": j % width})
                else:
                    ctx.set(dut.position, {"bias": 1})
                ctx.set(dut.rotate, j == inputs)
                seen = j - dut.delay
                if seen >= 0:
                    assert ctx.get(dut.x_new) == [*x, layer.one][seen]
                    if old:
                        assert ctx.get(dut.x_old) == [*old, layer.one][seen]
                await ctx.tick()
            old = x

    simulate(dut, send, read)


def test_back_pressure():
    """Two samples and then commands find room, until the queue of packets is full."""
    dut = ActivationBuffer(plan=plan(inputs=1), width=1, primitives=PORTABLE)

    async def bench(ctx):
        ctx.set(dut.i.valid, 1)
        for command, room in [
            (Command.TRAIN, 1), (Command.INFER, 1), (Command.TRAIN, 0), (Command.FLUSH, 1),
            (Command.READ, 1), (Command.FLUSH, 0),
        ]:  # fmt: skip
            ctx.set(dut.i.payload.header.command, command)
            assert ctx.get(dut.i.ready) == room, command
            await ctx.tick()

    simulate(dut, bench)
