# SPDX-License-Identifier: BSD-2-Clause
"""The fastest combination that fits, against all combinations."""

import itertools
import random
import time

import pytest

from hw.devices import Resources
from hw.search import Choice, Search


def draw(rng, layers, most, scale=20):
    """Draw choices: more lanes are often faster and larger, but not always."""
    return [
        [
            Choice(
                lanes,
                rng.randint(1, 12) + 60 // lanes,
                Resources(*(rng.randint(0, scale) for _ in range(2)), lanes, rng.randint(0, scale)),
            )
            for lanes in range(1, rng.randint(1, most) + 1)
        ]
        for _ in range(layers)
    ]


def total(base, choices):
    return Resources.sum([base, *(choice.cells for choice in choices)])


@pytest.mark.parametrize("seed", range(150))
def test_all_combinations(seed):
    """No combination that fits is faster, and none within a bound has fewer LUTs."""
    rng = random.Random(seed)
    choices = draw(rng, rng.randint(1, 4), 6)
    base = Resources(3, 2, 0, 1)
    lut, ff, ebr = (rng.randint(5, 60) for _ in range(3))
    limit = Resources(lut, ff, rng.randint(3, 14), ebr)
    search = Search(choices, base, limit)
    fitting = [
        (max(choice.clocks for choice in chosen), total(base, chosen).lut)
        for chosen in itertools.product(*choices)
        if not total(base, chosen).over(limit)
    ]
    bound = search.fastest()
    assert bound == min((clocks for clocks, _luts in fitting), default=None)
    if bound is None:
        assert search.short()
        return
    for slack in (1, 1.3):
        found = search.within(slack * bound)
        assert not total(base, found).over(limit)
        assert total(base, found).lut == min(
            luts for clocks, luts in fitting if clocks <= slack * bound
        )
    below = [other for other in search.bounds if other < bound]
    assert not below or search.short(below[-1])


def test_many_layers():
    """It takes little time, also where everything is short."""
    rng = random.Random(0)
    choices = [
        [
            Choice(
                lanes,
                rng.randint(1, 5) + neurons // lanes,
                Resources(
                    lut=2000 + 120 * lanes + rng.randint(0, 500),
                    ff=2000 + 110 * lanes,
                    dsp=lanes,
                    ebr=lanes // 3 + 300 // lanes,
                ),
            )
            for lanes in range(1, 60)
        ]
        for neurons in (rng.randint(50, 500) for _ in range(64))
    ]
    limit = Resources(lut=64 * 3500, ff=64 * 3400, dsp=64 * 11, ebr=64 * 34)
    begin = time.process_time()
    search = Search(choices, Resources(), limit)
    bound = search.fastest()
    assert not total(Resources(), search.within(bound)).over(limit)
    assert time.process_time() - begin < 10


def test_what_is_short():
    """What any choice lacks is named; else what the fewest LUTs lack."""
    few = Choice(1, 10, Resources(lut=5, ff=0, dsp=1, ebr=9))
    many = Choice(2, 5, Resources(lut=9, ff=0, dsp=2, ebr=5))
    base = Resources(lut=1)
    assert Search([[few, many]], base, Resources(5, 5, 5, 4)).short() == {
        "LUT": (6, 5), "EBR": (5, 4)
    }  # fmt: skip
    assert Search([[few, many]], base, Resources(6, 5, 5, 5)).short() == {"EBR": (9, 5)}
    search = Search([[few, many]], base, Resources(6, 5, 5, 9))
    assert (search.fastest(), search.bounds) == (10, [5, 10])
    assert search.short(5) == {"LUT": (10, 6)}
