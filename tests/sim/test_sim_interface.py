# SPDX-License-Identifier: BSD-2-Clause
"""What a network promises to whoever drives it, however its layers work inside."""

import pytest
import torch

from golden.model import IntegerNetwork
from golden.training import start_from, weights_of
from golden.weights import Weights
from hw.ports import LR_WIDTH, Command, Rule
from sim.check import Pair
from sim.rtl import Rtl
from tests.sim.networks import any_weights, describe, noise, same


def send(rtl, command, x=0, label=0):
    """Send one packet and wait for its records."""
    for _ in rtl._packets([command], label, x):
        pass


def mixed():
    """Describe a layer with a random classifier below one whose classifier is trained."""
    return describe(
        {"neurons": 7, "lanes": 3},
        {"neurons": 5, "lanes": 2, "rule": "tlc", "lrv": 4},
        inputs=6,
        classes=3,
    )


def trains_as(rtl, weights, seed):
    """Train and infer beside a golden model that starts with `weights`, bit for bit."""
    golden = IntegerNetwork(rtl.spec)
    start_from(golden, weights)
    pair = Pair(rtl, golden)
    pair.weights()
    for _ in pair.train(*noise(rtl.spec, 10, seed=seed), epoch=0):
        pass
    for _ in pair.infer(*noise(rtl.spec, 3, seed=seed + 1)):
        pass
    pair.weights()


@pytest.mark.parametrize("samples", [1, 4])
def test_weights_are_what_was_loaded(tmp_path, samples):
    """After a LOAD nothing of what was trained before is left."""
    with Rtl(mixed(), folder=tmp_path, quick=True) as rtl:
        for seed, then in enumerate(([], [Command.INFER], [Command.READ])):
            x, labels = noise(rtl.spec, samples, seed=seed)
            for pixels, label in zip(x, labels, strict=True):
                send(rtl, Command.TRAIN, pixels, label)
            weights = any_weights(rtl.spec, seed)
            rtl.load(weights)
            for command in then:
                if command is Command.READ:
                    assert same(rtl.read(), weights)
                else:
                    send(rtl, command, x[0])
            assert same(rtl.read(), weights), then
            trains_as(rtl, weights, seed)


def test_weights_are_current(tmp_path):
    """A READ right after a sample shows what it has made of the weights; samples after it go on."""
    with Rtl(mixed(), folder=tmp_path, quick=True) as rtl:
        golden = IntegerNetwork(rtl.spec)
        x, labels = noise(rtl.spec, 4)
        for pixels, label in zip(x, labels, strict=True):
            send(rtl, Command.TRAIN, pixels, label)
            golden.train(pixels[None], [label])
            expected = weights_of(golden)
            for _ in range(2):
                assert same(rtl.read(), expected)


def test_registers_may_change_when_the_record_has_come(tmp_path):
    """The rule and rate of a sample are those that stood when its errors were made."""
    with Rtl(mixed(), folder=tmp_path, quick=True) as rtl:
        for end in None, Command.INFER:
            golden = IntegerNetwork(rtl.spec)
            weights = any_weights(rtl.spec, 5)
            start_from(golden, weights)
            rtl.load(weights)
            x, labels = noise(rtl.spec, 1, seed=7)
            before = rtl.lr, rtl.rule
            send(rtl, Command.TRAIN, x[0], labels[0])
            rtl.lr = [lr + 2 for lr in rtl.lr]
            rtl.rule = [Rule.FROZEN] * len(rtl.rule)
            if end:
                send(rtl, end, x[0])
            changed = rtl.read()
            rtl.lr, rtl.rule = before
            golden.train(x, labels)
            assert same(changed, weights_of(golden))
            assert not same(changed, weights)


def test_every_learning_rate(tmp_path):
    """A rate out of range acts as the nearest that is in range."""
    spec = describe({"neurons": 3, "lanes": 2, "lr": 4}, inputs=5, classes=3)
    with Rtl(spec, folder=tmp_path, quick=True) as rtl:
        (plan,) = rtl.plans
        weights = Weights(W=(any_weights(spec, 3).W[0] // 4,))
        x, labels = noise(spec, 1, seed=3)
        for lr in range(2**LR_WIDTH):
            rtl.load(weights)
            rtl.lr = [lr]
            for _ in rtl.train(x, labels):
                pass
            golden = IntegerNetwork(spec)
            start_from(golden, weights)
            (model,) = golden.layers
            away = torch.tensor([[1.0 - 2.0 * (c == labels[0]) for c in range(spec.classes)]])
            model.train(torch.from_numpy(x).float(), away, min(max(lr, plan.lr_min), plan.lr_max))
            assert same(rtl.read(), weights_of(golden)), lr
