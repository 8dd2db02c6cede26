"""The ResNet generator of CycleGAN and CUT.

After Zhu et al., "Unpaired image-to-image translation using cycle-consistent adversarial networks"
(ICCV 2017), §7.2, and, with blur-pooling, Park et al., "Contrastive learning for unpaired
image-to-image translation" (ECCV 2020), §C.2.

Shapes: B pictures of H×W, sides multiples of 4, pixels in [-1, 1]; w is the width.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from atelier.nn.decoder import conv
from atelier.nn.instancenorm import InstanceNorm
from atelier.nn.picture_conv import PictureConv
from atelier.nn.reflection import Reflection, reflect

Upsample = Literal["transposed", "resize"]
Init = Literal["normal", "xavier"]
Want = Literal["picture", "taps", "both"]
LAST_TAP = 5
"""Residual block of CUT's last tap, counted from 1."""


class Residual(nn.Module):
    """Residual block: conv, norm, ReLU, conv, norm, plus the input; no activation after the sum."""

    def __init__(self, width: int, *, bias: bool = True) -> None:
        super().__init__()
        first, second = (conv(width, width, bias=bias) for _ in range(2))
        self.body = nn.Sequential(*_active(first), second, InstanceNorm(width))

    def forward(self, value: Tensor) -> Tensor:
        """Map (B, C, h, w) to the same shape."""
        summed: Tensor = value + self.body(value)
        return summed


class BlurDown(nn.Module):
    """Blur-pooling (Zhang 2019): binomial blur of (B, C, h, w), then stride 2, rounded up."""

    blur: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        row = torch.tensor([1.0, 2.0, 1.0]) / 4
        blur = (row[:, None] * row).expand(width, 1, 3, 3).contiguous()
        self.register_buffer("blur", blur, persistent=False)

    def forward(self, value: Tensor) -> Tensor:
        """Blur every channel separately, with reflection padding."""
        return F.conv2d(reflect(value, 1), self.blur, stride=2, groups=value.shape[1])


class ResNetGenerator(nn.Module):
    """ResNet generator: to stride 4, residual blocks, to stride 1; instance norm without affine.

    With width 64 it has 11,378,179 parameters at 9 blocks, 7,837,699 at 6, whatever ``upsample``
    and ``antialias`` are.

    Args:
        width: channels of the first layer.
        blocks: number of residual blocks.
        upsample: ``transposed`` convolutions as published, or ``resize``: nearest ×2 and a
            convolution, which avoids checkerboard artefacts (Odena et al. 2016).
        antialias: as in CUT: blur-pooling instead of strides, bilinear ×2 upsampling; ``upsample``
            then has no effect.
    """

    def __init__(
        self,
        width: int = 64,
        blocks: int = 9,
        *,
        upsample: Upsample = "transposed",
        antialias: bool = False,
    ) -> None:
        super().__init__()
        one, two, four = width, 2 * width, 4 * width
        down = [_down(a, b, antialias=antialias) for a, b in ((one, two), (two, four))]
        up = [_up(a, b, upsample, antialias=antialias) for a, b in ((four, two), (two, one))]
        first = [Reflection(3), *_active(nn.Conv2d(3, one, 7))]
        middle = [Residual(four) for _ in range(blocks)]
        last = [Reflection(3), PictureConv(one, 3, 7)]
        self.layers = nn.Sequential(*first, *down[0], *down[1], *middle, *up[0], *up[1], *last)
        second, inner = len(first) + len(down[0]), len(first) + len(down[0]) + len(down[1])
        self.taps = (0, len(first), second, inner, inner + min(LAST_TAP, blocks) - 1)
        self.tap_widths = (3, two, four, four, four)

    def forward(self, image: Tensor, want: Want = "picture") -> Any:
        """Map (B, 3, H, W) to the same shape, in [-1, 1], float32; or as the methods below."""
        value, found = self._run(image, self.taps[-1] + 1 if want == "taps" else len(self.layers))
        if want == "taps":
            return found
        # In float32 even under autocast: near ±1 bfloat16 cannot resolve half a grey level.
        made = value.float().tanh()
        return made if want == "picture" else (made, found)

    def encode(self, image: Tensor) -> list[Tensor]:
        """Return five features of (B, 3, H, W) for CUT; later layers are not run.

        The padded picture (B, 3, H+6, W+6); the two down-sampling convolutions, before their norm
        (B, 2w, …) and (B, 4w, …); the first and the fifth residual block (B, 4w, H/4, W/4).
        """
        found: list[Tensor] = self(image, "taps")
        return found

    def tapped(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the output picture, and the features of ``encode``."""
        found: tuple[Tensor, list[Tensor]] = self(image, "both")
        return found

    def _run(self, value: Tensor, end: int) -> tuple[Tensor, list[Tensor]]:
        found = []
        for place, layer in enumerate(self.layers[:end]):
            value = layer(value)
            found += [value] * self.taps.count(place)
        return value, found


def draw_weights(network: nn.Module, init: Init, gain: float) -> None:
    """Initialise all convolutions and linear layers; biases become 0.

    Args:
        network: changed in place.
        init: ``normal`` is N(0, gain) (CycleGAN), ``xavier`` is Glorot's with ``gain`` (CUT).
        gain: 0.02 in both publications.
    """
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            if init == "normal":
                nn.init.normal_(layer.weight, 0.0, gain)
            else:
                nn.init.xavier_normal_(layer.weight, gain)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def _active(layer: nn.Conv2d | nn.ConvTranspose2d) -> list[nn.Module]:
    # in place: the norm keeps its input, and no tap is behind it
    return [layer, InstanceNorm(layer.out_channels), nn.ReLU(inplace=True)]


def _down(inputs: int, outputs: int, *, antialias: bool) -> list[nn.Module]:
    """Return a down-sampling layer, zero-padded unlike the rest of the network, as published."""
    if antialias:
        return [*_active(nn.Conv2d(inputs, outputs, 3, 1, 1)), BlurDown(outputs)]
    return _active(nn.Conv2d(inputs, outputs, 3, 2, 1))


def _up(inputs: int, outputs: int, upsample: Upsample, *, antialias: bool) -> list[nn.Module]:
    if antialias:
        # The published code's transposed convolution with (1, 3, 3, 1)/4 is this interpolation.
        blurred = nn.Upsample(scale_factor=2, mode="bilinear")
        return [blurred, *_active(nn.Conv2d(inputs, outputs, 3, padding=1))]
    if upsample == "resize":
        return [nn.Upsample(scale_factor=2), *_active(conv(inputs, outputs))]
    return _active(nn.ConvTranspose2d(inputs, outputs, 3, 2, 1, output_padding=1))
