"""Instance norm with a correct gradient for single pictures (Ulyanov et al. 2016)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from atelier.nn.eager import eager_on_cpu


def instance_norm(
    value: Tensor, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5
) -> Tensor:
    """Return ``F.instance_norm`` of (B, C, H, W).

    With torch 2.15 on a CPU its gradient is wrong for a batch of one if the incoming gradient is
    channels last, as convolutions return it. So there it is group norm with a group per channel, in
    half the time; of contiguous tensors, as its variance is inexact in channels last. A recorded
    graph has instance norm, of flattened pixels: they have no such layout.
    """
    if eager_on_cpu(value):
        return F.group_norm(value.contiguous(), value.shape[1], weight, bias, eps)
    rows = F.instance_norm(value.flatten(2), weight=weight, bias=bias, eps=eps)
    return rows.view(value.shape)


class InstanceNorm(nn.InstanceNorm2d):
    """``torch.nn.InstanceNorm2d`` computed by ``instance_norm``."""

    def forward(self, value: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape."""
        return instance_norm(value, self.weight, self.bias, self.eps)
