# SPDX-License-Identifier: BSD-2-Clause
"""Gaussian classifiers: every weight against the fields it is made of, and their distribution."""

from math import log2, sqrt

import numpy as np
import pytest

from golden.dense import IntegerLayer
from golden.spec import parse


def layer_of(neurons=7, classes=5, **keys):
    table = {"neurons": neurons, "init": "gauss"} | keys
    described = parse({"inputs": 3, "classes": classes, "seed": 3, "layer": [table]}, "gauss")
    return IntegerLayer(described.layers[0])


def sums(seed, count, terms, mb):
    """Sum odd numbers of fields that are drawn bit by bit."""
    a, made = [seed >> t & 1 for t in range(64)], []
    for _ in range(count):
        total = 0
        for _ in range(terms):
            u = 0
            for i in range(mb):
                a.append(a[-64] ^ a[-63] ^ a[-61] ^ a[-60])
                u += a[-1] << i
            total += 2 * u - 2**mb + 1
        made.append(total)
    return made


@pytest.mark.parametrize("mb", [1, 2, 3, 8])
@pytest.mark.parametrize("neurons", [7, 20, 90, 120])
@pytest.mark.parametrize("rule", ["sym", "scfb", "random", "tlc"])
def test_against_the_fields(rule, neurons, mb):
    layer = layer_of(neurons, mb=mb, rule=rule, ms=8)
    p = layer.spec
    first, second = (sums(p.seeds[k], neurons * 5, p.terms, mb) for k in (1, 2))
    coupled = [abs(b) if a > 0 else -abs(b) for a, b in zip(first, second, strict=True)]
    start = [a << 4 for a in first]
    classifier = start if rule == "tlc" else first
    feedback = {"scfb": coupled, "random": second}.get(rule, classifier)
    assert layer.Mc.flatten().tolist() == classifier
    assert layer.K.flatten().tolist() == feedback
    assert 0 not in first
    assert max(map(abs, first)) <= p.random_bound


def test_all_numbers_of_terms_are_chosen():
    assert {layer_of(n, ms=4).spec.terms for n in (7, 20, 90, 120)} == {3, 5, 7}
    assert layer_of(init="uniform").spec.terms == 1


@pytest.mark.parametrize("mb", range(1, 9))
def test_nearest_to_equation_7(mb):
    """Of all terms and powers of two, by looking at each; uniform weights are farther off."""
    for neurons in range(1, 300, 7):
        p = layer_of(neurons, mb=mb).spec

        def off(terms, ms, size=neurons + 5):
            return abs(log2(sqrt(terms * (4**mb - 1) / 3) / 2**ms / sqrt(2 / size)))

        found = off(p.terms, p.ms)
        assert found == pytest.approx(min(off(f, k) for f in (3, 5, 7) for k in range(-2, 20)))
        assert found <= log2(1.15)


@pytest.mark.parametrize("mb", [1, 2, 4])
@pytest.mark.parametrize("neurons", [1000, 1400, 2000])
def test_moments(neurons, mb):
    """Mean, variance, symmetry and tails of 50,000 weights or more are those of the sum."""
    layer = layer_of(neurons, 50, mb=mb, rule="random")
    terms, one = layer.spec.terms, (4**mb - 1) / 3
    for matrix in (layer.Mc, layer.K):
        values = matrix.numpy().astype(np.float64).ravel()
        count, variance = len(values), terms * one
        assert abs(values.mean()) < 4 * sqrt(variance / count)
        assert values.var() == pytest.approx(variance, rel=0.03)
        normal = values / sqrt(variance)
        assert abs((normal**3).mean()) < 0.06
        # Kurtosis: 3 for a Gaussian, 9/5 for one uniform number of many bits. Of a sum it nears 3.
        odd = 2.0 * np.arange(2**mb) - 2**mb + 1
        expected = 3 + ((odd**4).mean() / one**2 - 3) / terms
        assert (normal**4).mean() == pytest.approx(expected, abs=0.1)
        assert 2.3 < expected < 3
    both = np.corrcoef(layer.Mc.numpy().ravel(), layer.K.numpy().ravel())[0, 1]
    assert abs(both) < 4 / sqrt(layer.Mc.numel())
