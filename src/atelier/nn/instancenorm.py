"""Instance norm with a correct gradient for single pictures (Ulyanov et al. 2016)."""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from atelier.nn.eager import eager_on_cpu


def instance_norm(
    value: Tensor, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5
) -> Tensor:
    """Return ``F.instance_norm`` of (B, C, H, W).

    With torch 2.15 on a CPU its gradient is wrong for a batch of one if the incoming gradient is
    channels last, as convolutions return it. So there it is batch norm, picture by picture, in half
    the time; of contiguous tensors group norm with a group per channel, which is inexact in
    channels last. A recorded graph has instance norm of flattened pixels, which have no layout.
    """
    if not eager_on_cpu(value):
        rows = F.instance_norm(value.flatten(2), weight=weight, bias=bias, eps=eps)
        return rows.view(value.shape)
    channels = value.shape[1]
    if value.is_contiguous():
        return F.group_norm(value, channels, weight, bias, eps)
    exact = torch.promote_types(value.dtype, torch.float32)  # torch's statistics have their type
    scale = torch.ones(channels, dtype=exact) if weight is None else weight
    shift = torch.zeros(channels, dtype=exact) if bias is None else bias
    norm = partial(F.batch_norm, running_mean=None, running_var=None, training=True, eps=eps)
    made = [norm(one, weight=scale, bias=shift) for one in torch.split(value, 1)]
    return made[0] if len(made) == 1 else torch.cat(made)


class InstanceNorm(nn.InstanceNorm2d):
    """``torch.nn.InstanceNorm2d`` computed by ``instance_norm``."""

    def forward(self, value: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape."""
        return instance_norm(value, self.weight, self.bias, self.eps)
