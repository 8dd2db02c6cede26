"""Class activation maps (Zhou et al., CVPR 2016), as attention and as heat maps.

Shapes: B pictures; features of C channels at h×w positions.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

CamWeight = Literal["effective", "original"]
ORIGINAL = "parametrizations.weight.original"
"""Where torch keeps a weight that it normalises."""


class ClassActivation(nn.Module):
    """Class activation maps as attention (U-GAT-IT, Kim et al., ICLR 2020, §2.1.1).

    Two linear classifiers, of average-pooled and of max-pooled channels; the features times the
    weights of each are fused by a 1×1 convolution. Multiplying its input equals multiplying its
    weights, so it is computed as one convolution of the features.
    """

    def __init__(
        self, channels: int, *, spectral: bool = False, weight: CamWeight = "effective"
    ) -> None:
        """``weight``: with ``spectral``, which of the two weights multiply the features.

        The authors' code uses the ``original`` ones, but the ``effective`` ones for its logits.
        """
        super().__init__()
        heads = [nn.Linear(channels, 1, bias=False) for _ in range(2)]
        self.average, self.maximum = (spectral_norm(h) if spectral else h for h in heads)
        self.fuse = nn.Conv2d(2 * channels, channels, 1)
        self.original = spectral and weight == "original"

    def forward(self, value: Tensor) -> tuple[Tensor, Tensor]:
        """Map (B, C, h, w) to attended features (B, C, h, w) and logits (B, 2) in float32."""
        average: Tensor = self.average.weight  # type: ignore[assignment]
        maximum: Tensor = self.maximum.weight  # type: ignore[assignment]
        pools = value.float().mean((2, 3)), value.float().amax((2, 3))
        # products and sums instead of F.linear, which autocast would run in bfloat16
        logits = [(pools[0] * average).sum(1), (pools[1] * maximum).sum(1)]
        if self.original:
            average = self.average.get_parameter(ORIGINAL)
            maximum = self.maximum.get_parameter(ORIGINAL)
        both = torch.cat([average, maximum], 1)[..., None, None]  # (1, 2C, 1, 1)
        first, second = (self.fuse.weight * both).chunk(2, 1)
        return F.conv2d(value, first + second, self.fuse.bias), torch.stack(logits, 1)


def spread(heat: Tensor) -> Tensor:
    """Normalise (B, 1, h, w) by its minimum and maximum to [0, 1]; a constant map gives zeros."""
    low, high = heat.amin((2, 3), keepdim=True), heat.amax((2, 3), keepdim=True)
    return (heat - low) / (high - low).clamp_min(torch.finfo(heat.dtype).tiny)


def jet(value: Tensor) -> Tensor:
    """Map (B, H, W) in [0, 1] to colours (B, 3, H, W): MATLAB's ``jet``, blue over green to red."""
    peaks = [1.5 - (4 * value - centre).abs() for centre in (3, 2, 1)]
    return torch.stack(peaks, 1).clamp(0, 1)
