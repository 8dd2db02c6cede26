"""Instance norm with a correct gradient for single pictures (Ulyanov et al. 2016)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


def instance_norm(
    value: Tensor, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5
) -> Tensor:
    """Apply ``F.instance_norm`` to flattened pixels: (B, C, H, W) to the same shape.

    With torch 2.15 on a CPU the gradient of ``F.instance_norm`` is wrong for a batch of one if the
    incoming gradient is channels last, as convolutions return it. Flattened tensors have no such
    layout; result and speed are the same.
    """
    rows = F.instance_norm(value.flatten(2), weight=weight, bias=bias, eps=eps)
    return rows.view(value.shape)


class InstanceNorm(nn.InstanceNorm2d):
    """``torch.nn.InstanceNorm2d`` computed by ``instance_norm``."""

    def forward(self, value: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape."""
        return instance_norm(value, self.weight, self.bias, self.eps)
