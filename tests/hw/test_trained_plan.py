# SPDX-License-Identifier: BSD-2-Clause
"""How a trained classifier is shared out to multipliers, and what that does to the wait."""

import random

import pytest

from hw.clocks import DENSE, wait_clocks
from hw.trained_plan import TrainedPlan, choices, shared
from tests.hw.bench import plan


@pytest.mark.parametrize("classes", [2, 7, 10, 40])
@pytest.mark.parametrize("drain_width", [1, 2, 5, 8])
def test_multipliers(classes, drain_width):
    """However many there are, no more are taken, and no other way takes fewer clocks with them."""
    ways = [*choices(classes, drain_width, 3)]
    for multipliers in [*range(1, 50), 1024]:
        chosen = shared(classes, drain_width, 3, multipliers)
        assert chosen.multipliers <= multipliers
        assert chosen.units * chosen.places >= drain_width
        assert chosen.words * chosen.width >= classes > (chosen.words - 1) * chosen.width
        assert chosen.units == 1 or chosen.words == 1
        possible = [way.clocks for way in ways if way.multipliers <= multipliers]
        assert chosen.clocks == min(possible)


@pytest.mark.parametrize("lanes", range(1, 129))
def test_default(lanes):
    """The wait of a step stays below twice that of `sym`, if nothing is 0."""
    shape = {"inputs": 784, "neurons": 128, "classes": 10, "lanes": lanes}
    trained, fixed = plan(**shape, rule="tlc"), plan(**shape)
    assert trained.trained.multipliers <= 48
    if trained.drain_width <= 8:
        assert trained.trained.clocks <= 2
        assert wait_clocks(trained, DENSE) < 2 * wait_clocks(fixed, DENSE)


def test_default_for_many_classes():
    """They do not make it take all multipliers of a device."""
    assert 32 < shared(100, 8, 16, None).multipliers <= 48


@pytest.mark.parametrize("active", [0, 0.3, 1])
@pytest.mark.parametrize(("units", "words"), [(1, 1), (1, 3), (3, 1), (4, 1)])
def test_mean_clocks(units, words, active):
    """They are those of beats that are drawn."""
    way = TrainedPlan(classes=9, drain_width=8, beats=1, units=units, words=words)
    rng, drawn = random.Random(1), 2000
    clocks = 0
    for _ in range(drawn):
        beat = [rng.random() < active for _ in range(8)]
        clocks += max(1, words * max(sum(beat[unit::units]) for unit in range(units)))
    assert way.mean_clocks(active) == pytest.approx(clocks / drawn, rel=0.02)
