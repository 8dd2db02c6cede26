"""The 70×70 patch discriminator and its losses.

After Isola et al., "Image-to-image translation with conditional adversarial networks" (CVPR 2017),
§3.2.2, as Zhu et al. (ICCV 2017), §7.2, use it: with instance norm and without a condition.

Shapes: B pictures of H×W, pixels in [-1, 1].
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from atelier.nn.instancenorm import InstanceNorm
from atelier.nn.resnet import BlurDown

Gan = Literal["lsgan", "vanilla"]


class PatchGAN(nn.Sequential):
    """Discriminator of five 4×4 convolutions; one logit per patch of 70×70 pixels.

    (B, 3, H, W) to (B, 1, h, w), without activation; 256² gives 30×30, and sides must be at least
    24. With width 64 it has 2,764,737 parameters, with ``antialias`` (CUT's blur-pooling instead of
    strides, Park et al., ECCV 2020, §C.2) as many.
    """

    def __init__(self, width: int = 64, *, antialias: bool = False) -> None:
        one, two, four, eight = width, 2 * width, 4 * width, 8 * width
        super().__init__(
            *_layer(3, one, antialias=antialias, stride=2, norm=False),
            *_layer(one, two, antialias=antialias, stride=2),
            *_layer(two, four, antialias=antialias, stride=2),
            *_layer(four, eight, antialias=antialias, stride=1),
            nn.Conv2d(eight, 1, 4, padding=1),
        )


def _layer(
    inputs: int, outputs: int, *, antialias: bool, stride: int, norm: bool = True
) -> list[nn.Module]:
    blurred = antialias and stride == 2
    layers: list[nn.Module] = [nn.Conv2d(inputs, outputs, 4, 1 if blurred else stride, 1)]
    layers += [InstanceNorm(outputs)] * norm
    return [*layers, nn.LeakyReLU(0.2), *[BlurDown(outputs)] * blurred]


def adversarial(verdict: Tensor, gan: Gan, *, real: bool) -> Tensor:
    """Return the loss of logits (any shape) against "real" or "fake", mean over all patches.

    Args:
        verdict: output of a discriminator, without activation.
        gan: ``lsgan``: squared distance to 1 or 0 (Mao et al. 2017); ``vanilla``: cross-entropy
            (Goodfellow et al. 2014).
        real: the correct label.
    """
    wanted = torch.full_like(verdict, float(real), dtype=torch.float32)
    measure = F.mse_loss if gan == "lsgan" else F.binary_cross_entropy_with_logits
    return measure(verdict.float(), wanted)


def discriminator_loss(discriminator: nn.Module, real: Tensor, fake: Tensor, gan: Gan) -> Tensor:
    """Return half the sum of the losses of real pictures and of fakes (B, 3, H, W).

    Both form one batch, which is equivalent with instance norm.
    """
    verdicts = discriminator(torch.cat([real, fake])).split([len(real), len(fake)])
    return (
        adversarial(verdicts[0], gan, real=True) + adversarial(verdicts[1], gan, real=False)
    ) / 2
