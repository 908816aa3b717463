# SPDX-License-Identifier: BSD-2-Clause
"""The cocotb bench: moves words between another process and the channels of a `Harness`.

It knows nothing of networks, and Python runs only where a channel has an event. What the words
mean is worked out by the process at the other end, on another core.
"""

import gc
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

import cocotb
import numpy as np
from cocotb.triggers import Timer
from cocotb.utils import get_sim_time

__all__ = ["CHANNEL", "Reply", "Request", "serve"]

#: Environment variable with the file descriptor of the connection on which requests come.
CHANNEL = "LEL_SIM_CHANNEL"
#: Characters of words after which they are sent on.
CHUNK = 1 << 18
#: Nanoseconds of a clock of the harness.
PERIOD = 2


@dataclass(frozen=True)
class Request:
    """Put words into channels and take words from others, at the full speed of the design.

    Parameters
    ----------
    channels
        Names of all channels, in the order of their bits in `events`.
    registers
        Values of plain ports, put before all else.
    inputs
        Words for input channels: uint8 (words, bytes), little-endian, without the toggle.
    outputs
        Words to take from output channels.
    timeout
        Clocks without an event after which something must be wrong.
    """

    channels: tuple[str, ...]
    registers: Mapping[str, int] = field(default_factory=dict)
    inputs: Mapping[str, np.ndarray] = field(default_factory=dict)
    outputs: Mapping[str, int] = field(default_factory=dict)
    timeout: int = 1_000_000


@dataclass(frozen=True)
class Reply:
    """Part of the answer to a request.

    Parameters
    ----------
    words
        The next words of each output channel, in binary, most significant bit first.
    clocks
        Clocks since the simulation began.
    done
        Whether this is the last part.
    error
        What is wrong; the simulation has ended.
    """

    words: Mapping[str, list[str]] = field(default_factory=dict)
    clocks: int = 0
    done: bool = False
    error: str = ""


class _Input:
    """An input channel and the words that wait for it."""

    def __init__(self, port: Any, rows: np.ndarray):
        self.port = port
        self.rows = iter(rows)
        self.missing = len(rows)
        self.toggle = len(port) - 1

    def put(self, accepted: bool):
        """Put the next word, if there is one; its toggle is the opposite of `accepted`."""
        row = next(self.rows, None)
        if row is not None:
            word = int.from_bytes(row.tobytes(), "little")
            self.port.value = word | (not accepted) << self.toggle


class _Output:
    """An output channel and the words that it is to give."""

    def __init__(self, port: Any, missing: int):
        self.port = port
        self.missing = missing
        self.words: list[str] = []

    def take(self) -> int:
        """Take the word that has arrived; return its length."""
        self.words.append(str(self.port.value))
        return len(self.words[-1])


class _Bench:
    """A simulated harness in the service of another process."""

    def __init__(self, dut: Any, connection: Connection):
        self.dut = dut
        self.connection = connection
        self.events = 0
        self.count = 0
        self.inputs: dict[str, _Input] = {}
        self.outputs: dict[str, _Output] = {}

    async def answer(self, request: Request):
        """Serve a request to its end."""
        dut = self.dut
        for name, value in request.registers.items():
            getattr(dut, name).value = value
        self.inputs = {
            name: _Input(getattr(dut, name), rows) for name, rows in request.inputs.items()
        }
        self.outputs = {
            name: _Output(getattr(dut, name), count) for name, count in request.outputs.items()
        }
        guard = cocotb.start_soon(self._guard(request.timeout))
        await self._move(request.channels)
        guard.cancel()
        self._send(done=True)

    async def _move(self, channels: tuple[str, ...]):
        bits = {name: 1 << k for k, name in enumerate(channels)}
        inputs = [(bits[name], channel) for name, channel in self.inputs.items()]
        outputs = [(bits[name], channel) for name, channel in self.outputs.items()]
        expected = sum(bit for bit, _ in (*inputs, *outputs))
        for bit, channel in inputs:
            channel.put(bool(self.events & bit))
        missing = sum(channel.missing for _, channel in (*inputs, *outputs))
        size = 0
        signal = self.dut.events
        event = signal.value_change
        while missing:
            await event
            events = int(signal.value)
            changed = self.events ^ events
            self.events = events
            self.count += 1
            if changed & ~expected:
                unasked = [name for name in channels if changed & ~expected & bits[name]]
                self._fail(f"the design gave what nothing asked for: {', '.join(unasked)}")
            for bit, channel in inputs:
                if changed & bit:
                    channel.put(bool(events & bit))
                    channel.missing -= 1
                    missing -= 1
            for bit, channel in outputs:
                if changed & bit:
                    size += channel.take()
                    channel.missing -= 1
                    missing -= 1
            if size > CHUNK:
                self._send()
                size = 0
        surplus = [f"{-c.missing} of {name}" for name, c in self.outputs.items() if c.missing < 0]
        if surplus:
            self._fail(f"the design gave too much: {', '.join(surplus)}")

    def _send(self, **state: Any):
        words = {name: channel.words for name, channel in self.outputs.items()}
        for channel in self.outputs.values():
            channel.words = []
        self.connection.send(Reply(words, int(get_sim_time("ns") / PERIOD), **state))

    async def _guard(self, timeout: int):
        """Give up when nothing has happened for too long."""
        count = -1
        while count != self.count:
            count = self.count
            await Timer(timeout * PERIOD, "ns")
        waiting = ", ".join(
            f"{channel.missing} of {name}"
            for name, channel in {**self.inputs, **self.outputs}.items()
            if channel.missing
        )
        self._fail(f"the design did nothing for {timeout} clocks; missing: {waiting}")

    def _fail(self, error: str):
        self._send(error=error)
        raise RuntimeError(error)


@cocotb.test()
async def serve(dut):
    """Serve requests until there are no more."""
    # All that this process keeps is kept on purpose; looking for garbage takes time.
    gc.disable()
    with Connection(int(os.environ[CHANNEL])) as connection:
        bench = _Bench(dut, connection)
        while (request := connection.recv()) is not None:
            await bench.answer(request)
