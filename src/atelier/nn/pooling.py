"""Adaptive average pooling as two matrix products: for ONNX, MPS, and a gradient without atomics.

Torch's own is refused by ONNX and MPS where cells do not divide the sides, and on CUDA its gradient
adds up in any order.
"""

from __future__ import annotations

import torch
from torch import Tensor


def average_cells(maps: Tensor, cells: tuple[int, int]) -> Tensor:
    """Return the means of (B, C, h, w) over a grid of cells, (B, C, *cells)."""
    sides = zip(maps.shape[2:], cells, strict=True)
    rows, columns = (averages(side, count, maps) for side, count in sides)
    return rows @ maps @ columns.mT


def averages(side: int, count: int, like: Tensor) -> Tensor:
    """Return the matrix (count, side) of adaptive average pooling along one side.

    Cell i averages from floor(i·side/count) to ceil((i + 1)·side/count).
    """
    cells, at = (torch.arange(n, device=like.device) for n in (count, side))
    first, end = cells * side // count, -(-(cells + 1) * side // count)
    inside = ((at >= first[:, None]) & (at < end[:, None])).to(like.dtype)
    return inside / inside.sum(1, keepdim=True)
