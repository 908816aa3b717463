# SPDX-License-Identifier: BSD-2-Clause
"""The float rules: gradients against equations (3) to (6) by hand, draws, dropout, training."""

import io
import math

import numpy as np
import pytest
import torch
from torch import nn

from golden import data, training
from golden.paper.rules import (
    RULES,
    Dropout,
    Float,
    Linear,
    LocalErrors,
    draw,
    local_classifier,
)

SIZES = (7, 6, 5)
BATCH = 9


def run(rule, **settings):
    given = {"name": rule, "data": "digits", "seed": 3, "batch": BATCH, "epochs": 8}
    return Float(rule=rule, **({"neurons": SIZES} | given | settings))


def samples(count=BATCH, seed=1):
    random = np.random.default_rng(seed)
    return random.integers(0, 256, (count, 64), np.uint8), random.integers(0, 10, count)


def layers(model):
    """Give the linear layer of each block."""
    return [block[0] for block in model.blocks]


def array(tensor):
    return tensor.detach().double().numpy()


def class_errors(s, labels):
    """Compute dE/ds (B, C), equation (3), of the mean cross-entropy."""
    share = np.exp(s - s.max(1, keepdims=True))
    share /= share.sum(1, keepdims=True)
    return (share - np.eye(10)[labels]) / len(s)


def by_hand(model, rule, x, labels, scales):
    """Compute all gradients in float64: a list of (dW, db) and one of the classifiers' (dM, db).

    `scales` holds for each block what dropout multiplies each y with.
    """
    x, inputs, active, outputs = x / 255, [], [], []
    for layer, scale in zip(layers(model), scales, strict=True):
        z = x @ array(layer.weight).T + array(layer.bias)
        inputs.append(x)
        active.append((z > 0) * scale)
        x = np.maximum(z, 0) * scale
        outputs.append(x)

    gradients, of_classifiers = [], []
    if rule in ("fa", "bp"):
        (top,) = model.classifiers
        e = class_errors(x @ array(top.weight).T + array(top.bias), labels)
        of_classifiers.append((e.T @ x, e.sum(0)))
        for above, way, a in zip(
            [top, *layers(model)[:0:-1]], inputs[::-1], active[::-1], strict=True
        ):
            back = above.weight if rule == "bp" else above.feedback
            e = (e @ array(back)) * a
            gradients.insert(0, (e.T @ way, e.sum(0)))
    else:
        for classifier, way, a, y in zip(model.classifiers, inputs, active, outputs, strict=True):
            m = array(classifier.weight)
            e = class_errors(y @ m.T, labels)
            of_classifiers.append((e.T @ y, None))
            k = m if rule in ("sym", "tlc") else array(classifier.feedback)
            e = (e @ k) * a
            gradients.append((e.T @ way, e.sum(0)))
    return gradients, of_classifiers


@pytest.mark.parametrize("dropout", [0.0, 0.5, 0.25])
@pytest.mark.parametrize("rule", RULES)
def test_gradients(rule, dropout):
    model = run(rule, dropout=dropout).model()
    # Where y is 0, by dropout or not, nothing passes.
    scales = []
    for block in model.blocks:
        block.register_forward_hook(
            lambda _, __, y: scales.append(array(y != 0) / (1 - dropout) if dropout else 1.0)
        )
    x, labels = samples()
    before = [(layer.weight.clone(), layer.bias.clone()) for layer in layers(model)]
    fixed = [classifier.weight.clone() for classifier in model.classifiers]
    model.lr = 0
    model.train(x, labels, 0)
    # At the rate 0 the weights are still those of the gradients.
    for layer, (weight, bias) in zip(layers(model), before, strict=True):
        assert torch.equal(layer.weight, weight)
        assert torch.equal(layer.bias, bias)
    gradients, of_classifiers = by_hand(model, rule, x, labels, scales)
    for layer, (weight, bias) in zip(layers(model), gradients, strict=True):
        assert np.abs(weight).max() > 1e-5
        assert array(layer.weight.grad) == pytest.approx(weight, rel=1e-4, abs=1e-7)
        assert array(layer.bias.grad) == pytest.approx(bias, rel=1e-4, abs=1e-7)
    for classifier, (weight, bias) in zip(model.classifiers, of_classifiers, strict=True):
        if rule in ("tlc", "fa", "bp"):
            assert array(classifier.weight.grad) == pytest.approx(weight, rel=1e-4, abs=1e-7)
        if rule in ("fa", "bp"):
            assert array(classifier.bias.grad) == pytest.approx(bias, rel=1e-4, abs=1e-7)

    model.lr = 0.1
    model.train(x, labels, 0)
    assert all(
        torch.equal(classifier.weight, weight) == (rule in ("sym", "scfb", "random"))
        for classifier, weight in zip(model.classifiers, fixed, strict=True)
    )


def test_signs_of_feedback():
    random = torch.Generator().manual_seed(1)
    sym, scfb, free, tlc = (
        local_classifier(rule, 400, 10, random) for rule in ("sym", "scfb", "random", "tlc")
    )
    assert sym.feedback is None
    assert tlc.feedback is None
    assert scfb.feedback is not None
    assert torch.equal(scfb.feedback.sign(), scfb.weight.sign())
    assert free.feedback is not None
    assert (free.feedback.sign() == free.weight.sign()).float().mean() == pytest.approx(
        0.5, abs=0.03
    )
    # Magnitudes have nothing to do with each other.
    for feedback, weight in ((scfb.feedback, scfb.weight), (free.feedback, free.weight)):
        pair = torch.stack([feedback.abs().flatten(), weight.detach().abs().flatten()])
        assert abs(torch.corrcoef(pair)[0, 1]) < 0.06
        assert feedback.std() == pytest.approx(math.sqrt(2 / 410), rel=0.05)


@pytest.mark.parametrize("shape", [(10, 1000), (300, 200)])
def test_equation_7(shape):
    std = math.sqrt(2 / sum(shape))
    random = torch.Generator().manual_seed(1)
    uniform, gaussian = (draw(*shape, random, init) / std for init in ("uniform", "gaussian"))
    for matrix in (uniform, gaussian):
        assert matrix.shape == shape
        assert matrix.mean() == pytest.approx(0, abs=0.03)
        assert matrix.std() == pytest.approx(1, rel=0.02)
    assert math.sqrt(3) * 0.999 < uniform.abs().max() <= math.sqrt(3) * 1.001
    # The fourth moments of the two distributions.
    assert (uniform**4).mean() == pytest.approx(1.8, rel=0.03)
    assert (gaussian**4).mean() == pytest.approx(3, rel=0.1)


def test_init_is_that_of_the_classifiers():
    for init, moment in (("uniform", 1.8), ("gaussian", 3)):
        for rule in ("sym", "scfb"):
            (classifier,) = run(rule, init=init, neurons=(1000,)).model().classifiers
            for matrix in (classifier.weight, classifier.feedback):
                if matrix is not None:
                    normed = matrix.detach() / math.sqrt(2 / 1010)
                    assert (normed**4).mean() == pytest.approx(moment, rel=0.1)


def test_dropout():
    dropout = Dropout(0.25, torch.Generator().manual_seed(1))
    y = torch.ones(100, 200)
    out = dropout(y)
    assert out.unique().tolist() == pytest.approx([0, 4 / 3])
    assert (out == 0).float().mean() == pytest.approx(0.25, abs=0.01)
    assert not torch.equal(dropout(y), out)
    dropout.eval()
    assert torch.equal(dropout(y), y)


@pytest.mark.parametrize("rule", ["sym", "tlc", "fa", "bp"])
def test_dropped_neurons_are_not_updated(rule):
    model = run(rule, dropout=0.5, neurons=(40, 40, 40)).model()
    outputs = []
    for block in model.blocks:
        block.register_forward_hook(lambda _, __, y: outputs.append(y[0] != 0))
    before = [layer.weight.clone() for layer in layers(model)]
    model.train(*samples(1), 0)
    above = [*layers(model)[1:], None] if rule in ("sym", "tlc") else None
    for k, kept in enumerate(outputs):
        changed = layers(model)[k].weight != before[k]
        assert not changed[~kept].any()
        assert changed[kept].any()
        if above and above[k] is not None:
            assert not (above[k].weight != before[k + 1])[:, ~kept].any()
        if rule == "tlc":
            gradient = model.classifiers[k].weight.grad
            assert not gradient[:, ~kept].any()
            assert gradient[:, kept].all()


def test_rate():
    model = run("sym", epochs=100).model()
    rates = [model.rate(epoch) for epoch in range(100)]
    assert rates == pytest.approx(25 * [0.1] + 25 * [0.02] + 25 * [0.004] + 25 * [0.0008])
    model = run("sym", epochs=8).model()
    used = []
    for epoch in range(8):
        model.train(*samples(), epoch)
        used += [group["lr"] for group in model.optimizer.param_groups]
    assert used == pytest.approx([0.1, 0.1, 0.02, 0.02, 0.004, 0.004, 0.0008, 0.0008])


def test_nesterov():
    model = run("bp").model()
    parameters = list(model.whole.parameters())
    expected = [p.detach().clone() for p in parameters]
    velocity = [torch.zeros_like(p) for p in parameters]
    for epoch, rate in ((0, 0.1), (0, 0.1), (2, 0.02)):
        model.train(*samples(), epoch)
        for p, w, v in zip(parameters, expected, velocity, strict=True):
            assert p.grad is not None
            v.mul_(0.9).add_(p.grad)
            w.sub_(rate * (p.grad + 0.9 * v))
            assert torch.allclose(p, w, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("rule", ["scfb", "tlc", "fa"])
def test_restore(rule):
    described = run(rule, dropout=0.5, batch_norm=rule == "fa")
    first, second = described.model(), described.model()
    for step in range(3):
        first.train(*samples(seed=step), 0)
    file = io.BytesIO()
    torch.save(first.state(), file)
    file.seek(0)
    saved = torch.load(file, weights_only=True)
    ends = []
    # `first` goes on, `second` begins anew, and then once more from the same state.
    for model, begin in ((first, None), (second, saved), (second, saved)):
        if begin:
            model.restore(begin)
        for step in range(3, 6):
            model.train(*samples(seed=step), 4)
        ends.append(model.state())
    for end in ends[1:]:
        assert torch.equal(ends[0]["generator"], end["generator"])
        for key, value in ends[0]["weights"].items():
            assert torch.equal(value, end["weights"][key])
    assert not torch.equal(saved["weights"]["0.0.0.weight"], ends[0]["weights"]["0.0.0.weight"])


def test_state_is_not_changed_by_training():
    model = run("sym", dropout=0.5).model()
    model.train(*samples(), 0)
    state = model.state()
    text = repr(state)
    model.train(*samples(), 0)
    assert repr(state) == text


def test_seed():
    def end(seed):
        model = run("sym", seed=seed, dropout=0.5).model()
        model.train(*samples(), 0)
        return layers(model)[0].weight

    outside = torch.get_rng_state()
    assert torch.equal(end(1), end(1))
    assert not torch.equal(end(1), end(2))
    # No other random numbers are drawn.
    assert torch.equal(torch.get_rng_state(), outside)


def test_infer():
    x, _ = samples(20)
    for rule, count in (("sym", 3), ("bp", 1)):
        model = run(rule, dropout=0.5).model()
        said, again = model.infer(x), model.infer(x)
        assert len(said) == count
        for a, b in zip(said, again, strict=True):
            assert a.s.shape == (20, 10)
            assert torch.equal(a.s, b.s)
            assert torch.equal(a.prediction, a.s.argmax(1))


def test_pixels_are_from_0_to_1():
    model = run("sym").model()
    (scores, *_) = model.infer(np.full((1, 64), 255, np.uint8))
    layer, classifier = layers(model)[0], model.classifiers[0]
    y = torch.relu(layer.weight.sum(1) + layer.bias)
    assert torch.allclose(scores.s[0], classifier.weight @ y, atol=1e-5)


def test_batch_norm_comes_before_the_non_linearity():
    kinds = [type(part) for part in run("fa", batch_norm=True, dropout=0.5).model().blocks[1]]
    assert kinds == [Linear, nn.BatchNorm1d, nn.ReLU, Dropout]


def test_convolution_joins():
    """A block of another kind learns by the same rule: its map is flattened to the classifier."""
    random = torch.Generator().manual_seed(1)
    block = nn.Sequential(
        nn.Unflatten(1, (1, 8, 8)), nn.Conv2d(1, 3, 3), nn.ReLU(), nn.MaxPool2d(2)
    )
    classifier = local_classifier("scfb", 3 * 3 * 3, 10, random)
    model = LocalErrors([block], [classifier], random, epochs=4, lr=0.0, momentum=0.9)
    x, labels = samples()
    model.train(x, labels, 0)
    y = block(torch.from_numpy(x) / 255).flatten(1)
    e = class_errors(array(y) @ array(classifier.weight).T, labels)
    back = torch.from_numpy(e @ array(classifier.feedback)).float()
    gradient, _ = torch.autograd.grad(y, list(block.parameters()), back)
    assert torch.allclose(next(block.parameters()).grad, gradient, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("rule", RULES)
def test_learns(rule):
    digits = data.load("digits")
    described = run(rule, batch=50, epochs=20, neurons=(60, 60), batch_norm=rule == "fa")
    model = described.model()
    for epoch in range(described.epochs):
        for _ in training.steps(model, digits, epoch, seed=1, batch=described.batch):
            pass
    shares = training.accuracy(model, digits.test_x, digits.test_y)
    assert len(shares) == (1 if rule in ("fa", "bp") else 2)
    for share in shares:
        assert share < 0.3 if rule == "random" else share > 0.9


def test_complaints():
    with pytest.raises(
        ValueError, match=r"^rule must be one of sym, scfb, random, tlc, fa, bp, not 'symm'$"
    ):
        run("symm")
    with pytest.raises(ValueError, match=r"^init must be one of uniform, gaussian, not 'normal'$"):
        run("sym", init="normal")


def test_digest():
    one = run("sym")
    assert one.digest == run("sym", name="other").digest
    others = [
        run("tlc"),
        run("sym", dropout=0.5),
        run("sym", init="gaussian"),
        run("sym", batch_norm=True),
        run("sym", neurons=(7, 6)),
        run("sym", lr=0.2),
    ]
    assert len({one.digest, *(other.digest for other in others)}) == 7
