# SPDX-License-Identifier: BSD-2-Clause
"""The health of a training, against a count number by number."""

import numpy as np
import pytest

from golden import spec
from golden.health import SIGNS, shares
from golden.model import IntegerNetwork

SIZES = {"inputs": 7, "classes": 3}


def network(batch=1, **keys):
    layers = [{"neurons": 6, **keys}, {"neurons": 5, "wb": 4, "fw": 4, "fy": 8, "lr": 3, **keys}]
    return IntegerNetwork(spec.parse({**SIZES, "batch": batch, "layer": layers}, "x.toml"))


def samples(batch):
    random = np.random.default_rng(3)
    for _ in range(36 // batch):
        x = random.integers(0, 256, (batch, SIZES["inputs"]), np.uint8)
        x[random.random(x.shape) < 0.4] = 0
        yield x, random.integers(0, SIZES["classes"], batch)


def one_by_one(net, batch, lr):
    """Train, and count in each layer from the steps what the page says."""
    totals = [dict.fromkeys((*SIGNS, "samples", "updates"), 0) for _ in net.layers]
    alive = [set() for _ in net.layers]
    for x, labels in samples(batch):
        before = [layer.W.clone() for layer in net.layers]
        steps = net.train(x, labels)
        below = x.tolist()
        for i, (layer, step, counts) in enumerate(zip(net.layers, steps, totals, strict=True)):
            p, y, g = layer.spec, step.y.tolist(), step.g.tolist()
            k = p.fe + p.fx - p.fw + lr[i]
            x_of = [[*row, p.one] for row in below]
            counts["samples"] += batch
            counts["no_error"] += sum(not any(e) for e in step.e.tolist())
            counts["saturated"] += sum(row.count(2**p.yb - 1) for row in y)
            alive[i] |= {n for row in y for n, value in enumerate(row) if value}
            for n in range(p.neurons):
                for j in range(p.columns):
                    total = sum(g[b][n] * x_of[b][j] for b in range(batch))
                    counts["updates"] += total != 0
                    if p.sr:
                        # What chance has rounded shows in the weight alone.
                        lost = bool(layer.W[n, j] == before[i][n, j])
                    else:
                        lost = (total + (1 << (k - 1))) >> k == 0
                    counts["updates_lost"] += total != 0 and lost
            below = y
    for counts, layer, living in zip(totals, net.layers, alive, strict=True):
        counts["dead"] = layer.spec.neurons - len(living)
        ends = {-(2 ** (layer.spec.wb - 1)), 2 ** (layer.spec.wb - 1) - 1}
        counts["at_limit"] = sum(int(w) in ends for w in layer.W.flatten())
    return totals


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize(
    "keys", [{}, {"rule": "scfb", "yb": 5, "dropout": 2}, {"loss": "ce", "yb": 6}]
)
def test_against_every_number(batch, keys):
    net = network(batch, **keys)
    watch = net.watch()
    expected = one_by_one(net, batch, [6, 3])
    assert net.take_health(watch) == expected
    # So that each of them says something.
    top = expected[1]
    assert top["at_limit"]
    assert top["saturated"]
    assert 0 < top["updates_lost"] < top["updates"]


def test_stochastic_rounding():
    net = network(sr=True, wb=10, fw=5)
    watch = net.watch()
    expected = one_by_one(net, 1, [6, 6])
    assert not any(layer["at_limit"] for layer in expected)
    assert all(0 < layer["updates_lost"] < layer["updates"] for layer in expected)
    assert net.take_health(watch) == expected


def test_idle():
    """Neurons that are never active are dead; samples beyond the margin have no error."""
    net = network()
    watch = net.watch()
    net.layers[0].W.fill_(-1)
    net.layers[1].W.zero_()
    net.layers[1].W[2:, -1] = 7
    net.layers[1].Mc.copy_(net.layers[1].Mc.new_tensor([3, -3, -3]).expand(5, 3) * 100)
    net.train(np.full((1, 7), 200, np.uint8), [0])
    one, other = net.take_health(watch)
    assert (one["dead"], one["no_error"], one["updates"]) == (6, 0, 0)
    assert (other["dead"], other["no_error"], other["updates"]) == (2, 1, 0)
    assert shares(net.layers[1].spec, other) == {
        "at_limit": 3 / 35, "updates_lost": 0, "saturated": 0, "no_error": 1, "dead": 2 / 5
    }  # fmt: skip


def test_frozen_and_anew():
    net = network(rule="frozen")
    watch = net.watch()
    for x, labels in samples(1):
        net.train(x, labels)
    assert [layer["updates"] for layer in net.take_health(watch)] == [0, 0]
    again = net.take_health(watch)
    assert [layer["samples"] for layer in again] == [0, 0]
    assert [layer["dead"] for layer in again] == [6, 5]


def test_changes_no_bit():
    one, other = network(), network()
    other.watch()
    for x, labels in samples(1):
        one.train(x, labels)
        other.train(x, labels)
    for a, b in zip(one.layers, other.layers, strict=True):
        assert a.W.equal(b.W)
