# SPDX-License-Identifier: BSD-2-Clause
"""The sequencer: instructions of each packet, and what a group waits for, among dawdlers."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from hw.engine.activation_buffer import is_sample
from hw.engine.sequencer import Sequencer
from hw.parts.lfsr import bits
from hw.ports import Activity, Command
from tests.hw.bench import plan, simulate

WRITE_TO_READ = 6
#: Clocks from the first input of a group until its local errors are accepted.
ACCEPTED = 4


def weights(layer):
    """Lane, address and input of each weight, n-major."""
    return [
        (n % layer.lanes, n // layer.lanes * layer.columns + j, j)
        for n in range(layer.neurons)
        for j in range(layer.columns)
    ]


def initial_loads(layer):
    """What stream 0 makes of the weights (contract, "Random numbers")."""
    width, drawn, loads = layer.init_bits, 0, []
    for lane, addr, j in weights(layer):
        word = 0
        if j < layer.inputs:
            word = 2 * bits(layer.seeds[0], drawn, width) - (1 << width) + 1
            drawn += width
        loads.append(("load", lane, addr, word))
    return loads


def passed(plan, width, flush, update):
    """The steps of a pass, with the position of their inputs."""
    layer = plan.layer
    steps = []
    for group in range(plan.groups):
        for j in range(layer.columns):
            bias = j == layer.inputs
            place = (0, 0, 1) if bias else (*divmod(j, width), 0)
            last = bias and not flush
            steps.append(("issue", group * layer.columns + j, j == 0, last, update, *place))
    return steps


@given(
    inputs=st.integers(1, 7),
    neurons=st.integers(1, 20),
    lanes=st.integers(1, 12),
    width=st.integers(1, 3),
    updates=st.booleans(),
    seed=st.integers(0, 2**32),
)
@settings(deadline=None, max_examples=30)
def test_packets(inputs, neurons, lanes, width, updates, seed):
    rng = random.Random(seed)
    dimensions = plan(inputs=inputs, neurons=neurons, lanes=lanes)
    layer = dimensions.layer
    dut = Sequencer(plan=dimensions, width=width, write_to_read=WRITE_TO_READ)
    packets = [(rng.choice(list(Command)), rng.randrange(3)) for _ in range(10)]
    words = [rng.randrange(-2048, 2048) for _ in range(10 * layer.weights)]
    pace = rng.choice([0.3, 1])

    expected, replies, passed_on = initial_loads(layer), [], []
    update, loaded = False, 0
    for command, label in packets:
        if command in (Command.TRAIN, Command.INFER, Command.FLUSH):
            expected += passed(dimensions, width, command == Command.FLUSH, update)
            update = command == Command.TRAIN and updates
        elif command == Command.READ:
            expected += [("read", lane, addr) for lane, addr, _ in weights(layer)]
        else:
            update = False
            for lane, addr, _ in weights(layer):
                expected.append(("load", lane, addr, words[loaded]))
                loaded += 1
        passed_on.append((command, label))
        if not is_sample(command):
            replies.append((command, label))

    seen, forwarded, recorded, rotations = [], [], [], []

    async def surroundings(ctx):
        queue, loads = list(packets), list(words)
        clock, quiet, last_start, last_write = 0, 0, -1000, -1000
        error_at, accepted_at, reads_until = None, None, 0
        g_ready, may_start, command_of_pass = True, False, None
        while queue or quiet < 3 * dimensions.group_clocks + 60:
            clock += 1
            if not g_ready:
                g_ready = rng.random() < pace
            space, read_space = rng.random() < pace, rng.random() < pace
            ctx.set(dut.packet.valid, bool(queue) and (rng.random() < pace or len(queue) % 2))
            if queue:
                ctx.set(dut.packet.payload, {"command": queue[0][0], "label": queue[0][1]})
            ctx.set(dut.weights.valid, rng.random() < pace)
            ctx.set(dut.weights.payload, loads[0])
            ctx.set(dut.g_ready, g_ready)
            ctx.set(dut.room.space, space)
            ctx.set(dut.read_room.space, read_space)
            ctx.set(dut.delivered, clock > reads_until)
            ctx.set(dut.update.valid, clock == error_at)
            trains = updates and command_of_pass == Command.TRAIN
            ctx.set(dut.update.payload, trains if clock == error_at else rng.randrange(2))
            ctx.set(dut.accepted, clock == accepted_at)
            ctx.set(dut.passed_on.ready, rng.random() < pace)
            ctx.set(dut.record.ready, rng.random() < pace)

            do, place = ctx.get(dut.do), ctx.get(dut.position)
            quiet = 0 if do.issue or do.load or do.read else quiet + 1
            assert do.issue + do.load + do.read <= 1
            assert do.issue == (ctx.get(dut.work.activity) == Activity.BUSY)
            if do.issue:
                flags = bool(do.first), bool(do.last), bool(do.update)
                seen.append(("issue", do.addr, *flags, place.word, place.part, place.bias))
                group = do.addr // layer.columns
                assert ctx.get(dut.work.weights) == min(neurons - group * lanes, lanes)
                if do.first:
                    assert clock - last_start >= dimensions.group_clocks
                    assert clock - last_write > WRITE_TO_READ
                    assert may_start, "a group begins with no room or no local errors"
                    assert error_at is None or clock > error_at
                    # Until they are accepted, the local errors that are there are not its own.
                    assert accepted_at is None or clock - 1 > accepted_at
                    last_start, accepted_at = clock, clock + ACCEPTED
                if do.last and do.addr == dimensions.depth - 1:
                    error_at = clock + rng.randint(1, 30)
                    assert ctx.get(dut.rotate)
            if do.load:
                seen.append(("load", do.lane, do.addr, do.word))
                last_write = clock
            if do.read:
                assert read_space
                assert ctx.get(dut.read_room.reserve)
                assert clock - last_write > WRITE_TO_READ
                seen.append(("read", do.lane, do.addr))
                reads_until = clock + rng.randint(1, 20)
            if accepted_at == clock:
                g_ready = False
            if ctx.get(dut.packet.valid) and ctx.get(dut.packet.ready):
                command_of_pass = queue.pop(0)[0]
            may_start = ctx.get(dut.g_ready) and (space or command_of_pass == Command.FLUSH)
            if ctx.get(dut.room.reserve):
                assert space
            if ctx.get(dut.weights.valid) and ctx.get(dut.weights.ready):
                loads.pop(0)
            for port, record in (dut.passed_on, forwarded), (dut.record, recorded):
                if ctx.get(port.valid) and ctx.get(port.ready):
                    header = ctx.get(port.payload)
                    record.append((header.command, header.label))
                    assert clock > reads_until
            rotations.append(ctx.get(dut.rotate))
            await ctx.tick()

    simulate(dut, surroundings)
    assert seen == expected
    assert forwarded == passed_on
    assert recorded == replies
    assert sum(rotations) == sum(is_sample(command) for command, _ in packets)
