# SPDX-License-Identifier: BSD-2-Clause
"""The integer model against the contract's check values and a slow reference."""

import copy

import numpy as np
import pytest
import torch

from golden import lfsr
from golden.exact import exact, pinned, project, rounded_product, rs
from golden.model import IntegerNetwork
from golden.spec import parse
from tests.golden.reference import Reference, check_step, network, noise


def test_check_values():
    net = network(fw=12)
    (layer,) = net.layers
    assert layer.Mc.tolist() == [
        [1, 3, 1, -3, 3, 1, -3, -1, 3, -3],
        [-1, 1, 3, 1, -1, 3, -1, -1, -3, 3],
    ]
    assert layer.W.tolist() == [[1887, 675, 1189, -581, 0], [1641, 2027, 187, -1533, 0]]
    for x, label in [([200, 0, 17, 255], 3), ([3, 90, 250, 40], 0), ([128, 128, 1, 77], 7)]:
        net.train(torch.tensor([x], dtype=torch.uint8), [label])
    assert layer.W.tolist() == [[1741, 631, 1157, -748, -119], [1588, 1942, 96, -1579, -99]]


def test_lfsr_leaps_as_it_steps():
    seed = 0x123456789ABCDEF1
    a = [seed >> t & 1 for t in range(64)]
    while len(a) < 64 + 5000:
        a.append(a[-64] ^ a[-63] ^ a[-61] ^ a[-60])
    assert lfsr.fields(seed, 5000, 1).tolist() == a[64:]
    assert lfsr.fields(1, 68, 1).tolist() == [1] + 59 * [0] + [1, 1, 0, 1, 1, 0, 0, 0]


@pytest.mark.parametrize("batch", [1, 3, 9])
@pytest.mark.parametrize("rule", ["sym", "scfb", "random", "frozen", "tlc"])
@pytest.mark.parametrize(
    ("lower", "upper"),
    [
        ({}, {}),
        ({"dropout": 3}, {"dropout": 1}),
        ({"yb": 6}, {"yb": 3}),
        ({}, {"sr": True}),
        ({"loss": "ce"}, {"loss": "ce", "fy": 2}),
        ({"init": "gauss"}, {"init": "gauss", "mb": 1}),
    ],
    ids=["plain", "dropout", "activation bits", "stochastic rounding", "cross-entropy", "Gaussian"],
)
def test_against_reference(rule, batch, lower, upper):
    table = {
        "inputs": 6,
        "classes": 5,
        "seed": 7,
        "lr_step": 2,
        "epochs": 4,
        "layer": [
            {"neurons": 7, "rule": rule, "lr": 3, "mb": 3, **lower},
            {"neurons": 3, "rule": rule, "lr": 3, "wb": 9, "fw": 9, **upper},
        ],
    }
    if rule == "tlc":
        table["layer"][0]["lrv"] = 5
    net = IntegerNetwork(parse(table | {"batch": batch}, "reference"))
    references = [Reference(layer) for layer in net.layers]
    random = torch.Generator().manual_seed(1)
    for step in range(10):
        check_step(net, references, *noise(net, batch, random), epoch=step % 4)


def trained(steps=30, **changes):
    """Train a small network; give all that its steps and its weights are."""
    layer = {"neurons": 90, "lr": 4, "mb": 4, "fe": 12} | changes
    table = {"inputs": 150, "classes": 10, "batch": 9, "layer": [layer, layer]}
    net, random = IntegerNetwork(parse(table, "trained")), np.random.default_rng(1)
    made = []
    for _ in range(steps):
        x = random.integers(0, 256, (9, 150)).astype(np.uint8)
        for step in [*net.train(x, random.integers(0, 10, 9)), *net.infer(x)]:
            made += [None if a is None else a.tolist() for a in step]
    return made, [(a.W.tolist(), a.Mc.tolist(), a.W.dtype, str(a.W.device)) for a in net.layers]


@pytest.mark.parametrize("rule", ["scfb", "tlc"])
@pytest.mark.parametrize(
    "formats",
    [{"dropout": 2}, {"wb": 18, "fw": 16}, {"wb": 10, "sr": True, "lr": 22}],
    ids=["dropout", "wide", "stochastic rounding"],
)
@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_what_a_process_has_set_changes_nothing(rule, formats, kind):
    expected = trained(3, rule=rule, **formats)
    torch.set_default_dtype(kind)
    torch.set_default_device("meta")
    torch.set_float32_matmul_precision("medium")
    lower = torch.float16 if kind is torch.float64 else kind
    try:
        with torch.autocast("cpu", dtype=torch.bfloat16 if lower is kind else lower):
            assert trained(3, rule=rule, **formats) == expected
        assert torch.get_float32_matmul_precision() == "medium"
        assert torch.get_default_dtype() is kind
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_default_device(None)
        torch.set_float32_matmul_precision("highest")


def test_the_precision_of_products_is_pinned_and_given_back():
    matmul = torch.backends.mkldnn.matmul
    matmul.fp32_precision = "bf16"
    try:
        with pinned():
            assert matmul.fp32_precision == "ieee"
            assert not torch.is_autocast_enabled("cpu")
        assert matmul.fp32_precision == "bf16"
        with pytest.raises(ValueError, match="labels must"):
            network().train(np.zeros((1, 4), np.uint8), [99])
        assert matmul.fp32_precision == "bf16"
    finally:
        matmul.fp32_precision = "none"


def test_an_update_that_is_shifted_left():
    # Sums that just fit float32, to which a half must not be added.
    changes = {"neurons": 4, "mb": 7, "fe": 15, "ms": 0, "fw": 16, "wb": 18, "lr": 0, "fx": 0}
    table = {"inputs": 3, "classes": 3, "layer": [changes]}
    random = torch.Generator().manual_seed(3)
    for seed in range(20):
        net = IntegerNetwork(parse(table | {"seed": seed}, "left"))
        references = [Reference(layer) for layer in net.layers]
        for _ in range(10):
            check_step(net, references, *noise(net, 1, random))


@pytest.mark.parametrize("k", [0, -1, -5])
def test_nothing_is_added_where_nothing_is_cut_off(k):
    odd = torch.tensor([[2.0**23 + 1]], dtype=torch.float32)
    one, whole = torch.ones(1, 1), (2**23 + 1) << -k
    assert rs(odd, k).long().tolist() == [[whole]]
    assert rounded_product(odd, one, 2**23 + 1, k).long().tolist() == [[whole]]
    assert rounded_product(-odd, one, 2**23 + 1, k).long().tolist() == [[-whole]]


def test_a_trained_classifier_starts_at_the_random_one():
    (trained,), (fixed,) = network(rule="tlc").layers, network().layers
    assert torch.equal(trained.Mc, fixed.Mc * 2 ** (12 - fixed.spec.ms))


def test_a_restored_network_goes_on_as_it_would_have():
    changes = {"rule": "tlc", "dropout": 3, "sr": True, "wb": 9, "fw": 9, "lr": 3}
    whole, random = network(**changes), torch.Generator().manual_seed(1)
    batches = [noise(whole, 1, random) for _ in range(40)]
    for x, labels in batches[:20]:
        whole.train(x, labels)
    cut = network(**changes)
    cut.restore(copy.deepcopy(whole.state()))
    for x, labels in batches[20:]:
        for one, other in zip(whole.train(x, labels)[0], cut.train(x, labels)[0], strict=True):
            assert torch.equal(one, other)
    assert torch.equal(whole.layers[0].W, cut.layers[0].W)


def test_streams_go_on_where_they_were():
    stream, seed = lfsr.Stream(77), 77
    expected = lfsr.fields(seed, 50000, 3).tolist()
    assert [*stream.fields(7, 3), *stream.fields(40000, 3)] == expected[:40007]
    assert lfsr.Stream(stream.state).fields(9993, 3).tolist() == expected[40007:]


@pytest.mark.parametrize("size", [1, 40, 2047])
def test_project_is_exact(size):
    # From sums that float32 holds as a whole, through those of halves, to those that need float64.
    random = torch.Generator().manual_seed(1)
    for batch in (1, 7, 8, 33):
        x = torch.randint(0, 256, (batch, 785), generator=random)
        w = torch.randint(-size, size + 1, (50, 785), generator=random)
        x[0], w[0], w[1, :300] = 255, size, size
        bound = 255 * 785 * size
        assert torch.equal(project(x.float(), w.float(), bound).long(), x @ w.T)


def test_exact():
    assert exact(2**24) is torch.float32
    assert exact(2**24 + 1) is torch.float64
    assert exact(2**53) is torch.float64
    with pytest.raises(ValueError, match="use smaller batches"):
        exact(2**53 + 1)


def test_prediction_is_the_lowest_of_the_largest():
    net = network()
    net.layers[0].W.zero_()
    assert net.infer(torch.zeros(1, 4, dtype=torch.uint8))[0].prediction.tolist() == [0]


def test_rs():
    assert rs(torch.tensor([-3.0, -2, -1, 1, 2, 3]), 1).tolist() == [-1, -1, 0, 1, 1, 2]
    assert rs(torch.tensor([3.0]), -2).tolist() == [12]


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((1, 5), np.uint8), r"shape \(B, 4\), not torch.uint8 \(1, 5\)"),
        (np.zeros(4, np.uint8), r"shape \(B, 4\), not torch.uint8 \(4,\)"),
        (np.zeros((1, 4)), r"type uint8 .*, not torch.float64 \(1, 4\)"),
        (np.zeros((1, 4), int), r"type uint8 .*, not torch.int64 \(1, 4\)"),
    ],
)
def test_wrong_pixels(x, message):
    net = network()
    with pytest.raises(ValueError, match=message):
        net.infer(x)
    with pytest.raises(ValueError, match=message):
        net.train(x, [0])


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 10], r"from 0 to 9, not \[0, 10\]"),
        ([-1, 0], r"from 0 to 9, not \[-1, 0\]"),
        ([0], r"shape \(2,\), one for each sample, not torch.int64 \(1,\)"),
        ([0.0, 1.0], "labels must be integers"),
    ],
)
def test_wrong_labels(labels, message):
    net = network()
    before = net.layers[0].W.clone()
    with pytest.raises(ValueError, match=message):
        net.train(np.zeros((2, 4), np.uint8), labels)
    assert torch.equal(net.layers[0].W, before)
