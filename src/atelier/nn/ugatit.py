"""Generator and discriminators of U-GAT-IT (Kim, Kim, Kang & Lee, ICLR 2020).

As in the authors' PyTorch code, znxlwm/UGATIT-pytorch; departures are commented at their line.

Shapes: B pictures of H×W in [-1, 1]; features of C channels at h×w positions.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import spectral_norm

from atelier.core.config import UserError
from atelier.nn.adalin import ILN, AdaILN
from atelier.nn.cam import CamWeight, ClassActivation
from atelier.nn.instancenorm import InstanceNorm
from atelier.nn.picture_conv import PictureConv
from atelier.nn.reflection import ReflectionConv
from atelier.nn.resnet import Residual

SLOPE = 0.2
STRIDE = 4
"""Stride of the generator's features."""


class Translated(NamedTuple):
    """Output of a generator."""

    image: Tensor
    """(B, 3, H, W) in [-1, 1]."""
    logits: Tensor
    """CAM logits (B, 2), of average and max pooling: whether the input is to be translated."""
    heat: Tensor
    """(B, 1, H/4, W/4): sum over channels of the features weighted by the classifiers."""


class Verdict(NamedTuple):
    """Output of a discriminator, trained to 1 for real pictures and 0 for generated ones."""

    patches: Tensor
    """(B, 1, h, w)."""
    logits: Tensor
    """(B, 2), of average and max pooling."""


def conv(inputs: int, outputs: int, side: int, stride: int = 1) -> nn.Conv2d:
    """Return a reflection-padded convolution without bias, which preserves the size at stride 1."""
    rim = side // 2
    return PictureConv(inputs, outputs, side, stride, rim, bias=False, padding_mode="reflect")


def block(inputs: int, outputs: int, side: int, stride: int = 1) -> list[nn.Module]:
    """Return conv, instance norm, ReLU."""
    return [conv(inputs, outputs, side, stride), InstanceNorm(outputs), nn.ReLU()]


def enlarge(inputs: int, outputs: int) -> list[nn.Module]:
    """Return nearest ×2, conv, ILN, ReLU."""
    return [nn.Upsample(scale_factor=2), conv(inputs, outputs, 3), ILN(outputs), nn.ReLU()]


class AdaptiveResidual(nn.Module):
    """Residual block: conv, AdaILN, ReLU, conv, AdaILN, plus the input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first, self.second = conv(channels, channels, 3), conv(channels, channels, 3)
        self.norm_first, self.norm_second = AdaILN(channels), AdaILN(channels)

    def forward(self, value: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
        """Map (B, C, h, w) to the same shape; ``gamma`` and ``beta`` are (B, C)."""
        inner = self.norm_first(self.first(value), gamma, beta).relu()
        changed: Tensor = self.norm_second(self.second(inner), gamma, beta)
        return value + changed


class Generator(nn.Module):
    """Generator: encoder with ``n_res`` residual blocks, attention, as many AdaILN blocks, decoder.

    At width 64 with four blocks: 10,589,888 parameters (light), 278,959,808 (full at 256×256).
    """

    def __init__(self, width: int, n_res: int, crop: int | None = None) -> None:
        """``crop``: side of the pictures of a full generator, a multiple of 4; None: light.

        A full one computes γ and β from flattened features, a light one from features averaged over
        positions, and therefore takes any size.
        """
        super().__init__()
        channels, self.crop = 4 * width, crop
        self.encoder = nn.Sequential(
            *block(3, width, 7),
            *block(width, 2 * width, 3, 2),
            *block(2 * width, channels, 3, 2),
            *(Residual(channels, bias=False) for _ in range(n_res)),
        )
        self.attention = ClassActivation(channels)
        inputs = channels * (crop // STRIDE) ** 2 if crop else channels
        self.code = nn.Sequential(
            nn.Linear(inputs, channels, bias=False),
            nn.ReLU(),
            nn.Linear(channels, channels, bias=False),
            nn.ReLU(),
        )
        self.gamma = nn.Linear(channels, channels, bias=False)
        self.beta = nn.Linear(channels, channels, bias=False)
        self.middle = nn.ModuleList(AdaptiveResidual(channels) for _ in range(n_res))
        up = enlarge(channels, 2 * width) + enlarge(2 * width, width)
        self.decoder = nn.Sequential(*up, conv(width, 3, 7))

    def forward(self, image: Tensor) -> Translated:
        """Translate (B, 3, H, W), H and W multiples of 4 and at least 8.

        Raises:
            UserError: the pictures do not have the size of a full generator.
        """
        self.check(*image.shape[2:])
        attended, logits = self.attention(self.encoder(image))
        value = attended.relu()
        code = self.code(value.flatten(1) if self.crop else value.mean((2, 3)))
        gamma, beta = self.gamma(code), self.beta(code)
        heat = value.float().sum(1, keepdim=True)
        for layer in self.middle:
            value = layer(value, gamma, beta)
        return Translated(self.decoder(value).float().tanh(), logits, heat)

    def check(self, height: int, width: int) -> None:
        """Refuse pictures of a size that the generator does not take.

        Raises:
            UserError: a full generator takes one size only.
        """
        if self.crop and (height, width) != (self.crop, self.crop):
            raise UserError(
                f"U-GAT-IT with light: false takes pictures of {self.crop}×{self.crop} (its crop) "
                f"only, not {width}×{height}; light: true takes any size"
            )


class Discriminator(nn.Module):
    """Discriminator of 4×4 convolutions with spectral norm, for patches and class activation.

    At width 64, seven layers (``global``) see patches of 286 pixels (53,130,176 parameters), five
    (``local``) of 70 (3,290,560).
    """

    def __init__(self, width: int, layers: int, weight: CamWeight = "effective") -> None:
        """``layers``: 4×4 convolutions, at least 3; all but the last two halve the sides."""
        super().__init__()
        self.layers = layers
        widths = [3, *(width * 2**n for n in range(layers - 1))]
        strides = [2] * (layers - 2) + [1]
        found: list[nn.Module] = []
        for inputs, outputs, stride in zip(widths[:-1], widths[1:], strides, strict=True):
            found += [patch_conv(inputs, outputs, stride, bias=True), nn.LeakyReLU(SLOPE)]
        self.body = nn.Sequential(*found)
        self.attention = ClassActivation(widths[-1], spectral=True, weight=weight)
        self.last = patch_conv(widths[-1], 1, 1, bias=False)

    def forward(self, image: Tensor) -> Verdict:
        """Classify (B, 3, H, W) in [-1, 1]; in training mode update the spectral norms.

        Raises:
            UserError: the pictures are too small for so many layers.
        """
        check_side(self.layers, min(image.shape[2:]))
        with parametrize.cached():
            # first, in float32, so that the iterations do not run in autocast's bfloat16
            with torch.autocast(image.device.type, enabled=False):
                _ = [m.weight for m in self.modules() if parametrize.is_parametrized(m)]
            attended, logits = self.attention(self.body(image))
            return Verdict(self.last(F.leaky_relu(attended, SLOPE)), logits)


def patch_conv(inputs: int, outputs: int, stride: int, *, bias: bool) -> nn.Module:
    """Return a 4×4 convolution with reflection padding and spectral norm."""
    layer = ReflectionConv(inputs, outputs, 4, stride, 1, bias=bias, padding_mode="reflect")
    return spectral_norm(layer)


def check_side(layers: int, side: int) -> None:
    """Refuse pictures whose shorter ``side`` the last of ``layers`` could not pad by reflection.

    Raises:
        UserError: names the smallest side, and the largest number of layers.
    """
    if side < smallest_side(layers):
        fewer = max((n for n in range(3, layers) if smallest_side(n) <= side), default=3)
        raise UserError(
            f"a discriminator of {layers} layers needs crops of {smallest_side(layers)} pixels or "
            f"more, not {side}: set global_layers or local_layers to {fewer}, or enlarge crop"
        )


def smallest_side(layers: int) -> int:
    """Return the smallest side: halved ``layers - 2`` times it is 3 pixels, then 2, then 1."""
    result: int = 3 * 2 ** (layers - 2)
    return result


def distance(judged: Verdict, aim: float) -> Tensor:
    """Return the mean squared distance of patches from ``aim``, plus that of the CAM logits."""
    parts = [(part.float() - aim).square().mean() for part in judged]
    return torch.stack(parts).sum()
