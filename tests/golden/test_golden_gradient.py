# SPDX-License-Identifier: BSD-2-Clause
"""With clip and rounding removed, the update is the gradient that autograd finds.

They are removed by the choice of numbers, not by a change of the model. The formats of `EXACT` let
every shift of a step drop zeros only, for weights that are multiples of 2^(fw - fy) and pixels that
are multiples of 2^fx; and samples in which something would saturate are not used. What is left is
the one rounding of the update where the rate is below 1, and that is applied to the gradient.
"""

import pytest
import torch

from golden.model import IntegerNetwork
from golden.spec import parse

#: No shift of y, s, e and g loses a bit: z is a multiple of 2^(fw + fx - fy), and
#: fe = fy + 2 ms makes e one of 2^ms.
EXACT = [
    {"fx": 0, "fw": 8, "fy": 8, "ms": 0, "fe": 8, "lr": 0},
    {"fx": 2, "fw": 10, "fy": 8, "ms": 1, "fe": 10, "lr": 0},
    {"fx": 1, "fw": 11, "fy": 7, "ms": 2, "fe": 11, "lr": 0},
    {"fx": 2, "fw": 10, "fy": 8, "ms": 1, "fe": 10, "lr": 3},
]
INPUTS, NEURONS, CLASSES = 6, 12, 3


def trained(formats, rule, batch):
    """Make a layer, its weights and samples of which none saturates, and train it on them.

    Returns
    -------
    layer, w, x, labels
        The layer after the step, its weights before, and the samples.
    """
    layer = {"neurons": NEURONS, "rule": rule, "wb": 18, **formats}
    table = {"inputs": INPUTS, "classes": CLASSES, "seed": 3, "layer": [layer]}
    network = IntegerNetwork(parse(table, "exact"))
    (model,), p = network.layers, network.spec.layers[0]

    random = torch.Generator().manual_seed(batch)
    w = torch.randint(-9, 10, model.W.shape, generator=random) << (p.fw - p.fy)
    model.W.copy_(w)
    x = torch.randint(0, 4, (3000, INPUTS), generator=random) << p.fx
    step = network.infer(x.byte())[0]
    # The clip of e is that of margins violated by 1 or more: all scores are on their right side,
    # and so exactly one is positive.
    labels = step.s.argmax(1)
    right = ((step.s > 0).sum(1) == 1) & (step.s != 0).all(1) & (step.y < 255).all(1)
    x, labels = x[right][:batch], labels[right][:batch]
    assert len(x) == batch
    (step,) = network.train(x.byte(), labels)
    assert step.e is not None
    assert len(step.e.unique()) > 2
    assert model.W.abs().max() < 2 ** (p.wb - 1) - 1
    return model, w, x, labels


def targets(labels):
    return 2.0 * torch.nn.functional.one_hot(labels, CLASSES).double() - 1


def real(layer, w, x):
    """Give what the integers stand for: weights, inputs with a one behind, and Mc; float64."""
    p = layer.spec
    inputs = torch.cat([x.double() / 2**p.fx, torch.ones(len(x), 1).double()], 1)
    weights = (w.double() / 2**p.fw).requires_grad_()
    return weights, inputs, layer.Mc.double() / 2**p.ms


def check(layer, w, gradient):
    """Compare the step of the weights with the gradient, rounded once to the weights' unit."""
    p = layer.spec
    step = gradient * 2.0 ** (p.fw - p.lr)
    if p.lr == 0:
        assert torch.equal(step, step.round())
    assert len(step.unique()) > 10
    assert torch.equal(w - layer.W.long(), torch.floor(step + 0.5).long())


@pytest.mark.parametrize("batch", [1, 5, 10])
@pytest.mark.parametrize("formats", EXACT)
def test_sym_is_the_gradient_of_the_squared_hinge_loss(formats, batch):
    layer, w, x, labels = trained(formats, "sym", batch)
    weights, inputs, classifier = real(layer, w, x)
    scores = torch.relu(inputs @ weights.T) @ classifier
    loss = torch.clamp(1 - targets(labels) * scores, min=0).square().sum() / 2
    (gradient,) = torch.autograd.grad(loss, weights)
    check(layer, w, gradient)


@pytest.mark.parametrize("batch", [1, 10])
@pytest.mark.parametrize("rule", ["scfb", "random"])
@pytest.mark.parametrize("formats", EXACT)
def test_other_rules_send_the_same_error_back_through_k(formats, rule, batch):
    layer, w, x, labels = trained(formats, rule, batch)
    assert not torch.equal(layer.K, layer.Mc)
    weights, inputs, classifier = real(layer, w, x)
    y = torch.relu(inputs @ weights.T)
    scores = (y @ classifier).detach().requires_grad_()
    loss = torch.clamp(1 - targets(labels) * scores, min=0).square().sum() / 2
    (error,) = torch.autograd.grad(loss, scores)
    back = error @ layer.K.double().T / 2**layer.spec.ms
    (gradient,) = torch.autograd.grad(y, weights, back)
    check(layer, w, gradient)
