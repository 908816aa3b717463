# SPDX-License-Identifier: BSD-2-Clause
"""Cross-entropy in gates against the contract: tables, classes of any number, all distances."""

import math
import random
import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw.local_error import cross_entropy
from hw.local_error.cross_entropy import CrossEntropy, beats, latency, lookups
from hw.ports import Command
from tests.hw.bench import clip, plan
from tests.hw.local_error.test_error_unit import feed

TE = [math.floor(1024 * math.exp(-i / 32) + 0.5) for i in range(256)]
TP = [math.floor(256 * math.exp(-i / 32) + 0.5) for i in range(256)]


def tl(k):
    return math.floor(32 * math.log((32 * k + 16) / 1024) + 0.5)


def errors(layer, s, label):
    """Follow the contract word by word."""
    k = layer.fy + layer.ms - 5
    far = [max(s) - score for score in s]
    a = [min(d >> k if k >= 0 else d << -k, 255) for d in far]
    logarithm = tl(sum(TE[i] for i in a) >> 5)
    p = [TP[min(i + logarithm, 255)] for i in a]
    return [clip(v - 256 * (c == label), -255, 255) for c, v in enumerate(p)]


def check(plan, samples, rng):
    feed(plan, samples, rng, made=CrossEntropy, errors=errors, early=True)


@st.composite
def plans(draw):
    return plan(
        neurons=draw(st.integers(1, 60)),
        classes=draw(st.integers(2, 12) | st.integers(2, 40)),
        mb=draw(st.integers(1, 3)),
        fy=draw(st.integers(0, 8)),
        ms=draw(st.integers(0, 8)),
        loss="ce",
    )


@given(plan=plans(), seed=st.integers(0, 2**32))
@settings(deadline=None, max_examples=25)
def test_errors(plan, seed):
    """Scores far apart, near each other, equal, or one that leads."""
    rng, layer = random.Random(seed), plan.layer
    bound, nat = layer.s_bound, 1 << max(layer.fy + layer.ms, 0)
    samples = []
    for _ in range(12):
        center, spread = rng.randint(-bound, bound), rng.choice([0, nat, 4 * nat, 9 * nat, bound])
        s = [
            clip(center + rng.randint(-spread, spread), -bound, bound) for _ in range(layer.classes)
        ]
        if rng.random() < 0.3:
            s[rng.randrange(layer.classes)] = bound
        command = rng.choice([Command.TRAIN] * 4 + [Command.INFER])
        samples.append((command, rng.randrange(layer.classes), s))
    check(plan, samples, rng)


@pytest.mark.parametrize(("fy", "ms"), [(4, 4), (2, 3), (2, 1), (0, -3)])
def test_every_distance(fy, ms):
    """Each index of each table, of two classes, and the right one before and behind."""
    p = plan(neurons=3, classes=2, mb=2, fy=fy, ms=ms, loss="ce")
    k, top = max(fy + ms - 5, 0), p.layer.s_bound
    far = [*range(0, min(280 << k, 2 * top), max(1 << k, 1)), 2 * top]
    samples = [(Command.TRAIN, d % 2, [top, top - d] if d % 3 else [top - d, top]) for d in far]
    check(p, samples, random.Random(0))


@pytest.mark.parametrize("classes", [2, 3, 6, 7, 10, 11, 26])
def test_every_class(classes):
    """The largest score and the label in every place, the last of a pass included."""
    p = plan(neurons=20, classes=classes, loss="ce")
    rng, low = random.Random(classes), -p.layer.s_bound
    samples = []
    for best in range(classes):
        s = [low + rng.randrange(200) for _ in range(classes)]
        s[best] = low + 200
        samples.append((Command.TRAIN, rng.randrange(classes), s))
    check(p, samples, rng)


def test_a_sample_that_is_sure_changes_nothing():
    """Errors are all 0 where the label's probability is 1, and at inference."""
    p = plan(neurons=20, classes=10, loss="ce")
    top, low = p.layer.s_bound, -p.layer.s_bound
    sure = [low] * 9 + [top]
    assert not any(errors(p.layer, sure, 9))
    wrong = errors(p.layer, sure, 0)
    assert (wrong[0], wrong[9], any(wrong[1:9])) == (-255, 255, False)
    packets = [(Command.TRAIN, 9), (Command.TRAIN, 0), (Command.INFER, 0), (Command.TRAIN, 9)]
    check(p, [(command, label, sure) for command, label in packets], random.Random(0))


def test_check_values():
    """The tables and the errors that stand in the contract."""
    page = (Path(__file__).parents[3] / "docs" / "contract.md").read_text(encoding="utf-8")
    blocks = [part.split("```")[0] for part in page.split("```toml\n")[1:]]
    values = next(t for t in map(tomllib.loads, blocks) if "cross_entropy" in t)["cross_entropy"]
    for name, fraction in ("TE", 10), ("TP", 8):
        table = cross_entropy.exponentials(fraction)
        assert table[: len(values[name]["entries"])] == values[name]["entries"]
        assert sum(table) == values[name]["sum"]
    logs, first = cross_entropy.logarithms(10), values["TL"]["first"]
    assert logs[first : first + 4] == values["TL"]["entries"]
    assert (len(logs), logs[-1]) == (321, values["TL"]["last"])
    assert cross_entropy.logarithms(1024)[:321] == logs
    p = plan(neurons=4, classes=10, fy=4, ms=values["point"] - 4, loss="ce")
    assert errors(p.layer, values["s"], values["label"]) == values["e"]
    check(p, [(Command.TRAIN, values["label"], values["s"])], random.Random(0))


def test_delay():
    """Two lookups a clock are enough for 10 classes; more classes take more, not longer."""
    p = plan(neurons=64, lanes=64, classes=10, loss="ce")
    assert (lookups(p), beats(p)) == (2, 5)
    assert latency(p) <= 24
    assert latency(plan(classes=1000, loss="ce")) < 50
