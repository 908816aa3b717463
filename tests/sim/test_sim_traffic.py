# SPDX-License-Identifier: BSD-2-Clause
"""Where nothing is zero: what the hardware's counters say, and what skipping zeros costs then."""

from contextlib import contextmanager

import numpy as np
import pytest

from golden.events import dense
from golden.paper.shapes import translate
from golden.paper.traffic import Traffic, ours
from golden.weights import Weights
from sim.rtl import Rtl
from tests.sim.networks import describe

#: How much more of multipliers times clocks a dense step may take than it did.
MORE = 1.03
#: Inputs, neurons, and lanes and clocks of a dense step in the engine of two multipliers a lane,
#: which skipped nothing: it passed once over all columns for each group of neurons, and then waited
#: for the drain of the last group, the scores, the errors and the first local errors. The clocks
#: were estimated, by a formula that met those counted in simulation to the clock.
SHAPES = [(256, 32, 8, 1075), (784, 32, 16, 1633), (784, 128, 64, 1635)]
STEPS = 8


@contextmanager
def training(spec, folder):
    """Train a layer on samples without zeros, so that all errors and activations stay nonzero.

    The rate is so low that no weight changes, and the activations, all 1, are too small for scores
    of any use.
    """
    (layer,) = spec.layers
    x = np.random.default_rng(1).integers(1, 256, (STEPS, layer.inputs), np.uint8)
    weights = np.zeros((layer.neurons, layer.columns), int)
    weights[:, -1] = 2 ** (layer.fw + layer.fx - layer.fy) // layer.one
    with Rtl(spec, folder=folder, quick=True) as rtl:
        rtl.load(Weights(W=(weights,)))
        records = [record for (record,) in rtl.train(x, np.arange(STEPS) % spec.classes)]
        made = {name: np.concatenate([part[name] for part in records]) for name in records[0]}
        assert (made["y"] == 1).all()
        assert (made["e"] != 0).all()
        assert np.array_equal(rtl.read().W[0], weights)
        yield rtl, made


def one_layer(inputs, neurons, lanes, **keys):
    return describe({"neurons": neurons, "lanes": lanes, "lr": 23, **keys}, inputs=inputs)


@pytest.mark.parametrize(("inputs", "neurons", "lanes", "clocks"), SHAPES)
@pytest.mark.parametrize("multipliers", ["as many lanes", "as many multipliers"])
def test_dense_steps_take_no_more_than_they_did(
    inputs, neurons, lanes, clocks, multipliers, tmp_path
):
    # Twice the lanes have half the groups.
    now = lanes if multipliers == "as many lanes" else 2 * lanes
    spec = one_layer(inputs, neurons, now)
    groups = -(-neurons // now)
    assert groups * now == -(-neurons // lanes) * lanes
    with training(spec, tmp_path) as (_, made):
        cycles = np.diff(made["counters.cycles"])[2:]
        for name in ("forward", "update"):
            assert (np.diff(made[f"counters.{name}"])[2:] == groups * (inputs + 1)).all()
    assert now * cycles.mean() <= MORE * 2 * lanes * clocks


@pytest.mark.parametrize("neurons", [6, 7])
@pytest.mark.parametrize("rule", ["sym", "frozen"])
def test_dense_traffic(neurons, rule, tmp_path):
    """What `golden.paper.traffic` counts, equal to the word."""
    spec = one_layer(20, neurons, 3, rule=rule)
    ((step,), (layer,)) = translate(spec).layers, spec.layers
    with training(spec, tmp_path) as (rtl, _):
        (counters,) = rtl.counters
        events = Traffic(
            counters["weight_reads"],
            counters["weight_writes"],
            counters["weight_reads"],
        )
        assert events == tuple(STEPS * words for words in ours(step))
        assert events.macs == STEPS * dense(layer)
        assert counters["columns_skipped"] == counters["groups_skipped"] == 0
        assert counters["updates_skipped"] == STEPS * (rule == "frozen")
