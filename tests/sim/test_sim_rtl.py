# SPDX-License-Identifier: BSD-2-Clause
"""The compiled network as an object: calls that are abandoned, wrong, or never answered."""

import numpy as np
import pytest

from hw.plan import LayerPlan
from hw.ports import CLOCK_COUNTERS, COUNTERS, Command
from sim.harness import burst
from sim.rtl import Rtl
from sim.verilator import SimulationError
from tests.sim.networks import noise, tiny


@pytest.fixture
def rtl(tmp_path):
    with Rtl(tiny(), folder=tmp_path) as rtl:
        yield rtl


def test_abandoned_call_is_finished(rtl):
    x, labels = noise(rtl.spec, 500)
    next(rtl.train(x, labels))
    once = rtl.read()
    rtl.load(rtl.read())
    assert all(np.array_equal(a, b) for a, b in zip(once.W, rtl.read().W, strict=True))


def test_all_samples_come_in_order(rtl):
    x, labels = noise(rtl.spec, 300)
    for layer in zip(*rtl.train(x, labels), strict=True):
        assert np.concatenate([part["label"] for part in layer]).tolist() == labels.tolist()
        assert all((part["command"] == Command.TRAIN.value).all() for part in layer)


def test_local_errors_come_with_updates(rtl):
    """A run may end with TRAIN; only samples whose errors change weights have local errors."""
    x, labels = noise(rtl.spec, 5)
    commands = [Command.TRAIN, Command.INFER, Command.TRAIN, Command.INFER, Command.TRAIN]
    records = list(rtl.run(commands, labels, x))
    for k, plan in enumerate(rtl.plans):
        layer = {name: np.concatenate([r[k][name] for r in records]) for name in records[0][k]}
        updates = layer["e"].any(axis=1)
        assert updates[0]
        assert not updates[[1, 3]].any()
        assert layer["g_beats"].tolist() == (plan.sample_beats * updates).tolist()
        assert not layer["g"][~updates].any()


def test_counters(rtl):
    """They say what happened so far, also of the packet that ends a call."""
    x, labels = noise(rtl.spec, 3)
    for _ in rtl.train(x, labels):
        pass
    rtl.read()
    for counters in rtl.counters:
        assert set(counters) == set(COUNTERS)
        assert counters["cycles"] == sum(counters[name] for name in CLOCK_COUNTERS)
        assert 0 < counters["cycles"] <= rtl.clocks
    first, plan = rtl.counters[0], rtl.plans[0]
    assert first["columns_skipped"] == (x == 0).sum()
    assert first["forward"] == plan.groups * ((x != 0).sum() + len(x))


def test_silence_is_an_error(tmp_path):
    with (
        pytest.raises(SimulationError, match=r"did nothing for \d+ clocks; missing: 1 of record0"),
        Rtl(tiny(), folder=tmp_path) as rtl,
    ):
        # Weights are asked for, but never sent.
        for _ in rtl._packets([Command.LOAD]):
            pass


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ({}, r"gave what nothing asked for: weights_out0$"),
        # One word too few is asked of one layer, one too many of the other.
        ({"weights_out0": -1, "weights_out1": 1}, r"gave too much: 1 of weights_out0$"),
    ],
)
def test_surplus_is_an_error(tmp_path, outputs, message):
    plans = [LayerPlan(layer) for layer in tiny().layers]
    counts = [plan.layer.weights // burst(plan) for plan in plans]
    wrong = {name: counts[int(name[-1])] + change for name, change in outputs.items()}
    with (
        pytest.raises(SimulationError, match=message),
        Rtl(tiny(), folder=tmp_path) as rtl,
    ):
        for _ in rtl._packets([Command.READ], outputs=wrong):
            pass


def test_simulation_that_dies(tmp_path):
    def crash():
        with Rtl(tiny(), folder=tmp_path) as rtl:
            rtl._connection.send("what the bench cannot understand")
            rtl.read()

    with pytest.raises(SimulationError, match=r"sim\.bench failed(.|\n)*AttributeError"):
        crash()
