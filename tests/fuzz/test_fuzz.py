# SPDX-License-Identifier: BSD-2-Clause
"""Whole networks drawn at random, bit for bit beside the golden model; and what is drawn."""

from collections import Counter

import numpy as np
import pytest

from golden import events, exits
from golden.model import IntegerNetwork
from golden.training import start_from
from hw.plan import LayerPlan
from sim.check import MismatchError
from sim.stalled_layer import STREAMS
from tests.fuzz import fuzzing
from tests.fuzz.case import LOADS, SAMPLE_KINDS, Case, Material, Run, read
from tests.fuzz.drawing import RULES
from tests.fuzz.fuzzing import FuzzError, fuzz

#: Networks are drawn in parts, for processes that work side by side; each begins with the smallest.
PARTS, COUNT = 2, 11


# One that fails is made smaller for up to five minutes.
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("part", range(PARTS))
def test_networks(part):
    assert fuzz(part, COUNT)["networks"] == COUNT


def leave(spec, steps):
    """Say how a sample that is inferred leaves."""
    sure = [exits.margins(step.s.numpy()) for step in steps]
    thresholds = [
        None if layer.margin is None else layer.threshold(layer.margin) for layer in spec.layers
    ]
    layer = exits.leaving(np.stack(sure, axis=1), thresholds[:-1])[0]
    if layer < len(sure) - 1:
        return ["leaves"]
    return ["might have left"] if spec.layers[-1].exits else []


def in_the_golden_model(case):
    """Count what a case makes a network do, without hardware."""
    material, counts = Material(case), Counter()
    golden = IntegerNetwork(material.spec)
    for number, run in enumerate(case.runs):
        for k, packet in enumerate(run.packets):
            name, *kind = packet.split()
            counts[packet] += 1
            if name == "load":
                start_from(golden, material.load(*kind, number, k))
            elif name != "read":
                x, label = material.sample(*kind, number, k)
                if name == "infer":
                    counts.update(leave(material.spec, golden.infer(x[None])))
                steps = golden.train(x[None], [label], epoch=run.epoch)
                for layer in events.count(material.spec, x[None], steps, run.epoch):
                    counts.update({name: int(value[0]) for name, value in layer.items()})
    return counts


def undone(drawn, counts):
    """Name what networks can do, and what can be done to them, and none of those drawn has met."""
    layers = [layer for case in drawn for layer in case.spec.layers]
    plans = [LayerPlan(layer) for layer in layers]
    done = {
        "one to four layers": {len(case.spec.layers) for case in drawn} == {1, 2, 3, 4},
        "both schedules": {case.spec.schedule for case in drawn} == {"all", "greedy"},
        "all rules": {layer.rule for layer in layers} == set(RULES),
        "both losses": {layer.loss for layer in layers} == {"hinge", "ce"},
        "both beginnings": {layer.init for layer in layers} == {"uniform", "gauss"},
        "health and sr, alone and together": len({(each.health, each.sr) for each in layers}) == 4,
        "many inputs": max(layer.inputs for layer in layers) > 1024,
        "many neurons": max(layer.neurons for layer in layers) > 100,
        "whole groups and parts": len({each.neurons % each.lanes == 0 for each in layers}) == 2,
        "more lanes than neurons": any(layer.lanes > layer.neurons for layer in layers),
        "four widths of the drain": len({plan.drain_width for plan in plans}) > 3,
        "a drain that is no multiple of the units of V": any(
            plan.trained and plan.drain_width % plan.trained.units for plan in plans
        ),
        "lists and whole samples": {case.sparse for case in drawn} == {True, False},
    }
    for name in STREAMS:
        done[f"{name}: with stalls, and without"] = len({c.stalls[name] > 0 for c in drawn}) == 2
    for key in ("wb", "fw", "mb", "fe", "lr", "fy", "fx", "yb", "ms", "init_bits", "dropout"):
        done[f"three values of {key}"] = len({getattr(layer, key) for layer in layers}) > 2
    packets = [f"{name} {kind}" for name in ("train", "infer") for kind in SAMPLE_KINDS]
    loads = [f"load {kind}" for kind in LOADS]
    for name in ("read", *packets, *loads, *events.COUNTS, "leaves", "might have left"):
        done[name] = counts[name] > 0
    return [name for name, seen in done.items() if not seen]


def test_what_is_drawn():
    """Few networks suffice to do together all that networks can do."""
    drawn: list[Case] = []
    counts = Counter()

    def look(case):
        drawn.append(case)
        return in_the_golden_model(case)

    # What a number draws is not the same with each version of hypothesis: some more may be needed.
    for part in range(20):
        counts += fuzz(part, COUNT, look)
        if not (left := undone(drawn, counts)):
            break
    assert not left, f"none of {len(drawn)} networks"
    # Each part begins with the smallest.
    assert len({case.text() for case in drawn}) > 0.8 * len(drawn)


TINY = {"name": "case", "inputs": 3, "classes": 2, "layer": [{"neurons": 2, "lanes": 2}]}


def test_a_case_is_kept(tmp_path):
    network = {**TINY, "layer": [{"neurons": 5, "lanes": 2, "rule": "scfb"}, *TINY["layer"]]}
    runs = (Run(0, ("train half", "read")), Run(1, ("load any",)))
    case = Case(network, 7, dict.fromkeys(STREAMS, 64), True, runs)
    (tmp_path / "case.toml").write_text(case.text())
    assert read(tmp_path / "case.toml") == case


def test_what_fails_is_left_as_small_as_can_be(tmp_path, monkeypatch):
    monkeypatch.setattr(fuzzing, "FOLDER", tmp_path)

    def attempt(case):
        if any(layer.neurons > 20 for layer in case.spec.layers):
            raise AssertionError("more than 20")
        return Counter()

    with pytest.raises(FuzzError, match=r"^more than 20\nto try it again: make fuzz CASE=") as got:
        fuzz(1, 100, attempt)
    (path,) = tmp_path.glob("failed-*.toml")
    assert str(path) in str(got.value)
    case = read(path)
    (layer,) = case.spec.layers
    assert (layer.inputs, layer.neurons, layer.lanes, layer.rule) == (1, 21, 1, RULES[0])
    (run,) = case.runs
    assert len(run.packets) <= 2


def test_a_weight_is_read_as_soon_as_it_may_be():
    """One group, and hardly an event but that of the bias: each is updated and read in a row."""
    network = {**TINY, "classes": 4, "layer": [{"neurons": 3, "lanes": 3, "lr": 4}]}
    packets = ["load any", *["train empty"] * 6, *["train rare"] * 6, "load any"]
    fuzzing.try_case(Case(network, 5, runs=(Run(0, (*packets, *["train empty"] * 6)),)))


def test_a_difference_is_found(monkeypatch):
    """The whole way, with a golden model that is wrong."""
    step = IntegerNetwork.train

    def wrong(network, x, labels, epoch=0):
        steps = step(network, x, labels, epoch)
        network.layers[-1].W[0, -1] += 1
        return steps

    monkeypatch.setattr(IntegerNetwork, "train", wrong)
    case = Case(TINY, runs=(Run(0, ("infer half", "train half")),))
    with pytest.raises(MismatchError, match=r"weights: layer 0, after sample 1, W\[0, 3\]"):
        fuzzing.try_case(case)
