"""Convolution to a picture's three channels, with all lanes of a CPU at work.

A processor computes 8 or 16 output channels of a position at once; with three of them most of its
lanes are idle. Here the outputs of 2×2 neighbouring positions are the channels of one convolution
with stride 2: the same sums, in another order.

Shapes: B pictures of H×W; a weight is (O, I, k, k').
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from atelier.nn.eager import eager_on_cpu
from atelier.nn.reflection import ReflectionConv, reflect

FEW = 4
"""Output channels up to which it pays."""
WIDE = 49
"""Positions of a filter from which it pays: 7×7. A 3×3 filter padded to 4×4 gains nothing."""


class PictureConv(ReflectionConv):
    """``torch.nn.Conv2d``, computed by ``conv_by_squares`` where its shape makes that faster."""

    def forward(self, value: Tensor) -> Tensor:
        """Map (B, I, H, W) to (B, O, H', W')."""
        padding = self.padding
        if isinstance(padding, str) or not self._fits() or not eager_on_cpu(value):
            return super().forward(value)
        down, across = padding
        if self.padding_mode == "reflect" and down == across:
            value, down, across = reflect(value, down), 0, 0
        elif self.padding_mode != "zeros":
            value = F.pad(value, (across, across, down, down), self.padding_mode)
            down = across = 0
        return conv_by_squares(value, self.weight, self.bias, (down, across))

    def _fits(self) -> bool:
        plain = self.stride == self.dilation == (1, 1) and self.groups == 1
        height, width = self.kernel_size
        return plain and self.out_channels <= FEW and height * width >= WIDE


def conv_by_squares(
    value: Tensor, weight: Tensor, bias: Tensor | None, padding: tuple[int, int] = (0, 0)
) -> Tensor:
    """Return ``F.conv2d`` with stride 1, computed for squares of 2×2 positions.

    Args:
        value: (B, I, H, W).
        weight: (O, I, k, k').
        bias: (O,).
        padding: zeros on every side, down and across.

    Returns:
        (B, O, H', W').
    """
    sides = zip(value.shape[2:], weight.shape[2:], padding, strict=True)
    height, width = (side + 2 * rim - size + 1 for side, size, rim in sides)
    if height % 2 or width % 2:  # one more row or column, which is cut off below
        value = F.pad(value, (0, width % 2, 0, height % 2))
    shifted = [F.pad(weight, (x, 1 - x, y, 1 - y)) for y in (0, 1) for x in (0, 1)]
    filters = torch.stack(shifted, 1).flatten(0, 1)  # in the order of pixel_shuffle
    biases = None if bias is None else bias.repeat_interleave(4)
    squares = F.conv2d(value, filters, biases, 2, padding)
    return F.pixel_shuffle(squares, 2)[..., :height, :width]
