# SPDX-License-Identifier: BSD-2-Clause
"""The paper's learning rules in floats (sections 3, 3.1 and 5.1): local errors, and its baselines.

A network is a list of blocks, of which each ends in its activations y. With local errors every
block has a classifier of its own and sees its input detached, so that no error passes from one to
the next; feedback alignment and backpropagation have one classifier, on the top, whose error passes
all blocks. What differs between rules, other than that, is what an error is multiplied with on
its way back: `Linear` and its `feedback`. Blocks need not be fully connected: a classifier flattens
what they give.

What the paper leaves open is chosen as follows. Trained weights and biases start as PyTorch lets
them, uniform within ±1 / sqrt(inputs); the matrices of feedback alignment are drawn like the
weights that they stand for. Batches are of 100 samples.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from golden.data_spec import DATA_SIZES
from golden.runs import Run

__all__ = [
    "CLASSES",
    "INITS",
    "LOCAL_RULES",
    "RULES",
    "Dropout",
    "Feedback",
    "Float",
    "FloatNetwork",
    "Linear",
    "LocalErrors",
    "Scores",
    "TopError",
    "draw",
    "local_classifier",
    "network_of",
    "trained",
]

#: Local errors with K = M, with K of the signs of M, with any K, and with K = M that learns.
LOCAL_RULES = ("sym", "scfb", "random", "tlc")
#: The others are feedback alignment and backpropagation.
RULES = (*LOCAL_RULES, "fa", "bp")
INITS = ("uniform", "gaussian")
CLASSES = 10
#: The rate is divided by DECAY after each of QUARTERS equal parts of the epochs.
DECAY = 5
QUARTERS = 4


class Feedback(torch.autograd.Function):
    """Go forward through one matrix and backward through another."""

    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> Tensor:
        """Compute x W^T + b of x (B, M), weight (N, M), bias (N,) or None, feedback (N, M)."""
        x, weight, bias, feedback = inputs
        ctx.save_for_backward(x, feedback)
        return functional.linear(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, *errors: Any) -> tuple[Tensor | None, ...]:
        """Send an error (B, N) back through `feedback`, and to the weights as ever."""
        (error,) = errors
        x, feedback = ctx.saved_tensors
        to_x, to_weight, to_bias, _ = ctx.needs_input_grad
        return (
            error @ feedback if to_x else None,
            error.T @ x if to_weight else None,
            error.sum(0) if to_bias else None,
            None,
        )


class Linear(nn.Module):
    """A matrix and perhaps a bias: a fully connected layer, or a classifier.

    Parameters
    ----------
    weight
        W or M: (outputs, inputs).
    bias
        (outputs,), or none.
    feedback
        What errors go back through, of the shape of `weight`: the paper's K, transposed. Without
        it they go back through `weight`.
    learns
        Whether weight and bias are trained.
    """

    feedback: Tensor | None

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor | None = None,
        feedback: Tensor | None = None,
        *,
        learns: bool = True,
    ):
        super().__init__()
        self.weight = nn.Parameter(weight, requires_grad=learns)
        self.bias = None if bias is None else nn.Parameter(bias, requires_grad=learns)
        # It follows from the seed, so a checkpoint need not hold it.
        self.register_buffer("feedback", feedback, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Compute x (B, ...), flattened, times the weights: (B, outputs)."""
        x = x.flatten(1)
        if self.feedback is None:
            return functional.linear(x, self.weight, self.bias)
        return Feedback.apply(x, self.weight, self.bias, self.feedback)  # pyright: ignore[reportReturnType]


class Dropout(nn.Module):
    """Drop a share of the neurons in each sample, and let the others stand in for them.

    A dropped neuron gives 0 to all that follows, and no error passes it: the gradients of its
    incoming and outgoing weights are 0.
    """

    def __init__(self, share: float, generator: torch.Generator):
        super().__init__()
        self.share, self.generator = share, generator

    def forward(self, y: Tensor) -> Tensor:
        """Drop some of y (B, ...), but only in training."""
        if not self.training:
            return y
        # Three times as fast as bernoulli_.
        random = torch.rand(y.shape, device=y.device, generator=self.generator)
        return y * random.ge_(self.share).div_(1 - self.share)


def draw(outputs: int, inputs: int, generator: torch.Generator, init: str = "uniform") -> Tensor:
    """Draw a matrix (outputs, inputs) by equation (7), "uniform" or "gaussian"."""
    std = math.sqrt(2 / (inputs + outputs))
    matrix = torch.empty(outputs, inputs, device=generator.device)
    if init == "gaussian":
        return matrix.normal_(0, std, generator=generator)
    bound = math.sqrt(3) * std
    return matrix.uniform_(-bound, bound, generator=generator)


def trained(
    inputs: int, outputs: int, generator: torch.Generator, *, aligned: bool = False
) -> Linear:
    """Make a layer, or the classifier on the top; where `aligned`, with random feedback."""
    bound = 1 / math.sqrt(inputs)

    def uniform(*shape: int) -> Tensor:
        return torch.empty(shape, device=generator.device).uniform_(
            -bound, bound, generator=generator
        )

    weight, bias = uniform(outputs, inputs), uniform(outputs)
    return Linear(weight, bias, uniform(outputs, inputs) if aligned else None)


def local_classifier(
    rule: str, neurons: int, classes: int, generator: torch.Generator, init: str = "uniform"
) -> Linear:
    """Make the local classifier of a rule; `init` as for `draw`."""
    m, k = (draw(classes, neurons, generator, init) for _ in range(2))
    feedback = {"sym": None, "tlc": None, "scfb": m.sign() * k.abs(), "random": k}[rule]
    return Linear(m, feedback=feedback, learns=rule == "tlc")


class Scores(NamedTuple):
    """What a classifier says of a batch: s (B, C), float32, and the prediction (B,), int64."""

    s: Tensor
    prediction: Tensor


class FloatNetwork(ABC):
    """Blocks, classifiers, and their training by Nesterov's gradient and cross-entropy.

    Parameters
    ----------
    blocks
        Bottom first; the first takes pixels (B, M) from 0 to 1.
    classifiers
        One for each block, or one for the top.
    generator
        Whence the blocks draw random numbers in training; all are on its device.
    epochs
        Of the whole training: the rate follows from them.
    lr, momentum
        The rate at the start, and Nesterov's momentum.
    """

    def __init__(
        self,
        blocks: Sequence[nn.Module],
        classifiers: Sequence[nn.Module],
        generator: torch.Generator,
        *,
        epochs: int,
        lr: float,
        momentum: float,
    ):
        self.blocks, self.classifiers = nn.ModuleList(blocks), nn.ModuleList(classifiers)
        self.whole = nn.ModuleList([self.blocks, self.classifiers])
        self.generator, self.epochs, self.lr = generator, epochs, lr
        learning = [p for p in self.whole.parameters() if p.requires_grad]
        self.optimizer = torch.optim.SGD(
            learning, lr=lr, momentum=momentum, nesterov=True, fused=True
        )

    @abstractmethod
    def scores(self, x: Tensor) -> list[Tensor]:
        """Compute what each classifier gives (B, C) for pixels x (B, M) from 0 to 1."""

    def rate(self, epoch: int) -> float:
        """Compute the learning rate of an epoch."""
        return self.lr / DECAY ** (QUARTERS * epoch // self.epochs)

    def train(self, x: Any, labels: Any, epoch: int):
        """Make one step with a batch x (B, M) of pixels, uint8, and its labels (B,)."""
        self.whole.train()
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate(epoch)
        labels = torch.as_tensor(labels, device=self.generator.device)
        losses = [functional.cross_entropy(s, labels) for s in self.scores(self._pixels(x))]
        self.optimizer.zero_grad()
        torch.stack(losses).sum().backward()
        self.optimizer.step()

    @torch.no_grad()
    def infer(self, x: Any) -> list[Scores]:
        """Compute what each classifier says of a batch x (B, M) of pixels, uint8."""
        self.whole.eval()
        return [Scores(s.cpu(), s.argmax(1).cpu()) for s in self.scores(self._pixels(x))]

    def state(self) -> dict[str, Any]:
        """Give all that training changes: weights, momentum, and where the generator is."""
        parts = self.whole.state_dict(), self.optimizer.state_dict(), self.generator.get_state()
        return deepcopy(dict(zip(("weights", "optimizer", "generator"), parts, strict=True)))

    def restore(self, state: dict[str, Any]):
        """Go back to where `state` was taken; it may be used again."""
        self.whole.load_state_dict(state["weights"])
        # The optimizer would go on in the very tensors that it is given.
        self.optimizer.load_state_dict(deepcopy(state["optimizer"]))
        self.generator.set_state(state["generator"])

    def _pixels(self, x: Any) -> Tensor:
        return torch.as_tensor(x, device=self.generator.device) / 255


class LocalErrors(FloatNetwork):
    """Every block learns from the error of its own classifier, equations (3) to (6)."""

    def scores(self, x: Tensor) -> list[Tensor]:
        """Compute what each block's classifier gives; no gradient passes between blocks."""
        scores = []
        for block, classifier in zip(self.blocks, self.classifiers, strict=True):
            x = block(x.detach())
            scores.append(classifier(x))
        return scores


class TopError(FloatNetwork):
    """All blocks learn from the error on the top: backpropagation, or feedback alignment."""

    def scores(self, x: Tensor) -> list[Tensor]:
        """Compute what the classifier on the top gives."""
        for block in self.blocks:
            x = block(x)
        (classifier,) = self.classifiers
        return [classifier(x)]


def network_of(
    run: Any, blocks: Sequence[nn.Module], sizes: Sequence[int], generator: torch.Generator
) -> FloatNetwork:
    """Give blocks their classifiers, or one to the top, and make a network of them.

    Parameters
    ----------
    run
        What is trained: its rule, init, epochs, lr and momentum count.
    blocks, generator
        As for `FloatNetwork`.
    sizes
        Activations of each block.
    """
    local, aligned = run.rule in LOCAL_RULES, run.rule == "fa"
    if local:
        classifiers = [
            local_classifier(run.rule, size, CLASSES, generator, run.init) for size in sizes
        ]
    else:
        classifiers = [trained(sizes[-1], CLASSES, generator, aligned=aligned)]
    return (LocalErrors if local else TopError)(
        blocks, classifiers, generator, epochs=run.epochs, lr=run.lr, momentum=run.momentum
    )


@dataclass(frozen=True, kw_only=True)
class Float(Run):
    """A fully connected network in floats.

    Parameters
    ----------
    rule
        One of `RULES`.
    init
        Distribution of the local classifiers' weights, one of `INITS`.
    dropout
        Share of the neurons dropped in every block.
    batch_norm
        Whether every block normalises over the batch before its non-linearity.
    neurons
        Of each block.
    lr, momentum
        As for `FloatNetwork`; the defaults are the paper's.
    """

    rule: str
    init: str = "uniform"
    dropout: float = 0.0
    batch_norm: bool = False
    neurons: tuple[int, ...] = (1000, 1000, 1000)
    lr: float = 0.1
    momentum: float = 0.9

    def __post_init__(self):
        for key, known in (("rule", RULES), ("init", INITS)):
            if getattr(self, key) not in known:
                raise ValueError(
                    f"{key} must be one of {', '.join(known)}, not {getattr(self, key)!r}"
                )

    def model(self) -> FloatNetwork:
        """Make the network, at its start, on the GPU if there is one."""
        device = "cuda" if torch.cuda.is_available() else "cpu"
        generator = torch.Generator(device).manual_seed(self.seed)
        blocks = []
        for inputs, neurons in zip(
            (DATA_SIZES[str(self.data)][0], *self.neurons), self.neurons, strict=False
        ):
            layer = trained(inputs, neurons, generator, aligned=self.rule == "fa")
            norm = [nn.BatchNorm1d(neurons, device=device)] if self.batch_norm else []
            dropout = [Dropout(self.dropout, generator)] if self.dropout else []
            blocks.append(nn.Sequential(layer, *norm, nn.ReLU(inplace=True), *dropout))
        return network_of(self, blocks, self.neurons, generator)
