# SPDX-License-Identifier: BSD-2-Clause
"""The network behind wide ports: Python is asked once per sample, not once per clock."""

from collections.abc import Sequence
from math import ceil
from typing import Any, cast

from amaranth.hdl import (
    Cat,
    ClockDomain,
    ClockSignal,
    Instance,
    Module,
    Mux,
    Signal,
    Value,
    signed,
)
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.parts.pipeline import delayed
from hw.plan import LayerPlan
from hw.ports import X_WIDTH, MonitorSignature, Rule, is_sample, samples
from hw.ports import result as result_layout

__all__ = [
    "CLOCK_VERILOG",
    "FAST_CLOCK_VERILOG",
    "Harness",
    "Recorder",
    "SampleSource",
    "WeightSink",
    "WeightSource",
    "burst",
]

#: A clock of 2 ns that the simulator makes itself, so that its edges call no Python.
CLOCK_VERILOG = """\
module lel_clock(output reg clk);
  initial clk = 1'b0;
  always #1 clk = ~clk;
endmodule
"""
#: The same, falling in the time step in which it rises: nearly 1.5 times as fast, but waves do not
#: show it.
FAST_CLOCK_VERILOG = """\
module lel_clock(output reg clk);
  initial clk = 1'b0;
  always begin
    #2 clk = 1'b1;
    clk <= 1'b0;
  end
endmodule
"""
#: Bits of a weight on its way in.
WEIGHT_BITS = 32
#: The most weights in a word.
BURST = 64


def _shifted(register: Any, beat: Value) -> Value:
    """Compute `register` with `beat` shifted in at its top, so that the first ends up lowest."""
    return Cat(Value.cast(register)[len(beat) :], beat)


class SampleSource(wiring.Component):
    """Sends each word as a packet of the network, `width` inputs a clock.

    A word waits while its `toggle` differs from `accepted`, which follows as the last beat is
    transferred. Its inputs fill whole beats, the last ones up with zeros.

    Parameters
    ----------
    plan
        Dimensions of the first layer.
    width
        Inputs per beat.
    """

    word: data.View
    accepted: Signal
    o: stream.Interface

    def __init__(self, plan: LayerPlan, width: int):
        self.beats = ceil(plan.layer.inputs / width)
        self.width = width
        super().__init__(
            {
                "word": In(
                    data.StructLayout(
                        {
                            "x": data.ArrayLayout(data.ArrayLayout(X_WIDTH, width), self.beats),
                            "command": 8,
                            "label": 16,
                            "toggle": 1,
                        }
                    )
                ),
                "accepted": Out(1),
                "o": Out(samples(plan, width)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        word, beat = self.word, self.o.payload
        j = Signal(range(self.beats))
        m.d.comb += [
            self.o.valid.eq(word.toggle != self.accepted),
            beat.header.command.eq(word.command),
            beat.header.label.eq(word.label),
            beat.last.eq(~is_sample(beat.header) | (j == self.beats - 1)),
            beat.gap.eq(Mux(j == 0, 0, self.width)),
            beat.x.eq(word.x[j]),
        ]
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += j.eq(j + 1)
            with m.If(beat.last):
                m.d.sync += [j.eq(0), self.accepted.eq(word.toggle)]
        return m


def burst(plan: LayerPlan) -> int:
    """Weights per word of the channels that carry them: few words, and none too wide."""
    return max(n for n in range(1, BURST + 1) if plan.weights % n == 0)


class WeightSource(wiring.Component):
    """Sends the `burst` weights of each word, one a clock; `accepted` as in `SampleSource`."""

    word: data.View
    accepted: Signal
    o: stream.Interface

    def __init__(self, plan: LayerPlan):
        self.burst = burst(plan)
        super().__init__(
            {
                "word": In(
                    data.StructLayout(
                        {
                            "weights": data.ArrayLayout(signed(WEIGHT_BITS), self.burst),
                            "toggle": 1,
                        }
                    )
                ),
                "accepted": Out(1),
                "o": Out(stream.Signature(signed(plan.word_width))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        k = Signal(range(self.burst))
        m.d.comb += [
            self.o.valid.eq(self.word.toggle != self.accepted),
            self.o.payload.eq(self.word.weights[k]),
        ]
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += k.eq(k + 1)
            with m.If(k == self.burst - 1):
                m.d.sync += [k.eq(0), self.accepted.eq(self.word.toggle)]
        return m


class WeightSink(wiring.Component):
    """Gathers `burst` weights into a word; `given` toggles as it is complete."""

    i: stream.Interface
    word: data.View
    given: Signal

    def __init__(self, plan: LayerPlan):
        self.burst = burst(plan)
        width = signed(plan.word_width)
        super().__init__(
            {
                "i": In(stream.Signature(width)),
                "word": Out(data.StructLayout({"weights": data.ArrayLayout(width, self.burst)})),
                "given": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        k = Signal(range(self.burst))
        weights = self.word.weights
        m.d.comb += self.i.ready.eq(1)
        with m.If(self.i.valid):
            m.d.sync += [weights.eq(_shifted(weights, self.i.payload)), k.eq(k + 1)]
            with m.If(k == self.burst - 1):
                m.d.sync += [k.eq(0), self.given.eq(~self.given)]
        return m


def _quantities(taps: Any) -> dict[str, tuple[Signal, Any]]:
    """Name what the taps of a layer show as records do: when it is valid, and the value."""
    return {
        "y": (taps.activations.valid, taps.activations.payload.y),
        "s": (taps.scores.valid, taps.scores.payload.s),
        "e": (taps.errors.valid, taps.errors.payload.e),
        "g": (taps.gradients.valid, taps.gradients.payload),
    }


class Recorder(wiring.Component):
    """Gathers what a layer shows of a packet into a word; `given` toggles as it is complete.

    The word of a sample holds its `y`, `s`, `e`, `g` and `result`; it is complete when all of them
    have come, which if the errors update weights is when the last of the local errors has.
    `y_beats` and `g_beats` count the beats gathered, up to one more than there should be. `overrun`
    is set for good if scores arrive before the word of the sample before them is complete. All
    words hold the `counters` as they are when the word is complete.
    """

    monitor: Any
    result: stream.Interface
    counters: data.View
    rule: Signal
    word: data.View
    given: Signal

    def __init__(self, plan: LayerPlan, counters: data.Layout):
        self.plan = plan
        taps = MonitorSignature(plan)
        view = taps.create()
        y, s, e, g = (cast(data.ArrayLayout, tap.shape()) for _, tap in _quantities(view).values())
        result = result_layout(plan)
        neurons = plan.sample_beats * plan.drain_width
        beats = range(plan.sample_beats + 2)
        super().__init__(
            {
                "monitor": In(taps),
                "result": In(stream.Signature(result)),
                "counters": In(counters),
                "rule": In(Rule),
                "word": Out(
                    data.StructLayout(
                        {
                            "y": data.ArrayLayout(y.elem_shape, neurons),
                            "g": data.ArrayLayout(g.elem_shape, neurons),
                            "s": s,
                            "e": e,
                            "y_beats": beats,
                            "g_beats": beats,
                            "overrun": 1,
                            "result": result,
                            "counters": counters,
                        }
                    )
                ),
                "given": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        word, taps = self.word, self.monitor
        arrived, scored, updates, complete = Signal(), Signal(), Signal(), Signal()
        sample = is_sample(word.result.header)
        m.d.comb += [
            self.result.ready.eq(~arrived),
            complete.eq(
                arrived & (~sample | scored & (~updates | (word.g_beats >= self.plan.sample_beats)))
            ),
        ]
        with m.If(self.result.valid & self.result.ready):
            m.d.sync += [word.result.eq(self.result.payload), arrived.eq(1)]
        with m.If(complete):
            m.d.sync += [
                word.counters.eq(self.counters),
                self.given.eq(~self.given),
                arrived.eq(0),
                scored.eq(0),
            ]
        if self.plan.layer.exits_below:
            # Whatever the layer does for a sample that has left below then shows in its word.
            with m.If(delayed(m, complete, 1)):
                m.d.sync += [
                    word[name].eq(0) for name in ("y", "y_beats", "s", "e", "g", "g_beats")
                ]
        with m.If(taps.scores.valid):
            m.d.sync += word.s.eq(taps.scores.payload.s)
        with m.If(taps.errors.valid):
            m.d.sync += [
                word.e.eq(taps.errors.payload.e),
                scored.eq(1),
                updates.eq(taps.errors.payload.update & (self.rule != Rule.FROZEN)),
                word.overrun.eq(word.overrun | (scored & ~complete)),
            ]
        y, y_beats = Signal.like(word.y), Signal.like(word.y_beats)
        ended = delayed(m, taps.activations.valid & taps.activations.payload.last, 1)
        # Those of the next sample may come before the word is complete.
        with m.If(ended):
            m.d.sync += [word.y.eq(y), word.y_beats.eq(y_beats)]
        self._gather(m, "y", y, y_beats, begin=ended)
        self._gather(m, "g", word.g, word.g_beats, begin=taps.errors.valid)
        return m

    def _gather(self, m: Module, name: str, values: Any, beats: Any, *, begin: Value):
        """Gather the beats of a tap; with `begin`, from nothing."""
        valid, beat = _quantities(self.monitor)[name]
        with m.If(begin):
            m.d.sync += [values.eq(0), beats.eq(valid)]
        with m.Elif(valid & (beats != self.plan.sample_beats + 1)):
            m.d.sync += beats.eq(beats + 1)
        with m.If(valid):
            m.d.sync += values.eq(_shifted(Mux(begin, 0, Value.cast(values)), Value.cast(beat)))


class Harness(wiring.Component):
    """A network, its clock, and wide channels to and from it.

    A channel is a port that carries a word per event, and the bit of `events` that has the index
    of the port's name in `channels`. An output channel has a new word whenever its bit toggles.
    An input channel takes its word when the word's `toggle`, its top bit, differs from the
    channel's bit of `events`, which then follows: the next word may be put. Whoever reads and puts
    the words does so in the time step of the event. Simulated time stands still meanwhile: however
    slow they are, nothing is lost and the network never waits for them.

    Ports
    -----
    `sample`: packets of the network (`SampleSource`).
    `record0`, ...: what each layer says of each packet (`Recorder`).
    `weights_in0`, `weights_out0`, ...: weights after LOAD and READ (`WeightSource`, `WeightSink`).
    `lr0`, `rule0`, ...: registers of each layer; of those that samples leave, `threshold0`, ...

    Parameters
    ----------
    network
        An `hw.network.Network`, or what looks like it.
    plans
        The plan of each of its layers.
    clock
        Whether an instance of `lel_clock` makes the clock; otherwise it is the port `clk`.
    """

    sample: data.View
    events: Signal

    def __init__(self, network: Any, plans: Sequence[LayerPlan], *, clock: bool = True):
        self.network = network
        self.plans = tuple(plans)
        self.clock = clock
        self._source = SampleSource(self.plans[0], len(network.i.payload.x))
        self._recorders = [
            Recorder(plan, getattr(network, f"layer{i}").counters.shape())
            for i, plan in enumerate(self.plans)
        ]
        self._weight_sources = [WeightSource(plan) for plan in self.plans]
        self._weight_sinks = [WeightSink(plan) for plan in self.plans]

        members: dict[str, Any] = {"sample": In(self._source.word.shape())}
        for i in range(len(self.plans)):
            members[f"record{i}"] = Out(self._recorders[i].word.shape())
            members[f"weights_in{i}"] = In(self._weight_sources[i].word.shape())
            members[f"weights_out{i}"] = Out(self._weight_sinks[i].word.shape())
        #: Names of the channels, in the order of their bits in `events`.
        self.channels = tuple(members)
        #: Names of those that are inputs.
        self.inputs = tuple(name for name, member in members.items() if member.flow is In)
        for i in range(len(self.plans)):
            layer = getattr(network, f"layer{i}")
            members[f"lr{i}"] = In(layer.lr.shape())
            members[f"rule{i}"] = In(Rule)
            if self.plans[i].layer.margin is not None:
                members[f"threshold{i}"] = In(layer.threshold.shape())
        super().__init__({**members, "events": Out(len(self.channels))})

    def elaborate(self, platform):
        m = Module()
        if self.clock:
            m.domains.sync = ClockDomain(reset_less=True)
            m.submodules.clock = Instance("lel_clock", o_clk=ClockSignal())
        m.submodules.network = self.network
        m.submodules.source = self._source
        wiring.connect(m, self._source.o, self.network.i)
        m.d.comb += self._source.word.eq(self.sample)
        events = {"sample": self._source.accepted}

        for i in range(len(self.plans)):
            layer = getattr(self.network, f"layer{i}")
            recorder = self._recorders[i]
            source, sink = self._weight_sources[i], self._weight_sinks[i]
            m.submodules[f"recorder{i}"] = recorder
            m.submodules[f"weight_source{i}"] = source
            m.submodules[f"weight_sink{i}"] = sink
            wiring.connect(m, layer.monitor, recorder.monitor)
            wiring.connect(m, layer.result, recorder.result)
            wiring.connect(m, source.o, layer.weights_in)
            wiring.connect(m, layer.weights_out, sink.i)
            m.d.comb += [
                layer.lr.eq(getattr(self, f"lr{i}")),
                layer.rule.eq(getattr(self, f"rule{i}")),
                recorder.counters.eq(layer.counters),
                recorder.rule.eq(layer.rule),
                getattr(self, f"record{i}").eq(recorder.word),
                getattr(self, f"weights_out{i}").eq(sink.word),
                source.word.eq(getattr(self, f"weights_in{i}")),
            ]
            if self.plans[i].layer.margin is not None:
                m.d.comb += layer.threshold.eq(getattr(self, f"threshold{i}"))
            events[f"record{i}"] = recorder.given
            events[f"weights_in{i}"] = source.accepted
            events[f"weights_out{i}"] = sink.given
        m.d.comb += self.events.eq(Cat(events[name] for name in self.channels))
        return m
