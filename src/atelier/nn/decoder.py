"""The decoder AdaIN and AdaAttN share: a VGG encoder up to relu4_1, mirrored."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import torch
from torch import Tensor, nn

TAPS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1")
"""Layers whose widths the decoder mirrors; strides 1, 2, 4, 8."""


def conv(inputs: int, outputs: int) -> nn.Conv2d:
    """3×3 with reflection padding: the size stays."""
    return nn.Conv2d(inputs, outputs, 3, padding=1, padding_mode="reflect")


class Decoder(nn.Module):
    """Features at stride 8 to a picture: nine 3×3 convolutions, three times nearest ×2, no norm.

    After Huang & Belongie 2017, §6, as in naoto0804/pytorch-AdaIN; with ``skip`` the decoder of
    AdaAttN (Liu et al. 2021, §3.3), which also sees features at stride 4.
    With VGG19's widths 3,505,219 parameters, with ``skip`` 4,095,043.
    """

    def __init__(self, channels: Mapping[str, int], *, skip: bool = False) -> None:
        """``channels``: width of each of ``TAPS``."""
        super().__init__()
        one, two, three, four = (channels[tap] for tap in TAPS)
        self.head = nn.Sequential(conv(four, three), nn.ReLU(), nn.Upsample(scale_factor=2))
        widths = [2 * three if skip else three, three, three, three, two]
        layers = [*_block(widths), *_block([two, two, one]), conv(one, one), nn.ReLU()]
        self.tail = nn.Sequential(*layers, conv(one, 3))

    def forward(self, deep: Tensor, shallow: Tensor | None = None) -> Tensor:
        """(B, C4, h, w), and with ``skip`` (B, C3, 2h, 2w), to (B, 3, 8h, 8w), not clamped."""
        image: Tensor = self.tail(self.joined(deep, shallow))
        return image

    def joined(self, deep: Tensor, shallow: Tensor | None = None) -> Tensor:
        """What ``tail`` takes: (B, C3 or 2·C3, 2h, 2w)."""
        value: Tensor = self.head(deep)
        return value if shallow is None else torch.cat([value, shallow], 1)


def _block(widths: list[int]) -> list[nn.Module]:
    """Convolutions with ReLU from width to width, then ×2."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        layers += [conv(inputs, outputs), nn.ReLU()]
    return [*layers, nn.Upsample(scale_factor=2)]
