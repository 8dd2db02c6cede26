"""Adaptive average pooling as two matrix products.

Unlike torch's own it can be exported to ONNX for any size, runs on MPS where cells do not divide
the sides (older versions of torch refuse that), and has a deterministic gradient on CUDA.
"""

from __future__ import annotations

import torch
from torch import Tensor


def average_cells(maps: Tensor, cells: tuple[int, int]) -> Tensor:
    """Return the means of (B, C, h, w) over a grid of cells, (B, C, *cells)."""
    sides = zip(maps.shape[2:], cells, strict=True)
    rows, columns = (_averages(side, count, maps) for side, count in sides)
    return rows @ maps @ columns.mT


def _averages(side: int, count: int, like: Tensor) -> Tensor:
    """Return the matrix (count, side) of adaptive average pooling along one side.

    Cell i averages from floor(i·side/count) to ceil((i + 1)·side/count).
    """
    cells, at = (torch.arange(n, device=like.device) for n in (count, side))
    first, end = cells * side // count, -(-(cells + 1) * side // count)
    inside = ((at >= first[:, None]) & (at < end[:, None])).to(like.dtype)
    return inside / inside.sum(1, keepdim=True)
