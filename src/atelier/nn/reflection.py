"""Reflection padding that is faster than torch's on a CPU.

Under autocast torch's is computed in float32 there, and gives float32; here what is bfloat16 stays
so. Torch's gradient of contiguous tensors adds pixel by pixel, in bfloat16 ten times as slowly as
it pads; here the mirrored rims are added to the middle. In channels last it is fast: left.

Shapes: B pictures of H×W, C channels.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from atelier.nn.eager import eager_on_cpu


def reflect(value: Tensor, rim: int) -> Tensor:
    """Return (B, C, H, W) with ``rim`` mirrored pixels on every side, as ``F.pad``."""
    if not eager_on_cpu(value):
        return _padded(value, rim)
    pad = _Reflect.apply if value.is_contiguous() and value.ndim == 4 else _padded
    with torch.autocast("cpu", enabled=False):
        found: Tensor = pad(value, rim)
    return found


def _padded(value: Tensor, rim: int) -> Tensor:
    return F.pad(value, (rim, rim, rim, rim), "reflect")


class _Reflect(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor, rim: int) -> Tensor:
        ctx.rim = rim
        return _padded(value, rim)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return _folded(_folded(gradient, 2, ctx.rim), 3, ctx.rim), None


def _folded(value: Tensor, dim: int, rim: int) -> Tensor:
    """Return the middle of ``value`` along ``dim``, with its rims added to what they mirror."""
    side = value.shape[dim] - 2 * rim
    middle = value.narrow(dim, rim, side).clone()
    middle.narrow(dim, 1, rim).add_(value.narrow(dim, 0, rim).flip(dim))
    middle.narrow(dim, side - rim - 1, rim).add_(value.narrow(dim, rim + side, rim).flip(dim))
    return middle


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
