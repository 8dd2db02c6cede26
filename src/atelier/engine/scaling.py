"""Scaling of losses for gradients in float16, whose smallest numbers would otherwise be zero."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch.amp import GradScaler

from atelier.core.config import UserError
from atelier.core.precision import resolved
from atelier.core.structure import Precision

LEAST = 1.0
"""Scale below which gradients overflow for another reason than the scale."""


def gradient_scalers(
    optimizers: Iterable[str], precision: Precision, device: str
) -> dict[str, GradScaler]:
    """Return a scaler for each optimiser; in other precisions than float16 they do nothing.

    A scaler halves its scale and leaves an update out where a gradient overflows.
    """
    on, kind = resolved(precision, device) == "float16", torch.device(device).type
    return {name: GradScaler(kind, enabled=on) for name in optimizers}


def refuse_lost(scalers: Mapping[str, GradScaler], step: int) -> None:
    """Raise where every update has been left out for a while.

    Raises:
        UserError: a scale is below ``LEAST``.
    """
    for name, scaler in scalers.items():
        if scaler.is_enabled() and scaler.get_scale() < LEAST:
            raise UserError(
                f"step {step}: the gradient ({name}) is not finite in float16, at any scale; lower "
                "lr, set clip_norm, or set precision: bfloat16 or float32"
            )
