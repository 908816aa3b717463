# SPDX-License-Identifier: BSD-2-Clause
"""The paper's convolutional networks on CIFAR10 in floats (section 5.2).

Both are what `golden.paper.shapes` describes: 5 layers with kernels of 5 x 5, and 10 with kernels
of 3 x 3; max pooling of 3 x 3 with stride 2, batch normalisation before every non-linearity, images
that are standardised pixel by pixel over the training set.

What the paper leaves open is chosen as in `golden.paper.rules`. Dropout takes 0.1 of the inputs,
0.25 behind every pooling and 0.5 behind every fully connected layer, the rates of the network by
Srivastava et al. (2014) that the paper's is made after. The random matrices of feedback alignment
stand for kernels too.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.grad import conv2d_input, conv2d_weight

from golden import data
from golden.paper.rules import INITS, RULES, Dropout, FloatNetwork, network_of, trained
from golden.paper.shapes import FIVE, TEN, Conv
from golden.runs import Run

__all__ = ["ConvFloat", "Convolution", "Standardise"]

#: Shares that are dropped of the inputs, behind pooling and behind fully connected layers.
INPUT, POOLED, FULL = 0.1, 0.25, 0.5
STACKS = {"five": FIVE, "ten": TEN}
#: Images are of three colours and so many pixels wide and high.
COLOURS, SIDE = 3, 32


class Feedback(torch.autograd.Function):
    """Go forward through one set of kernels and backward through another."""

    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> Tensor:
        """Convolve x (B, Ci, S, S) with weight (N, Ci, k, k); bias (N,), feedback as weight."""
        x, weight, bias, feedback = inputs
        ctx.save_for_backward(x, feedback)
        return functional.conv2d(x, weight, bias, padding=weight.shape[-1] // 2)

    @staticmethod
    def backward(ctx: Any, *errors: Any) -> tuple[Tensor | None, ...]:
        """Send an error (B, N, S, S) back through `feedback`, and to the weights as ever."""
        (error,) = errors
        x, feedback = ctx.saved_tensors
        padding = feedback.shape[-1] // 2
        to_x = ctx.needs_input_grad[0]
        return (
            conv2d_input(x.shape, feedback, error, padding=padding) if to_x else None,
            conv2d_weight(x, feedback.shape, error, padding=padding),
            error.sum((0, 2, 3)),
            None,
        )


class Convolution(nn.Module):
    """Kernels that keep the size of their maps.

    Parameters
    ----------
    channels, maps, kernel
        Ci, N and k.
    generator
        Draws them.
    aligned
        Whether errors go back through random kernels.
    learns
        Whether they are trained.
    """

    feedback: Tensor | None

    def __init__(
        self,
        channels: int,
        maps: int,
        kernel: int,
        generator: torch.Generator,
        *,
        aligned: bool,
        learns: bool,
    ):
        super().__init__()
        flat = trained(channels * kernel**2, maps, generator, aligned=aligned)
        shape = maps, channels, kernel, kernel
        assert flat.bias is not None
        self.weight = nn.Parameter(flat.weight.detach().view(shape), requires_grad=learns)
        self.bias = nn.Parameter(flat.bias.detach(), requires_grad=learns)
        feedback = None if flat.feedback is None else flat.feedback.view(shape)
        self.register_buffer("feedback", feedback, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Compute maps (B, N, S, S) of x (B, Ci, S, S)."""
        if self.feedback is None:
            padding = self.weight.shape[-1] // 2
            return functional.conv2d(x, self.weight, self.bias, padding=padding)
        return Feedback.apply(x, self.weight, self.bias, self.feedback)  # pyright: ignore[reportReturnType]


class Standardise(nn.Module):
    """Make images (B, 3, 32, 32) of pixels x (B, M), each less its mean, over its deviation."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, pixels: Tensor):
        """Take mean and deviation of `pixels` (n, M), uint8."""
        super().__init__()
        # In pieces: all of them in floats would take half a gigabyte.
        parts = [part.double() / 255 for part in pixels.split(2000)]
        mean = torch.stack([part.sum(0) for part in parts]).sum(0) / len(pixels)
        square = torch.stack([(part - mean).square().sum(0) for part in parts]).sum(0)
        # They follow from the data, so a checkpoint need not hold them.
        self.register_buffer("mean", mean.float(), persistent=False)
        deviation = (square / len(pixels)).sqrt().clamp(min=1e-6)
        self.register_buffer("deviation", deviation.float(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Standardise x, from 0 to 1."""
        images = ((x - self.mean) / self.deviation).view(-1, COLOURS, SIDE, SIDE)
        return images.contiguous(memory_format=torch.channels_last)


@dataclass(frozen=True, kw_only=True)
class ConvFloat(Run):
    """One of the paper's convolutional networks in floats.

    Parameters
    ----------
    rule, init
        As in `Float`.
    network
        "five" or "ten" layers.
    dropout
        Whether there is any.
    fixed
        The first so many layers stay at their random kernels ("Fix n"); what normalises their
        batches learns all the same.
    width
        Share of the paper's maps and neurons, each at least 1.
    lr, momentum
        As for `FloatNetwork`; the defaults are the paper's.
    """

    rule: str
    init: str = "uniform"
    network: str = "five"
    dropout: bool = False
    fixed: int = 0
    width: float = 1.0
    lr: float = 0.1
    momentum: float = 0.9

    def __post_init__(self):
        for key, known in (("rule", RULES), ("init", INITS), ("network", (*STACKS,))):
            if getattr(self, key) not in known:
                raise ValueError(
                    f"{key} must be one of {', '.join(known)}, not {getattr(self, key)!r}"
                )

    def model(self) -> FloatNetwork:
        """Make the network, at its start, on the GPU if there is one."""
        device = "cuda" if torch.cuda.is_available() else "cpu"
        generator = torch.Generator(device).manual_seed(self.seed)
        aligned = self.rule == "fa"

        def dropped(share: float) -> list[nn.Module]:
            return [Dropout(share, generator)] if self.dropout else []

        pixels = torch.from_numpy(data.load(self.data).train_x)
        first = [Standardise(pixels).to(device), *dropped(INPUT)]
        blocks, sizes = [], []
        channels, side = COLOURS, SIDE
        for index, part in enumerate(STACKS[self.network]):
            learns = index >= self.fixed
            if isinstance(part, Conv):
                maps = max(round(part.maps * self.width), 1)
                layer = Convolution(
                    channels, maps, part.kernel, generator, aligned=aligned, learns=learns
                )
                block = [*first, layer, nn.BatchNorm2d(maps, device=device), nn.ReLU(inplace=True)]
                if part.pool > 1:
                    block += [nn.MaxPool2d(3, 2, padding=1), *dropped(POOLED)]
                channels, side = maps, side // part.pool
                sizes.append(maps * side**2)
            else:
                neurons = max(round(part.neurons * self.width), 1)
                layer = trained(channels * side**2, neurons, generator, aligned=aligned)
                norm = nn.BatchNorm1d(neurons, device=device)
                block = [*first, layer, norm, nn.ReLU(inplace=True), *dropped(FULL)]
                channels, side = neurons, 1
                sizes.append(neurons)
            first = []
            # What pools and normalises is far faster on a CPU where the channels come last.
            blocks.append(nn.Sequential(*block).to(memory_format=torch.channels_last))  # pyright: ignore[reportCallIssue]
        return network_of(self, blocks, sizes, generator)
