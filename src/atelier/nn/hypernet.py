"""Transformer whose filters are passed with every call, and the hyper-network that generates them.

After Shen, Yan & Zeng, "Neural style transfer via meta networks" (CVPR 2018).

Shapes: B pictures of H×W, S styles (1, or one per picture: B), D statistics per style. A
convolution of I inputs, O outputs and k×k positions takes n = O·I·k² + O generated numbers: its
weight, then its bias.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from atelier.core.config import UserError
from atelier.nn.instancenorm import instance_norm
from atelier.nn.padding import fitted
from atelier.nn.picture_conv import PictureConv
from atelier.nn.pretrained.weights import IMAGENET_MEAN, IMAGENET_STD
from atelier.nn.reflection import ReflectionConv, reflect

Middle = Literal["resnet", "resnext"]
Padding = Literal["same", "pad40"]
Up = Literal["nearest", "deconv"]
RESNET_BLOCKS = 5


class GeneratedConv(nn.Module):
    """Convolution without parameters of its own.

    Its weights are passed as plain tensors, not parameters, so that gradients reach the network
    that generated them.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        side: int,
        *,
        stride: int = 1,
        rim: int = 0,
        up: Up | None = None,
    ) -> None:
        super().__init__()
        self.shape = (inputs, outputs) if up == "deconv" else (outputs, inputs)
        self.outputs, self.side, self.stride, self.rim, self.up = outputs, side, stride, rim, up

    @property
    def size(self) -> int:
        """Return n, the number of weights it takes."""
        return self.shape[0] * self.shape[1] * self.side**2 + self.outputs

    def forward(self, value: Tensor, numbers: Tensor) -> Tensor:
        """Map (B, I, h, w) and (S, n) to (B, O, h', w')."""
        weights, biases = numbers[:, : -self.outputs], numbers[:, -self.outputs :]
        weights = weights.reshape(-1, *self.shape, self.side, self.side)
        if len(numbers) == 1:
            return self.convolve(value, weights[0], biases[0])
        # One by one: a grouped convolution of B groups is up to 1.4 times slower on a CPU, and a
        # picture's result must not depend on its neighbours.
        triples = zip(value.unsqueeze(1), weights, biases, strict=True)
        return torch.cat([self.convolve(*triple) for triple in triples])

    def convolve(self, value: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Apply one style's weight and bias to (B, I, h, w)."""
        if self.up == "deconv":
            return F.conv_transpose2d(value, weight, bias, 2, padding=1, output_padding=1)
        if self.up == "nearest":
            value = F.interpolate(value, scale_factor=2.0, mode="nearest")
        return F.conv2d(reflected(value, self.rim), weight, bias, self.stride)


def reflected(value: Tensor, rim: int) -> Tensor:
    """Pad (B, C, h, w) with ``rim`` mirrored pixels on every side.

    Raises:
        UserError: a side is too short for reflection.
    """
    height, width = value.shape[2:]
    if min(height, width) <= rim:
        raise UserError(f"pictures of {width}×{height} px are too small to be padded by {rim}")
    return reflect(value, rim) if rim else value


def normed(value: Tensor) -> Tensor:
    """Apply instance norm without affine parameters, then ReLU."""
    return instance_norm(value).relu()


def cropped(value: Tensor, margin: int) -> Tensor:
    """Return the middle of (B, C, h, w), ``margin`` pixels less on every side."""
    height, width = value.shape[2:]
    return value[..., margin : height - margin, margin : width - margin]


class ResidualBlock(nn.Module):
    """Residual block: two generated 3×3 convolutions with instance norm, ReLU between them.

    With ``rim`` 0 they are unpadded, and the input is cropped to its centre.
    """

    def __init__(self, width: int, rim: int) -> None:
        super().__init__()
        self.first = GeneratedConv(width, width, 3, rim=rim)
        self.second = GeneratedConv(width, width, 3, rim=rim)
        self.margin = 2 * (1 - rim)

    def forward(self, value: Tensor, numbers: Iterator[Tensor]) -> Tensor:
        """Map (B, C, h, w) to the same shape, or 4 pixels less; takes two of ``numbers``."""
        inner = normed(self.first(value, next(numbers)))
        changed = instance_norm(self.second(inner, next(numbers)))
        return cropped(value, self.margin) + changed


class ResNeXtBlock(nn.Module):
    """ResNeXt block: 1×1, grouped 3×3, 1×1, plus the input (Xie et al. 2017).

    The two 1×1 convolutions are generated; the branches are ordinary parameters, shared by all
    styles, as in the report. It does not state the width of a branch: here it is a setting. Unlike
    Xie et al., no ReLU after the sum, as in the residual block it replaces; no bias before a norm.
    """

    def __init__(self, width: int, rim: int, branches: int, branch_width: int) -> None:
        super().__init__()
        inner = branches * branch_width
        self.reduce = GeneratedConv(width, inner, 1)
        self.branches = nn.Conv2d(inner, inner, 3, groups=branches, bias=False)
        self.expand = GeneratedConv(inner, width, 1)
        self.rim, self.margin = rim, 1 - rim

    def forward(self, value: Tensor, numbers: Iterator[Tensor]) -> Tensor:
        """Map (B, C, h, w) to the same shape, or 2 pixels less; takes two of ``numbers``."""
        inner = normed(self.reduce(value, next(numbers)))
        inner = normed(self.branches(reflected(inner, self.rim)))
        changed = instance_norm(self.expand(inner, next(numbers)))
        return cropped(value, self.margin) + changed


class TransformNet(nn.Module):
    """Transformation network, at stride 4 inside; all but the first and last layer are generated.

    ``same``: every layer preserves its size by reflection; upsampling is nearest ×2 and a
    convolution (CortexFoundation/StyleTransferTrilogy).
    ``pad40``, as in the paper: 40 reflected pixels first, which unpadded residual blocks consume,
    and transposed convolutions. The padding of its other layers is not stated: here reflection.
    With a ResNeXt middle, which consumes less, 4 pixels instead of 40.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, width: int, middle: Middle, padding: Padding, branches: int, branch_width: int
    ) -> None:
        super().__init__()
        one, two, four = width, 2 * width, 4 * width
        rim, up = (1, "nearest") if padding == "same" else (0, "deconv")
        self.first = ReflectionConv(3, one, 9, padding=4, padding_mode="reflect")
        self.down = nn.ModuleList(
            GeneratedConv(a, b, 3, stride=2, rim=1) for a, b in ((one, two), (two, four))
        )
        self.middle = nn.ModuleList(
            [ResidualBlock(four, rim) for _ in range(RESNET_BLOCKS)]
            if middle == "resnet"
            else [ResNeXtBlock(four, rim, branches, branch_width)]
        )
        self.up = nn.ModuleList(
            GeneratedConv(a, b, 3, rim=1, up=up)  # type: ignore[arg-type]
            for a, b in ((four, two), (two, one))
        )
        self.last = PictureConv(one, 3, 9, padding=4, padding_mode="reflect")
        self.rim = 4 * sum(block.margin for block in self.middle)  # type: ignore[misc]
        for name, values in (("mean", IMAGENET_MEAN), ("std", IMAGENET_STD)):
            value = torch.tensor(values).view(1, 3, 1, 1)
            self.register_buffer(name, value, persistent=False)

    def sizes(self) -> list[int]:
        """Number of weights per generated convolution, in the order of ``forward``."""
        return [layer.size for layer in self.modules() if isinstance(layer, GeneratedConv)]

    def forward(self, image: Tensor, filters: Sequence[Tensor]) -> Tensor:
        """Apply the filters of a style.

        Args:
            image: (B, 3, H, W) in [0, 1]; sides are multiples of 4.
            filters: (S, n) per generated convolution, in the order of ``sizes``.

        Returns:
            (B, 3, H, W), linear. The last layer's output is standardised by ImageNet's moments, as
            in the port; unlike there, it is converted back to RGB, nominally in [0, 1].
        """
        numbers = iter(filters)
        value = normed(self.first(reflected((image - self.mean) / self.std, self.rim)))
        for layer in self.down:
            value = normed(layer(value, next(numbers)))
        for block in self.middle:
            value = block(value, numbers)
        for layer in self.up:
            value = normed(layer(value, next(numbers)))
        painted: Tensor = self.last(value) * self.std + self.mean
        return painted


class HyperNet(nn.Module):
    """Hyper-network from the statistics of a style to the weights of every generated convolution.

    One hidden layer in as many groups as there are convolutions; a linear head per group. A single
    full layer instead of heads would be larger by that factor.
    """

    centre: Tensor
    spread: Tensor

    def __init__(self, inputs: int, sizes: Sequence[int], hidden: int = 128) -> None:
        super().__init__()
        self.register_buffer("centre", torch.zeros(inputs))
        self.register_buffer("spread", torch.ones(inputs))
        self.hidden = nn.Linear(inputs, hidden * len(sizes))
        self.heads = nn.ModuleList(nn.Linear(hidden, size) for size in sizes)

    @torch.no_grad()
    def standardise(self, statistics: Tensor) -> None:
        """Standardise all further inputs by mean and deviation of ``statistics`` (N, D).

        Unlike paper and port. What paintings have in common is ten times their differences, so that
        without it all of them get the same filters for thousands of steps.
        """
        self.centre.copy_(statistics.mean(0))
        self.spread.copy_(statistics.std(0) + 1e-3)

    def forward(self, statistics: Tensor) -> list[Tensor]:
        """Map (S, D) to (S, n) per convolution.

        In float32 even under autocast: a learning rate of 1e-3 and this many parameters need it.
        """
        with torch.autocast(statistics.device.type, enabled=False):
            groups = self.units(statistics.float())
            return [head(group) for head, group in zip(self.heads, groups, strict=True)]

    def units(self, statistics: Tensor) -> tuple[Tensor, ...]:
        """Map (S, D) to the hidden units of every head, (S, hidden) each.

        ReLU as in the port; the authors' released networks have none here.
        """
        inputs = (statistics - self.centre) / self.spread
        units: Tensor = self.hidden(inputs).relu()
        return units.chunk(len(self.heads), dim=1)


class MetaNetworks(nn.ModuleDict):
    """``transformer`` and the ``hyper``-network that generates its filters."""

    def __init__(self, transformer: TransformNet, statistics: int, hidden: int = 128) -> None:
        hyper = HyperNet(statistics, transformer.sizes(), hidden)
        super().__init__({"transformer": transformer, "hyper": hyper})

    def forward(self, content: Tensor, statistics: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Map (B, 3, H, W) of any size and (S, D) to the stylised pictures and the filters."""
        filters: list[Tensor] = self["hyper"](statistics)
        painted = fitted(lambda padded: self["transformer"](padded, filters), content, 4)
        return painted, filters
