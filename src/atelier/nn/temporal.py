"""Temporal loss from photographs alone: a moved, noisy photograph gives a moved picture.

After Wang et al. 2020, "Consistent video style transfer via compound regularization", who
synthesise a second frame from each training picture. Unlike there, the motion is one shift by whole
pixels, which needs no interpolation; what it rewards is that the result does not depend on where
in the picture something is, and on noise.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

SHIFT = 8
"""Largest shift in pixels, along each side."""
NOISE = 0.02
"""Standard deviation of the noise, in grey levels from 0 to 1."""


def shifted(image: Tensor, down: int, right: int) -> Tensor:
    """Return (B, C, H, W) moved by up to ``SHIFT`` pixels; what comes in repeats the border."""
    height, width = image.shape[2:]
    wide = F.pad(image, (SHIFT,) * 4, mode="replicate")
    return wide[..., SHIFT - down :, SHIFT - right :][..., :height, :width]


def temporal_loss(
    network: Callable[[Tensor], Tensor], content: Tensor, image: Tensor, generator: Generator
) -> Tensor:
    """Return the mean squared difference of the moved result and the result of the moved: (B,).

    The outer ``SHIFT`` pixels, where borders come in, are left out.

    Args:
        network: maps pictures to pictures of the same size.
        content: photographs (B, 3, H, W) in [0, 1], sides above 2·``SHIFT``.
        image: what ``network`` makes of them.
        generator: of the shift and the noise, on the CPU.
    """
    down, right = torch.randint(-SHIFT, SHIFT + 1, (2,), generator=generator).tolist()
    noise = NOISE * torch.randn(content.shape, generator=generator)
    made = network(shifted(content, down, right) + noise.to(content))
    inside = (slice(None), slice(None), slice(SHIFT, -SHIFT), slice(SHIFT, -SHIFT))
    return (shifted(image, down, right) - made)[inside].float().square().mean((1, 2, 3))
