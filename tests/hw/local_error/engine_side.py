# SPDX-License-Identifier: BSD-2-Clause
"""What an engine does with a local error: it sends activations, and takes local errors."""


def padded(plan, values):
    """Give values of the neurons, and zeros for those that are missing in the last beats."""
    return [*values, *[0] * (plan.groups * plan.lanes - plan.layer.neurons)]


async def send(ctx, dut, plan, command, label, y, *, pause=None):
    """Send the activations of a sample, the last beat when there is room; `pause` before each."""
    width, i = plan.drain_width, dut.activations
    for beat in range(plan.sample_beats):
        if pause:
            await pause(ctx)
        last = beat == plan.sample_beats - 1
        while last and not ctx.get(dut.score_room.space):
            await ctx.tick()
        ctx.set(dut.score_room.reserve, last)
        ctx.set(i.payload.header, {"command": command, "label": label})
        ctx.set(i.payload.y, padded(plan, y)[beat * width : (beat + 1) * width])
        ctx.set(i.payload.last, last)
        ctx.set(i.valid, 1)
        await ctx.tick()
        ctx.set(dut.score_room.reserve, 0)
        ctx.set(i.valid, 0)


async def take(ctx, dut, plan, g, *, lead):
    """Take the local errors g of a sample, group by group.

    Of each group the beats are given, index and local errors, that must have come by then.
    """
    port, width, shift = dut.gradients, plan.drain_width, plan.lr_max - plan.lr_min
    for group in range(plan.groups):
        while not ctx.get(port.ready):
            await ctx.tick()
        # The last beat comes at most `lead` clocks later, and is noted in the next.
        await ctx.tick().repeat(lead + 2)
        lanes = [v << shift for v in padded(plan, g)[group * plan.lanes :][: plan.lanes]]
        yield [(index, lanes[index * width :][:width]) for index in range(plan.beats)]
        assert ctx.get(port.complete)
        assert ctx.get(port.some) == any(lanes)
        ctx.set(port.advance, 1)
        await ctx.tick()
        ctx.set(port.advance, 0)
