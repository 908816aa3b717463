# SPDX-License-Identifier: BSD-2-Clause
"""Cross-entropy by tables: beside softmax in floats, of drawn scores and of a training's own."""

import pytest
import torch

from golden import data
from golden.loss import cross_entropy, tl
from golden.model import IntegerNetwork
from golden.spec import CONFIGS, load
from golden.training import accuracy, steps

#: Units of 2^-8 by which e may differ from that of an exact softmax at most, and in the mean, by
#: the number of classes.
MOST = {2: 8, 10: 8, 100: 8, 1024: 9}
MEAN = {2: 1.5, 10: 0.45, 100: 0.3, 1024: 0.3}


def exactly(s, labels, point):
    """Compute 256 times the softmax, less 1 at the label, cut off as e is; float64."""
    e = torch.softmax(s.double() / 2.0**point, 1)
    e[torch.arange(len(s)), labels] -= 1
    return (256 * e).clamp(-255, 255)


def deviations(s, labels, point):
    right = torch.nn.functional.one_hot(labels, s.shape[1]).bool()
    return (cross_entropy(s, right, point) - exactly(s, labels, point)).abs()


@pytest.mark.parametrize("point", [3, 5, 8, 16])
@pytest.mark.parametrize("spread", [0.3, 1.0, 2.0, 8.0])
@pytest.mark.parametrize("classes", MOST)
def test_beside_the_softmax(classes, spread, point):
    random = torch.Generator().manual_seed(classes)
    s = torch.randn(200_000 // classes, classes, generator=random) * spread * 2**point
    labels = torch.randint(0, classes, (len(s),), generator=random)
    off = deviations(s.round(), labels, point)
    assert off.max() <= MOST[classes]
    assert off.mean() <= MEAN[classes]


def test_of_many_scores():
    random = torch.Generator().manual_seed(1)
    widths = 2.0 ** torch.randint(0, 12, (200_000, 1), generator=random)
    s = (torch.randn(200_000, 10, generator=random) * widths).round()
    off = deviations(s, torch.randint(0, 10, (len(s),), generator=random), 8)
    assert 7 < off.max() <= MOST[10]
    assert off.mean() <= MEAN[10]


@pytest.mark.parametrize("classes", MOST)
def test_scores_that_are_all_equal(classes):
    """The sum is as large as it can be: the last entry of the table of logarithms."""
    s, right = torch.zeros(1, classes), torch.arange(classes)[None] == 1
    e = cross_entropy(s, right, 8)[0].tolist()
    assert len(tl(classes)) == 32 * classes + 1
    assert e[0] == pytest.approx(256 / classes, abs=3)
    assert e[1] == max(e[0] - 256, -255)


def test_ends_of_the_range():
    """However far apart, nothing wraps; an error of -256 is cut off."""
    far = torch.tensor([[2.0**46, -(2.0**46)]], dtype=torch.float64)
    right = torch.tensor([[False, True]])
    for point in (-4, 0, 5, 30):
        assert cross_entropy(far, right, point).tolist() == [[255, -255]]
        assert cross_entropy(far, ~right, point).tolist() == [[0, 0]]


class Watched(IntegerNetwork):
    """A network that keeps how far every class error of its training is off."""

    def __init__(self, network):
        super().__init__(network)
        self.off = []

    def train(self, x, labels, epoch=0):
        made = super().train(x, labels, epoch)
        for layer, step in zip(self.spec.layers, made, strict=True):
            expected = exactly(step.s, torch.as_tensor(labels).long(), layer.fy + layer.ms)
            assert step.e is not None
            self.off.append((step.e - expected).abs())
        return made


def test_a_training_of_digits():
    """All samples of two epochs, in both layers; which then know most of the test set."""
    described = load(CONFIGS / "digits-ce.toml", epochs=2)
    assert described.data is not None
    samples, watched = data.load(described.data), Watched(described)
    for epoch in range(2):
        for _ in steps(watched, samples, epoch, seed=1, batch=1):
            pass
    off = torch.cat(watched.off)
    assert off.shape == (2 * 2 * len(samples.train_x), 10)
    assert off.max() <= MOST[10]
    assert off.mean() <= MEAN[10]
    assert min(accuracy(watched, samples.test_x, samples.test_y)) > 0.9
