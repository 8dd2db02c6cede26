"""Padding for networks that need multiples: pad by reflection, apply, crop."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor


def fitted(apply: Callable[[Tensor], Tensor], image: Tensor, multiple: int) -> Tensor:
    """Apply ``apply`` to ``image`` (B, 3, H, W) padded to multiples; crop the result to H×W.

    Padding is added right and below, as little as possible. A side too short to be mirrored
    (reflection needs more pixels than it adds) repeats its rim instead.
    """
    height, width = image.shape[2:]
    right, below = -width % multiple, -height % multiple
    if right or below:
        mode = "reflect" if right < width and below < height else "replicate"
        image = F.pad(image, (0, right, 0, below), mode)
    return apply(image)[..., :height, :width]
