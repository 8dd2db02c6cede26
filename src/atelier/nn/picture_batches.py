"""Batches of pictures: filled up; refused where a side is too small or a loss is not finite."""

from __future__ import annotations

import torch
from torch import Tensor

from atelier.core.config import UserError

SMALLEST = 32
"""Side in pixels below which relu5_1 has fewer than 2×2 positions and no statistics."""


def fill_batch(images: Tensor, batch: int) -> Tensor:
    """Repeat the last of (B, …) until there are ``batch``; more are left as they are."""
    missing = batch - len(images)
    if missing <= 0:
        return images
    return torch.cat([images, images[-1:].expand(missing, *images.shape[1:])])


def refuse_small(name: str, least: int, *images: Tensor) -> None:
    """Raise a UserError, in the name of ``name``, where a side is below ``least`` pixels."""
    for image in images:
        height, width = image.shape[2:]
        if min(height, width) < least:
            raise UserError(f"{name} needs pictures of at least {least} px, got {width}×{height}")


def refuse_nan(total: Tensor, step: int, remedy: str) -> None:
    """Raise a UserError where a loss (B,) is not finite: it names the places in the batch."""
    bad = (~total.isfinite()).nonzero().flatten().tolist()
    if bad:
        raise UserError(
            f"the loss of picture {', '.join(map(str, bad))} of the batch is not finite at step "
            f"{step}: {remedy}"
        )
