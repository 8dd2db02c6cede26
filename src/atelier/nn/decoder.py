"""Decoder of AdaIN and AdaAttN: a VGG encoder up to relu4_1, mirrored."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from atelier.nn.reflection import ReflectionConv

TAPS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1")
"""Layers whose widths the decoder mirrors; strides 1, 2, 4, 8."""
Layer = Literal["relu3_1", "relu4_1"]
"""Layers a decoder can invert."""
Init = Literal["published", "he"]
"""Initialisation: as in the authors' code, or for short trainings (see ``init_he``)."""
LAST_SCALE = 0.1


def conv(inputs: int, outputs: int, *, bias: bool = True) -> nn.Conv2d:
    """Return a 3×3 convolution with reflection padding, which preserves the size."""
    return ReflectionConv(inputs, outputs, 3, padding=1, bias=bias, padding_mode="reflect")


class Decoder(nn.Module):
    """Decoder from features at stride 8: nine 3×3 convolutions, three nearest ×2, no norm.

    After Huang & Belongie 2017, §6, as in naoto0804/pytorch-AdaIN; with ``skip`` the decoder of
    AdaAttN (Liu et al. 2021, §3.3), which also takes features at stride 4. With VGG19's widths it
    has 3,505,219 parameters, with ``skip`` 4,095,043. From relu3_1, at stride 4, it is the same
    without its first layer.
    """

    def __init__(
        self, channels: Mapping[str, int], *, skip: bool = False, layer: Layer = "relu4_1"
    ) -> None:
        """``channels``: width of each of ``TAPS`` up to ``layer``, the one that is decoded."""
        super().__init__()
        one, two, three = (channels[tap] for tap in TAPS[:3])
        deep = [conv(channels[TAPS[3]], three), nn.ReLU()] if layer == "relu4_1" else []
        up = [nn.Upsample(scale_factor=2)] if deep else []
        self.head = nn.Sequential(*deep, *up)
        widths = [2 * three if skip else three, three, three, three, two]
        layers = [*_block(widths), *_block([two, two, one]), conv(one, one), nn.ReLU()]
        self.tail = nn.Sequential(*layers, conv(one, 3))

    def forward(self, deep: Tensor, shallow: Tensor | None = None) -> Tensor:
        """Map (B, C4, h, w), and with ``skip`` (B, C3, 2h, 2w), to (B, 3, 8h, 8w), not clamped."""
        image: Tensor = self.tail(self.joined(deep, shallow))
        return image

    def joined(self, deep: Tensor, shallow: Tensor | None = None) -> Tensor:
        """Return the input of ``tail``: (B, C3 or 2·C3, 2h, 2w)."""
        value: Tensor = self.head(deep)
        return value if shallow is None else torch.cat([value, shallow], 1)


@torch.no_grad()
def init_he(decoder: Decoder) -> None:
    """Initialise a decoder that has to learn within a few hundred steps.

    He's normal weights (He et al. 2015) pass the features through all nine layers, to a mid-grey
    picture with some contrast; with torch's default, or N(0, 0.02) in narrow layers, the picture is
    uniform and the first hundred steps only fit its brightness.
    """
    layers = [layer for layer in decoder.modules() if isinstance(layer, nn.Conv2d)]
    for layer in layers:
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    layers[-1].weight.mul_(LAST_SCALE)
    nn.init.constant_(layers[-1].bias, 0.5)  # type: ignore[arg-type]


def _block(widths: list[int]) -> list[nn.Module]:
    """Return convolutions with ReLU from width to width, then ×2."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        layers += [conv(inputs, outputs), nn.ReLU()]
    return [*layers, nn.Upsample(scale_factor=2)]
