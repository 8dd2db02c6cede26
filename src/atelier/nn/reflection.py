"""Reflection padding that keeps its precision on a CPU.

Under autocast torch's is computed in float32 there, and gives float32; here what is bfloat16 stays
so.

Shapes: B pictures of H×W, C channels.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from atelier.nn.eager import eager_on_cpu


def reflect(value: Tensor, rim: int) -> Tensor:
    """Return (B, C, H, W) with ``rim`` mirrored pixels on every side, as ``F.pad``."""
    if not eager_on_cpu(value):
        return _padded(value, rim)
    with torch.autocast("cpu", enabled=False):
        return _padded(value, rim)


def _padded(value: Tensor, rim: int) -> Tensor:
    return F.pad(value, (rim, rim, rim, rim), "reflect")


class Reflection(nn.ReflectionPad2d):
    """``torch.nn.ReflectionPad2d`` by the same number of pixels on every side."""

    def forward(self, value: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C, H + 2·rim, W + 2·rim)."""
        return reflect(value, self.padding[0])


class ReflectionConv(nn.Conv2d):
    """``torch.nn.Conv2d``, which pads by ``reflect`` if its ``padding_mode`` is reflection."""

    def forward(self, value: Tensor) -> Tensor:
        """Map (B, I, H, W) to (B, O, H', W')."""
        if self.padding_mode != "reflect" or len({*self.padding}) > 1:
            return super().forward(value)
        rest = self.stride, 0, self.dilation, self.groups
        return F.conv2d(reflect(value, int(self.padding[0])), self.weight, self.bias, *rest)
