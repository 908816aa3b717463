# SPDX-License-Identifier: BSD-2-Clause
"""The paper's convolutional networks: their shape, what learns, and which way errors go back."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.nn import functional
from torch.nn.grad import conv2d_input

from golden.paper import convnets
from golden.paper.convnets import ConvFloat, Convolution, Standardise
from golden.paper.rules import RULES
from golden.paper.shapes import NETWORKS

RANDOM = np.random.default_rng(1)
X, LABELS = RANDOM.integers(0, 256, (12, 3072), np.uint8), RANDOM.integers(0, 10, 12)


@pytest.fixture(autouse=True)
def few_images(monkeypatch):
    """Let the data set be a few images of noise."""
    monkeypatch.setattr(convnets.data, "load", lambda _: SimpleNamespace(train_x=X))


def made(rule="sym", **settings):
    given = {"name": rule, "data": "cifar10", "seed": 3, "batch": 4, "epochs": 8, "width": 1 / 16}
    return ConvFloat(rule=rule, **(given | settings)).model()


@pytest.mark.parametrize(("network", "shape"), [("five", NETWORKS[1]), ("ten", NETWORKS[2])])
def test_shapes(network, shape):
    """As the paper counts them in Figure 6: parameters, and activations after pooling."""
    model = made(network=network, width=1)
    weights = sum(p.numel() for block in model.blocks for p in block.parameters() if p.ndim > 1)
    assert weights == shape.total("weights")
    assert [c.weight.shape[1] for c in model.classifiers] == [
        layer.activations for layer in shape.layers
    ]
    assert [s.s.shape for s in model.infer(X[:2])] == [(2, 10)] * len(shape.layers)


@pytest.mark.parametrize("rule", RULES)
def test_feedback(rule):
    """Errors pass kernels as they are, but in feedback alignment through random ones."""
    layer = made(rule).blocks[1][0]
    assert isinstance(layer, Convolution)
    channels = layer.weight.shape[1]
    x = torch.randn(2, channels, 8, 8, requires_grad=True)
    y = layer(x)
    error = torch.randn_like(y)
    back = layer.weight if layer.feedback is None else layer.feedback
    assert (layer.feedback is None) == (rule != "fa")
    to_weight, to_bias, to_x = torch.autograd.grad(y, (layer.weight, layer.bias, x), error)
    assert torch.allclose(to_x, conv2d_input(x.shape, back, error, padding=2), atol=1e-5)
    assert torch.allclose(to_bias, error.sum((0, 2, 3)), atol=1e-5)
    weight = layer.weight.detach().clone().requires_grad_()
    plain = functional.conv2d(x.detach(), weight, layer.bias, padding=2)
    (expected,) = torch.autograd.grad(plain, weight, error)
    assert torch.allclose(to_weight, expected, atol=1e-4)


@pytest.mark.parametrize("fixed", [0, 1, 2])
def test_fixed_layers(fixed):
    """Kernels stay, what normalises their batches learns."""
    model = made(fixed=fixed)
    layers = [next(p for p in block if hasattr(p, "weight")) for block in model.blocks]
    norms = [next(p for p in block if hasattr(p, "running_mean")) for block in model.blocks]
    before = [(a.weight.clone(), b.weight.clone()) for a, b in zip(layers, norms, strict=True)]
    model.train(X[:4], LABELS[:4], 0)
    for k, (weight, scale) in enumerate(before):
        assert torch.equal(layers[k].weight, weight) == (k < fixed)
        assert not torch.equal(norms[k].weight, scale)


def test_dropout():
    """Of the inputs, behind every pooling, and behind every fully connected layer."""
    shares = [
        [part.share for part in block if isinstance(part, convnets.Dropout)]
        for block in made(dropout=True).blocks
    ]
    assert shares == [[0.1, 0.25], [0.25], [0.25], [0.5], [0.5]]


def test_standardise():
    pixels = torch.from_numpy(X)
    images = Standardise(pixels)(pixels / 255)
    assert images.shape == (12, 3, 32, 32)
    assert images.mean(0).abs().max() < 1e-5
    assert (images.var(0, correction=0) - 1).abs().max() < 1e-3


@pytest.mark.parametrize("rule", ["sym", "scfb", "tlc", "fa", "bp"])
def test_it_learns(rule):
    """Twelve images by heart: every classifier's loss falls."""
    model = made(rule, width=1 / 8, epochs=100, lr=0.02)
    losses = []
    for _ in range(30):
        model.train(X, LABELS, 0)
        right = torch.from_numpy(LABELS)
        with torch.no_grad():
            scores = model.scores(torch.from_numpy(X) / 255)
        losses.append([functional.cross_entropy(s, right).item() for s in scores])
    assert all(last < 0.7 * first for first, last in zip(losses[0], losses[-1], strict=True))


def test_complaints():
    with pytest.raises(ValueError, match="network must be one of five, ten, not 'six'"):
        made(network="six")
    with pytest.raises(ValueError, match="rule must be one of sym, "):
        made("frozen")
