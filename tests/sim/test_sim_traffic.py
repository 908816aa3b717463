# SPDX-License-Identifier: BSD-2-Clause
"""The hardware's counters against what `golden.paper.traffic` counts: equal to the word."""

import numpy as np
import pytest

from golden import spec
from golden.paper.traffic import Traffic, ours, translate
from sim.rtl import Rtl
from tests.sim.networks import describe, noise, tiny

#: The counters of a `Traffic`.
NAMES = ("weight_reads", "weight_writes", "macs")
NETWORKS = {
    "digits": spec.load(spec.find("digits")),
    "no whole groups": tiny(),
    "frozen layers": describe(
        {"neurons": 7, "lanes": 3, "rule": "frozen"},
        {"neurons": 5, "lanes": 2, "rule": "scfb"},
        inputs=6,
        classes=3,
    ),
    "frozen above, more lanes than neurons": describe(
        {"neurons": 3, "lanes": 8}, {"neurons": 4, "lanes": 9, "rule": "frozen"}, inputs=5
    ),
}


def totals(rtl):
    """Give what the counters of each layer stand at after the last call."""
    return [Traffic(*(layer[name] for name in NAMES)) for layer in rtl.counters]


def difference(after, before):
    return Traffic(*(a - b for a, b in zip(after, before, strict=True)))


@pytest.fixture(scope="module", params=NETWORKS)
def rtl(request, tmp_path_factory):
    with Rtl(NETWORKS[request.param], folder=tmp_path_factory.mktemp("rtl")) as rtl:
        # The counters are known once something has come out; after a FLUSH nothing is under way.
        for _ in rtl.train(*noise(rtl.spec, 1)):
            pass
        yield rtl


def test_each_step(rtl):
    parts = list(rtl.train(*noise(rtl.spec, 12)))
    for i, layer in enumerate(translate(rtl.spec).layers):
        counters = np.stack(
            [np.concatenate([part[i][f"counters.{name}"] for part in parts]) for name in NAMES], 1
        )
        # The chain fills with the first sample, and when the result of the last one comes, the
        # FLUSH may have begun, which is no step.
        steps = np.diff(counters, axis=0)[1:-1]
        assert steps.tolist() == [list(ours(layer, 1))] * 9


def test_whole_run(rtl):
    samples = 8
    before = totals(rtl)
    for _ in rtl.train(*noise(rtl.spec, samples)):
        pass
    for layer, *ends in zip(translate(rtl.spec).layers, totals(rtl), before, strict=True):
        step = ours(layer, 1)
        # The last update takes a pass of its own, in which nothing meets an input.
        assert difference(*ends) == (
            (samples + 1) * step.reads,
            samples * step.writes,
            samples * step.macs,
        )
