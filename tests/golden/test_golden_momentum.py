# SPDX-License-Identifier: BSD-2-Clause
"""Momentum: as the contract has it, and nothing of it where it is off."""

import copy

import numpy as np
import pytest

from golden import sweep
from golden.model import IntegerNetwork
from golden.runs import Integer
from golden.spec import SpecError
from tests.sim.networks import describe, noise, tiny


def clip(v, bits):
    return np.clip(v, -(1 << bits - 1), (1 << bits - 1) - 1)


def rs(v, k):
    return v + (1 << k - 1) >> k if k > 0 else v << -k


@pytest.mark.parametrize(
    ("layer", "momentum"),
    [
        ({"neurons": 7, "lr": 9}, 230),
        # Its velocity saturates.
        ({"neurons": 7, "lr": 0, "wb": 6, "fw": 5, "rule": "random"}, 255),
        # A step is shifted left.
        ({"neurons": 7, "lr": 0, "fe": 6, "fx": 4}, 128),
        ({"neurons": 7, "lr": 8, "rule": "tlc", "dropout": 2}, 1),
    ],
)
@pytest.mark.parametrize("batch", [1, 8])
def test_as_the_contract_has_it(layer, momentum, batch):
    described = describe(layer, inputs=6, classes=3)
    network, p = IntegerNetwork(described, momentum), described.layers[0]
    learned = network.layers[0]
    velocity = np.zeros((p.neurons, p.columns), np.int64)
    weights = learned.W.long().numpy()
    limits = 0
    for seed in range(40):
        x, labels = noise(described, batch, seed)
        (step,) = network.train(x, labels)
        inputs = np.column_stack([x, np.full(batch, p.one)]).astype(np.int64)
        a = clip(rs(step.g.numpy().T @ inputs, p.update_shift(p.lr) - 8), p.wb + 12)
        velocity = clip(rs(momentum * velocity, 8) + a, p.wb + 12)
        weights = clip(weights - rs(a + rs(momentum * velocity, 8), 8), p.wb)
        assert np.array_equal(learned.W.numpy(), weights)
        # A weight that is at its limit does not tell.
        assert learned.velocity is not None
        assert np.array_equal(learned.velocity.numpy(), velocity)
        limits += np.sum(np.abs(velocity) >= (1 << p.wb + 11) - 1)
    assert np.any(velocity)
    assert limits or momentum != 255


def test_it_is_part_of_the_state():
    described = tiny()
    whole, cut = (IntegerNetwork(described, 230) for _ in range(2))
    whole.train(*noise(described, 8))
    cut.restore(copy.deepcopy(whole.state()))
    for network in whole, cut:
        network.train(*noise(described, 8, seed=1))
    for a, b in zip(whole.layers, cut.layers, strict=True):
        assert a.W.equal(b.W)
        assert a.velocity is not None
        assert a.velocity.any()


def test_off_it_leaves_no_trace():
    """Not in what is kept, nor in the names of runs that were made without it."""
    described = describe({"neurons": 7}, inputs=64, data="digits")
    plain, momentum = (
        Integer.of(described, name="a run", momentum=momentum) for momentum in (0, 230)
    )
    assert plain.digest == Integer.of(described, name="a run").digest != momentum.digest
    assert "momentum" not in plain.settings
    assert plain.model().layers[0].velocity is None
    assert "velocity" not in plain.model().layers[0].state()
    assert momentum.model().layers[0].momentum == momentum.settings["momentum"] == 230


STUDY = """\
network = "digits"
[[axis]]
name = "momentum"
points = [
  { at = "none", wb = 10 },
  { at = "0.9", wb = 10, momentum = 230 },
]
"""


def test_a_study(tmp_path):
    path = tmp_path / "my.toml"
    path.write_text(STUDY.replace("wb = 10", "wb = 12"))
    study = sweep.load(path)
    assert [point.base for point in study.axes[0].points] == [True, False]
    assert [run.momentum for run in sweep.runs(study)] == [0, 230]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("momentum = 230", "momentum = 256"), "momentum: must be from 0 to 255, not 256"),
        (("momentum = 230", "momentum = 0.9"), "momentum: must be a whole number, not 0.9"),
        (("230", "230, sr = true"), "momentum: is not for layers with sr; remove either"),
    ],
)
def test_a_study_that_is_wrong(tmp_path, change, message):
    path = tmp_path / "my.toml"
    path.write_text(STUDY.replace(*change))
    with pytest.raises(SpecError) as caught:
        sweep.load(path)
    assert str(caught.value) == f"{path}: axis 0: point 1: {message}"


def test_not_with_stochastic_rounding():
    described = describe({"neurons": 7, "wb": 8, "sr": True}, inputs=6)
    with pytest.raises(ValueError, match="there is no momentum with sr; remove either"):
        IntegerNetwork(described, 230)


def test_a_description_has_none():
    with pytest.raises(SpecError, match="momentum: unknown key"):
        describe({"neurons": 7, "momentum": 230}, inputs=6)
