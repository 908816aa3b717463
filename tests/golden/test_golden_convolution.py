# SPDX-License-Identifier: BSD-2-Clause
"""Layers of convolutions: against plain loops, against autograd, and what is refused."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.grad import conv2d_weight

from golden import convolution
from golden.exact import pinned
from golden.model import IntegerNetwork
from golden.spec import CONFIGS, SpecError, load, parse
from tests.golden.conv_reference import ConvReference
from tests.golden.reference import Reference, check_step, noise

IMAGE = {"shape": [2, 4, 4], "classes": 3, "seed": 1}
CONV = {"kind": "conv", "maps": 2, "kernel": 3}


def network(*layers, **table):
    return IntegerNetwork(parse(IMAGE | {"layer": list(layers)} | table, "t.toml"))


def references(net):
    return [(ConvReference if layer.spec.conv else Reference)(layer) for layer in net.layers]


@st.composite
def convolutions(draw, size):
    """Draw layers, one on the other, as long as there is room."""
    layers = []
    for _ in range(draw(st.integers(1, 3))):
        pool = draw(st.sampled_from([1, 2] if size % 2 == 0 else [1]))
        layer = {
            "kind": "conv",
            "maps": draw(st.integers(1, 4)),
            "kernel": draw(st.sampled_from([k for k in (1, 3, 5) if k < 2 * size])),
            "pool": pool,
            "window": draw(st.sampled_from([2, 3])) if pool == 2 else 1,
            "rule": draw(st.sampled_from(["sym", "scfb", "random", "frozen", "tlc"])),
            "loss": draw(st.sampled_from(["ce", "hinge"])),
            "lr": draw(st.integers(2, 10)),
            "dropout": draw(st.sampled_from([0, 0, 3])),
            "init": draw(st.sampled_from(["uniform", "gauss"])),
            "source": draw(st.sampled_from(["lfsr", "array"])),
            "centred": draw(st.booleans()),
        }
        size //= pool
        for key, values in (
            ("yb", st.integers(1, 8)),
            ("wb", st.integers(4, 18)),
            ("mb", st.integers(1, 4)),
            ("fy", st.integers(2, 6)),
            ("gs", st.integers(2, 9)),
            ("cells", st.integers(1, size)),
        ):
            if draw(st.integers(0, 3)) == 3:
                layer[key] = draw(values)
        layers.append(layer)
    top = {"neurons": 3, "rule": draw(st.sampled_from(["sym", "tlc"]))}
    layers += [top | {"centred": draw(st.booleans())}] * draw(st.integers(0, 1))
    return layers


@st.composite
def networks(draw):
    size = draw(st.sampled_from([3, 4, 6, 8]))
    layers = draw(convolutions(size))
    channels = draw(st.integers(1, 3))
    if draw(st.booleans()):
        layers[0]["signed"] = draw(st.booleans())
    return {
        "shape": [channels, size, size],
        "classes": draw(st.integers(2, 5)),
        "seed": draw(st.integers(0, 1000)),
        "batch": draw(st.sampled_from([1, 2, 3, 9])),
        "layer": layers,
    }


@settings(deadline=None, max_examples=60)
@given(table=networks(), seed=st.integers(0, 1000))
def test_against_plain_loops(table, seed):
    described = parse(table, "t.toml")
    net = IntegerNetwork(described)
    random = torch.Generator().manual_seed(seed)
    for layer in net.layers:
        # Means move slowly: these have come a long way.
        layer.A.random_(-layer.spec.grey << 16, 127 << 16, generator=random)
    compared = references(net)
    for _ in range(2):
        check_step(net, compared, *noise(net, described.batch, random))


@pytest.mark.parametrize(("pool", "window"), [(1, 1), (2, 2), (2, 3)])
@pytest.mark.parametrize("channels", [1, 5])
def test_the_largest_numbers(channels, pool, window):
    """Of everything: what float32 does not hold is summed in parts, or in float64."""
    layer = {**CONV, "pool": pool, "window": window, "wb": 18, "kernel": 3, "lr": 0, "gs": -2}
    layer["signed"] = False
    net = network(layer, shape=[channels, 4, 4], batch=9)
    (model,) = net.layers
    high = 1 << 17
    model.W.copy_(
        torch.tensor([high - 1.0, -high])[torch.arange(model.W.numel()) % 3 % 2].view_as(model.W)
    )
    compared = references(net)
    x = torch.full((9, channels * 16), 255, dtype=torch.uint8)
    check_step(net, compared, x, torch.arange(9) % 3)


@settings(deadline=None, max_examples=60)
@given(
    ends=st.sampled_from([(-128, -100), (-128, 127), (0, 15), (200, 255)]),
    top=st.integers(10, 17),
    bias=st.sampled_from([0, 1 << 25]),
    channels=st.integers(1, 5),
    seed=st.integers(0, 1000),
)
def test_sums_near_what_float32_holds(ends, top, bias, channels, seed):
    """Norms tell which sums it holds: of large inputs, of large weights, and of large biases."""
    random = torch.Generator().manual_seed(seed)
    low, high = ends
    x = torch.randint(low, high + 1, (2, channels, 4, 4), generator=random).float()
    kernels = torch.randint(-(1 << top), 1 << top, (3, channels, 3, 3), generator=random)
    # One map of weights of one sign, one that is far smaller.
    kernels = torch.stack([kernels[0], kernels[1].abs(), kernels[2] >> 8]).float()
    biases = torch.randint(bias, bias + 3, (3,), generator=random).double()
    errors = torch.randint(-(1 << top), 1 << top, (2, 3, 4, 4), generator=random).float()
    with pinned():
        z = convolution._convolve(x, kernels, biases, 2**40)
        sums = convolution._correlate(x, errors, 3, 2**40)
    assert torch.equal(z.double(), F.conv2d(x.double(), kernels.double(), biases, padding=1))
    exactly = conv2d_weight(x.double(), kernels.shape, errors.double(), padding=1)
    assert torch.equal(sums.double(), exactly)


@settings(deadline=None, max_examples=40)
@given(
    ends=st.sampled_from([(0, 15), (200, 255), (254, 255)]),
    share=st.sampled_from([1, 8, 64, 4096]),
    signs=st.booleans(),
    apart=st.sampled_from([1, 16]),
    window=st.sampled_from([1, 2, 3]),
    seed=st.integers(0, 1000),
)
def test_sums_of_a_step_near_what_float32_holds(ends, share, signs, apart, window, seed):
    """The sum of errors and the largest input tell too; of errors alone there are large sums.

    Inputs, and where nothing is pooled errors too, may be so far apart.
    """
    random = torch.Generator().manual_seed(seed)
    conv = {**CONV, "pool": 1 + (window > 1), "window": window, "gs": 0, "mb": 4, "signed": False}
    (model,) = network(conv, shape=[2, 16, 16]).layers
    there = (torch.arange(512) % apart == 0).float()
    x = torch.randint(ends[0], ends[1] + 1, (32, 512), generator=random) * there
    kept, y = model.forward(x)
    most = model.spec.g_bound // share
    g = torch.randint(most // 2, most + 1, y.shape, generator=random).float()
    g *= there if window == 1 else 1
    g *= torch.randint(2, y.shape, generator=random) * 2 - 1 if signs else 1
    with pinned():
        sums = model._sums(g, kept)
    side = model.conv.side
    spread = g.double().view(32, 2, side, side)
    if kept.found is not None:
        found = kept.found.flatten(2)
        spread = g.new_zeros(32, 2, 256).double().scatter_add_(2, found, spread.flatten(2))
        spread = spread.view(32, 2, 16, 16)
    exactly = conv2d_weight(kept.x.double(), (2, 2, 3, 3), spread, padding=1).flatten(1)
    assert torch.equal(sums[:, :-1].double(), exactly)
    assert torch.equal(sums[:, -1].double(), spread.sum((0, 2, 3)) * model.spec.one)


def test_a_mean_at_the_other_end():
    """Pixels less their means may be twice as large as pixels less a grey."""
    net = network({**CONV, "pool": 1, "kernel": 1, "centred": True}, shape=[3, 4, 4], batch=9)
    (model,) = net.layers
    model.A.fill_(-128 << 16)
    kept, y = model.forward(torch.full((9, 48), 255.0))
    sums = model._sums(torch.full_like(y, model.spec.g_bound), kept)
    assert sums.max() == model.spec.update_bound(9)


@pytest.mark.parametrize("cells", [1, 2, 3, 5, 6])
@pytest.mark.parametrize("pool", [1, 2])
@pytest.mark.parametrize("rule", [{"rule": "scfb"}, {"rule": "tlc", "lrv": 2}])
def test_cells(cells, pool, rule):
    """Rows and columns of features share cells, evenly or not."""
    size = 6 * pool
    net = network({**CONV, **rule, "pool": pool, "cells": cells}, shape=[1, size, size])
    compared = references(net)
    assert net.layers[0].Mc.shape == (2 * cells**2, 3)
    check_step(net, compared, *noise(net, 1, torch.Generator().manual_seed(cells)))


@pytest.mark.parametrize(("size", "cells", "most"), [(5, 2, 3 * 3), (6, 2, 3 * 3), (4, 4, 1)])
def test_largest_sums_of_cells(size, cells, most):
    """Of the largest of them, where they differ in size."""
    (layer,) = network({**CONV, "cells": cells, "rule": "tlc"}, shape=[1, size, size]).layers
    (kept,) = layer.seen(torch.full((1, 2 * size**2), 255.0))
    assert kept.max() == layer.spec.u_max == 255 * most
    assert layer.spec.classifier_update_bound(7) == 7 * 255 * 255 * most


@pytest.mark.parametrize(("cells", "random", "trained"), [(4, 12, 12), (1, 14, 12)])
def test_scale_of_cells(cells, random, trained):
    """Classifiers of few large cells are small, but start at no less than V has fraction bits."""
    for rule, expected in (("sym", random), ("tlc", trained)):
        (layer,) = network(
            CONV | {"maps": 64, "cells": cells, "rule": rule}, shape=[1, 32, 32]
        ).layers
        assert layer.spec.ms == expected


def test_ties_go_to_the_lowest():
    """Where all that is pooled is equal, the first of four learns."""
    net = network({**CONV, "kernel": 1, "pool": 2, "maps": 1, "signed": False}, shape=[1, 2, 2])
    (model,) = net.layers
    model.W.copy_(torch.tensor([[100.0, 500.0]]))
    kept, y = model.forward(torch.full((1, 4), 9.0))
    assert kept.found.flatten().tolist() == [0]
    assert y.item() > 0


def test_windows_that_overlap():
    """Each reaches one row and one column back; one position may be the largest of four."""
    layer = {**CONV, "kernel": 1, "pool": 2, "window": 3, "maps": 1, "signed": False, "gs": 0}
    net = network(layer, shape=[1, 4, 4])
    (model,) = net.layers
    model.W.copy_(torch.tensor([[1000.0, 0.0]]))
    x = torch.zeros(4, 4)
    x[1, 1], x[3, 2] = 200.0, 100.0
    kept, y = model.forward(x.view(1, 16))
    high = y.max().item()
    assert y.tolist() == [[high] * 4] != [[0.0] * 4]
    assert kept.found.flatten().tolist() == [5, 5, 5, 5]
    g = torch.tensor([[1.0, 2.0, 4.0, 8.0]])
    assert model._sums(g, kept).tolist() == [[15 * 200.0, 15 * 128.0]]
    x[1, 1] = 0.0
    kept, y = model.forward(x.view(1, 16))
    assert [v > 0 for v in y[0].tolist()] == [False, False, False, True]
    # Where all are equal the lowest that is on the map goes on.
    assert kept.found.flatten().tolist() == [0, 1, 4, 14]


def test_means_follow_the_inputs():
    """They settle on the means of what comes in, so that it is centred; in inference they rest."""
    net = network({**CONV, "centred": True}, {"neurons": 4, "centred": True}, batch=64)
    x = torch.tensor([[30] * 16 + [200] * 16] * 64, dtype=torch.uint8)
    for _ in range(150):
        net.train(x, torch.arange(64) % 3)
    first, second = net.layers
    assert first.mean().tolist() == [30 - 128, 200 - 128]
    kept, _ = second.forward(first.infer(x.float())[0])
    assert kept[:, :-1].abs().max() <= 1
    assert torch.equal(kept[:, -1], torch.full((64,), 16.0))
    before = [layer.A.clone() for layer in net.layers]
    net.infer(x)
    assert all(torch.equal(layer.A, A) for layer, A in zip(net.layers, before, strict=True))


def test_means_of_more_than_float32_holds():
    """The sum of a map is over all positions of all samples."""
    (model,) = network({**CONV, "centred": True}, shape=[1, 32, 32], batch=512).layers
    x = torch.randint(200, 256, (512, 1024), generator=torch.Generator().manual_seed(1)).float()
    model.follow(x)
    above = ((x.long() - model.spec.grey).sum() << 16).double()
    assert torch.equal(model.A, (above / 2**model.spec.mean_shift + 0.5).floor()[None])


def test_a_frozen_layer_follows():
    """So that what goes up stays where it was, whatever learns below."""
    net = network({**CONV, "rule": "frozen", "centred": True})
    weights = net.layers[0].W.clone()
    net.train(*noise(net, 1, torch.Generator().manual_seed(1)))
    assert net.layers[0].A.any()
    assert torch.equal(net.layers[0].W, weights)


def test_signed_inputs():
    """By default those of colour are pixels less 128, so that middle grey says nothing."""
    (colour,), (grey,) = network(CONV).layers, network(CONV, shape=[1, 4, 4]).layers
    assert (colour.spec.fx, grey.spec.fx) == (7, 8)
    assert (colour.conv.signed, grey.conv.signed) == (True, False)
    _, y = colour.forward(torch.full((1, 32), 128.0))
    assert not y.any()


@pytest.mark.parametrize("batch", [1, 3])
def test_health(batch):
    """Updates are sums over batch and positions; weights and features are counted."""
    net = network({**CONV, "pool": 2, "lr": 9}, batch=batch)
    (model,), (reference,), watch = net.layers, references(net), net.watch()
    check_step(net, [reference], *noise(net, batch, torch.Generator().manual_seed(2)))
    (counts,) = net.take_health(watch)
    sums = [total for row in reference.sums for total in row]
    k = model.spec.update_shift(9)
    lost = [total for total in sums if total and not total + (1 << k - 1) >> k]
    assert counts["updates"] == len([total for total in sums if total])
    assert counts["updates_lost"] == len(lost) > 0
    assert counts["samples"] == batch
    assert counts["dead"] <= model.spec.neurons == 8


@pytest.mark.parametrize("lr", [0, 3])
@pytest.mark.parametrize(("pool", "window"), [(1, 1), (2, 2), (2, 3)])
def test_the_update_is_the_gradient(pool, window, lr):
    """With numbers of which no shift loses a bit (`tests.golden.test_golden_gradient`)."""
    formats = {"fx": 0, "fw": 8, "fy": 8, "wb": 18, "ms": 0, "gs": 0, "lr": lr}
    layer = {**CONV, **formats, "pool": pool, "window": window, "rule": "scfb", "signed": False}
    net = network(layer, shape=[2, 4, 4], batch=5)
    (model,) = net.layers
    random = torch.Generator().manual_seed(lr)
    W = torch.randint(-3, 4, model.W.shape, generator=random).float()
    model.W.copy_(W)
    x = torch.randint(0, 4, (400, 32), generator=random).byte()
    x = x[(net.infer(x)[0].y < 255).all(1)][:5]
    (step,) = net.train(x, torch.arange(5) % 3)

    weight, bias = W[:, :-1].view(2, 2, 3, 3).requires_grad_(), W[:, -1].clone().requires_grad_()
    z = F.conv2d(x.view(5, 2, 4, 4).float(), weight, bias, padding=1)
    y = F.max_pool2d(z.relu(), window, pool, window - pool).flatten(1)
    assert torch.equal(y.long(), step.y)
    y.backward(step.e.float() @ model.K.T)
    gradient = torch.cat([weight.grad.flatten(1), bias.grad[:, None]], 1)
    # y and e have 8 fraction bits, and weights too.
    expected = torch.floor(gradient * 2.0**-lr + 0.5)
    assert len(expected.unique()) > 10
    assert torch.equal(W - model.W, expected)


@pytest.mark.parametrize("name", ["_convolve", "_correlate"])
def test_parts(monkeypatch, name):
    """Sums are made of parts only where they are too large for float32, and are the same."""
    made, whole = [], getattr(convolution, name)

    def watched(*arguments):
        made.append(len(arguments[0]))
        return whole(*arguments)

    monkeypatch.setattr(convolution, name, watched)
    random = torch.Generator().manual_seed(1)
    x = torch.randint(0, 256, (4, 8, 6, 6), generator=random).float()
    other = (8, 8, 3, 3) if name == "_convolve" else (4, 8, 6, 6)
    for size, parts in ((50, 1), (100_000, 3)):
        made.clear()
        small = torch.randint(-size, size, other, generator=random).float()
        if name == "_convolve":
            got = watched(x, small, torch.zeros(8), 1 << 40)
            expected = F.conv2d(x.double(), small.double(), padding=1)
        else:
            got = watched(x, small, 3, 1 << 40)
            expected = torch.nn.grad.conv2d_weight(
                x.double(), (8, 8, 3, 3), small.double(), padding=1
            )
        assert (len(made) > 1) == (parts > 1)
        assert torch.equal(got.double(), expected)


def test_sizes():
    spec = network({**CONV, "pool": 2}, {"neurons": 5}).spec
    assert spec.sizes == "2x4x4-2x2x2-5"
    assert parse({**IMAGE, "layer": [{"neurons": 5}]}, "t.toml").sizes == "32-5"


def test_small_fits_its_board():
    """The weights of cifar10-small take the bits that the description says, in blocks of an 85F."""
    path = CONFIGS / "cifar10-small.toml"
    *convolutions, full = load(path).layers
    counts = sum(layer.weights for layer in convolutions), full.weights
    bits = sum(layer.weights * layer.wb for layer in (*convolutions, full))
    room = 208 * 18 * 1024
    text = path.read_text()
    assert bits < room
    assert all(f"{number:,}" in text for number in (*counts, bits, room))


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([{**CONV, "kernel": 2}], "layer 0: kernel: must be odd, not 2"),
        ([{**CONV, "kernel": 9}], "layer 0: kernel: must be at most 7 over maps of 4 x 4, where"),
        ([{**CONV, "pool": 3}], "layer 0: pool: must be from 1 to 2, not 3"),
        ([{**CONV, "window": 2}], "layer 0: window: must be 1 for pool = 1, not 2"),
        ([{**CONV, "pool": 2, "window": 1}], "layer 0: window: must be 2 or 3 for pool = 2, not 1"),
        (
            [{**CONV, "kernel": 1, "pool": 2}] * 3,
            "layer 2: pool: maps of 1 x 1 cannot be halved; give 1, or others below",
        ),
        ([{**CONV, "cells": 5}], "layer 0: cells: must be at most 4, the size of the maps, not 5"),
        ([{**CONV, "neurons": 5}], 'layer 0: neurons: is for kind = "dense" only; remove it'),
        ([{**CONV, "sr": True}], 'layer 0: sr: is for kind = "dense" only; remove it'),
        ([{**CONV, "lanes": 2}], 'layer 0: lanes: is for kind = "dense" only; remove it'),
        ([{"neurons": 2, "maps": 2}], 'layer 0: maps: is for kind = "conv" only; remove it'),
        ([{"neurons": 2, "gs": 2}], "layer 0: gs: is for networks with a conv layer; remove it"),
        ([{"neurons": 2}, CONV], "layer 1: kind: a conv layer cannot see positions above a dense"),
        ([CONV, {**CONV, "signed": True}], "layer 1: signed: is for inputs of the network, not of"),
        ([CONV | {"fx": 8}, CONV | {"fx": 8}], "layer 1: fx: must be 4, the fy of the layer below"),
        ([{"kind": "conv", "kernel": 3}], "layer 0: maps: is missing; give a number from 1 to"),
        ([{**CONV, "centred": 1}], "layer 0: centred: must be true or false, not 1"),
        ([{**CONV, "kind": "pool"}], "layer 0: kind: must be one of dense, conv, not 'pool'"),
    ],
)  # fmt: skip
def test_impossible_layers(layers, message):
    with pytest.raises(SpecError) as error:
        network(*layers)
    assert str(error.value).startswith(f"t.toml: {message}")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shape": [1, 4, 6]}, "layer 0: kind: images must be square, not 4 x 6; cut them, or pad"),
        (
            {"shape": None, "inputs": 16},
            "layer 0: kind: the inputs are no image whose",
        ),
        (
            {"data": "wine", "shape": None},
            "layer 0: kind: the inputs are no image whose",
        ),
        ({"shape": [1, 4, 4], "inputs": 15}, "shape: must have 15 numbers, not 16"),
        ({"data": "digits", "shape": [1, 4, 16]}, "shape: must be [1, 8, 8] for digits, not [1, 4"),
        (
            {"shape": [2, 4, 4], "batch": 1025, "layer": [CONV | {"centred": True}]},
            "layer 0: centred: is for batches of at most 1024 samples, not 1025; lower batch, or",
        ),
        ({"shape": [4, 4]}, "shape: must be [channels, rows, columns], each at least 1, not "),
        ({"shape": [0, 4, 4]}, "shape: must be [channels, rows, columns], each at least 1, not "),
        ({"shape": "4x4"}, "shape: must be [channels, rows, columns], each at least 1, not '4x4'"),
        ({"shape": [1, 300, 300]}, "inputs: must be from 1 to 65535, not 90000"),
    ],
)
def test_impossible_images(changes, message):
    table = {"classes": 3, "layer": [CONV], **changes}
    if "data" in table:
        del table["classes"]
    with pytest.raises(SpecError) as error:
        parse({key: value for key, value in table.items() if value is not None}, "t.toml")
    assert str(error.value).startswith(f"t.toml: {message}")


@pytest.mark.parametrize(
    ("shape", "size"), [((5, 5), (1, 5)), ((3, 5, 5), (3, 5)), ((5, 5, 3), None), ((5, 5, 1), None)]
)
def test_images_of_a_file(tmp_path, shape, size):
    """Their shape is that of the arrays; where channels come last, it is refused."""
    x = np.random.default_rng(1).integers(0, 256, (20, *shape), np.uint8)
    np.savez(tmp_path / "images.npz", x=x, y=np.arange(20) % 2)
    table = {"data": "images.npz", "layer": [CONV]}
    if size is None:
        with pytest.raises(SpecError, match="no image whose channels come first"):
            parse(table, "t.toml", tmp_path)
        return
    conv = parse(table, "t.toml", tmp_path).layers[0].conv
    assert (conv.channels, conv.size) == size


def test_greedy():
    """One layer learns after the other, as in networks without convolutions."""
    layers = [CONV, {**CONV, "pool": 2}, {"neurons": 4}]
    net = network(*layers, schedule="greedy", epochs=1, batch=5)
    x, labels = noise(net, 5, torch.Generator().manual_seed(1))
    for turn in range(3):
        before = [layer.W.clone() for layer in net.layers]
        net.train(x, labels, turn)
        changed = [not torch.equal(a, b.W) for a, b in zip(before, net.layers, strict=True)]
        assert changed == [index == turn for index in range(3)]


def test_a_table_whose_rows_are_images(tmp_path):
    """Its features are taken as the description says."""
    rows = np.random.default_rng(1).integers(0, 256, (40, 17))
    rows[:, -1] %= 2
    head = ",".join(f"p{i}" for i in range(17))
    (tmp_path / "rows.csv").write_text("\n".join([head, *(",".join(map(str, r)) for r in rows)]))
    table = {"data": "rows.csv", "shape": [1, 4, 4], "layer": [CONV]}
    assert parse(table, "t.toml", tmp_path).layers[0].conv.size == 4
    with pytest.raises(SpecError, match=r"shape: must have 16 numbers, not 25"):
        parse(table | {"shape": [1, 5, 5]}, "t.toml", tmp_path)
