"""Transformer with conditional instance norm (Ghiasi et al., BMVC 2017; Dumoulin et al. 2017).

Shapes: B pictures of H×W, sides multiples of 4. ``scale`` and ``shift`` are (B, K): the γ and β of
all K channels that are conditionally normalised, in the order of the layers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from atelier.nn.instancenorm import InstanceNorm
from atelier.nn.picture_conv import PictureConv

EncoderNorm = Literal["bn", "in"]
Pad = Literal["reflect", "zero"]
Upsample = Literal["nearest", "bilinear"]
Output = Literal["sigmoid", "tanh"]
Codes = Iterator[tuple[Tensor, Tensor]]
"""(γ, β) of the norms not yet applied, each (B, C)."""
EPS = 1e-5


@dataclass(frozen=True)
class Topology:
    """Options in which the paper (the defaults) and MindSpore's port (the others) differ."""

    encoder_norm: EncoderNorm = "bn"
    pad: Pad = "reflect"
    upsample: Upsample = "nearest"
    output: Output = "sigmoid"
    conditional_affine: bool = False

    def conv(self, inputs: int, outputs: int, side: int, stride: int = 1) -> nn.Conv2d:
        """Return a convolution that preserves the size at stride 1; no bias, as a norm follows."""
        mode: Literal["reflect", "zeros"] = "reflect" if self.pad == "reflect" else "zeros"
        rim = side // 2
        return PictureConv(inputs, outputs, side, stride, rim, bias=False, padding_mode=mode)

    def norm(self, width: int) -> nn.Module:
        """Return the encoder's norm, which does not depend on the style."""
        if self.encoder_norm == "bn":
            return ShiftNorm(width)
        return InstanceNorm(width, eps=EPS, affine=True)

    def enlarge(self) -> nn.Upsample:
        """Return the layer that doubles the sides."""
        return nn.Upsample(scale_factor=2, mode=self.upsample)


class ShiftNorm(nn.BatchNorm2d):
    """Batch norm with a learnt shift only, as in TensorFlow-slim: eps 1e-3, decay 0.999."""

    def __init__(self, width: int) -> None:
        super().__init__(width, eps=1e-3, momentum=1e-3)
        del self.weight
        self.register_buffer("weight", torch.ones(width), persistent=False)


class StyleNorm(nn.Module):
    """Instance norm, then γ and β predicted for each picture (Ghiasi et al. 2017, §2).

    Biased variance, eps 1e-5, in float32 even under autocast. ``affine`` adds a learnt scale and
    shift before the predicted ones, as in MindSpore's port.
    """

    def __init__(self, width: int, *, affine: bool) -> None:
        super().__init__()
        self.norm = InstanceNorm(width, eps=EPS, affine=affine)

    def forward(self, value: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        """Map (B, C, h, w) and (B, C) twice to (B, C, h, w) in float32."""
        normed: Tensor = self.norm(value.float())
        return normed * scale.float()[..., None, None] + shift.float()[..., None, None]


class StyledConv(nn.Module):
    """Convolution and conditional norm, after optional ×2 upsampling."""

    def __init__(
        self, topology: Topology, inputs: int, outputs: int, side: int = 3, *, up: bool = False
    ) -> None:
        super().__init__()
        self.before = topology.enlarge() if up else nn.Identity()
        self.conv = topology.conv(inputs, outputs, side)
        self.norm = StyleNorm(outputs, affine=topology.conditional_affine)

    def forward(self, value: Tensor, codes: Codes) -> Tensor:
        """Map (B, C, h, w) to (B, C', h, w) or twice the sides; takes the next of ``codes``."""
        normed: Tensor = self.norm(self.conv(self.before(value)), *next(codes))
        return normed


class StyleTransformer(nn.Module):
    """Encoder to stride 4, five residual blocks, decoder; norms after the encoder are conditional.

    1,674,432 parameters in the convolutions; 13 conditional norms with 1379 channels in total.
    """

    def __init__(self, topology: Topology, width: int = 32, residuals: int = 5) -> None:
        super().__init__()
        one, two, four = width, 2 * width, 4 * width
        encoder: list[nn.Module] = []
        for inputs, outputs, side, stride in ((3, one, 9, 1), (one, two, 3, 2), (two, four, 3, 2)):
            conv = topology.conv(inputs, outputs, side, stride)
            encoder += [conv, topology.norm(outputs), nn.ReLU()]
        self.encoder = nn.Sequential(*encoder)
        self.residuals = nn.ModuleList(
            StyledConv(topology, four, four) for _ in range(2 * residuals)
        )
        self.decoder = nn.ModuleList(
            [StyledConv(topology, four, two, up=True), StyledConv(topology, two, one, up=True)]
        )
        self.last = StyledConv(topology, one, 3, 9)
        self.widths = [four] * 2 * residuals + [two, one, 3]
        self.output = topology.output

    def forward(self, image: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        """Map (B, 3, H, W) in [0, 1] and (B, K) twice to (B, 3, H, W) in [0, 1]."""
        codes = zip(
            torch.split(scale, self.widths, 1), torch.split(shift, self.widths, 1), strict=True
        )
        value: Tensor = self.encoder(image)
        for first, second in zip(self.residuals[::2], self.residuals[1::2], strict=True):
            value = value + second(first(value, codes).relu(), codes)
        for layer in self.decoder:
            value = layer(value, codes).relu()
        value = self.last(value, codes)
        return value.sigmoid() if self.output == "sigmoid" else 0.5 + 0.5 * value.tanh()


def initialise(network: StyleTransformer, std: float) -> None:
    """Initialise convolutions by N(0, ``std``): 0.01 in the paper's code, 0.02 in the port."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.normal_(layer.weight, 0.0, std)
