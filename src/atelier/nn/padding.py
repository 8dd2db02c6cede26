"""Padding for networks that need multiples: pad by reflection, apply, crop."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor


def fitted(apply: Callable[[Tensor], Tensor], image: Tensor, multiple: int) -> Tensor:
    """Apply ``apply`` to ``image`` (B, 3, H, W) padded to multiples; crop the result to H×W.

    The least possible padding is added right and below. A side too short for reflection (which
    needs more pixels than it adds) is padded by replication instead.
    """
    height, width = image.shape[2:]
    right, below = -width % multiple, -height % multiple
    if right or below:
        mode = "reflect" if right < width and below < height else "replicate"
        image = F.pad(image, (0, right, 0, below), mode)
    return apply(image)[..., :height, :width]


def cropped(image: Tensor, multiple: int) -> Tensor:
    """Return (B, C, H, W) without its last rows and columns: sides are multiples of ``multiple``.

    For losses between a picture and its translation; uncropped ones (``crop: null``) have any size.
    """
    height, width = (side - side % multiple for side in image.shape[2:])
    return image[..., :height, :width]
