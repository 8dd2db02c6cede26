"""Hypercolumns: all layers of a network at single positions of a picture.

After Hariharan et al., "Hypercolumns for Object Segmentation and Fine-grained Localization", CVPR
2015, as Kolkin et al. 2019 (§2.1) use them.

Shapes: B pictures of H×W, N positions (row, column) in pixels, D the sum of the layers' widths.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Generator, Tensor


def random_positions(height: int, width: int, count: int, generator: Generator) -> Tensor:
    """Return ``count`` distinct positions, or all if there are fewer: (N, 2), int64.

    Sampling of Kolkin et al. 2019, §2.5. Unlike the paper, which takes a regular grid with a random
    offset from the output, positions are drawn there as well: a regular grid leaves its period in
    the picture. The authors' code shuffles the rows and the columns of its grid independently,
    which is nearly that.
    """
    chosen = torch.randperm(height * width, generator=generator)[:count]
    return torch.stack([chosen // width, chosen % width], 1)


def hypercolumns(maps: Sequence[Tensor], positions: Tensor, size: tuple[int, int]) -> Tensor:
    """Return the layers at ``positions``, as if all were enlarged bilinearly to the picture.

    Unlike the authors' code, which takes a layer's first position for the picture's first pixel,
    positions are centres, which equals the paper's bilinear enlargement. Nothing is enlarged.

    Args:
        maps: layers (B, C, h, w) of any sizes, in any precision.
        positions: (N, 2), the same in all pictures.
        size: (H, W) of the positions' picture.

    Returns:
        (B, N, D) in float32.
    """
    return torch.cat([_sampled(layer, positions.to(layer.device), size) for layer in maps], 2)


def _sampled(layer: Tensor, positions: Tensor, size: tuple[int, int]) -> Tensor:
    """Return (B, C, h, w) at positions (N, 2): (B, N, C)."""
    batch, channels, height, width = layer.shape
    rows = layer.permute(0, 2, 3, 1).reshape(batch, height * width, channels)
    above, below, down = _neighbours(positions[:, 0], size[0], height)
    left, right, across = _neighbours(positions[:, 1], size[1], width)
    places = torch.cat([y * width + x for y in (above, below) for x in (left, right)])
    shares = torch.stack([y * x for y in (1 - down, down) for x in (1 - across, across)])
    # all four at once, as the gradient of each choice of rows is as large as the layer
    found = rows.index_select(1, places).float().view(batch, *shares.shape, channels)
    return (found * shares[..., None]).sum(1)


def _neighbours(place: Tensor, length: int, cells: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the cells around the centre of pixel ``place`` of ``length``, and the fraction."""
    exact = ((place + 0.5) * (cells / length) - 0.5).clamp(0, cells - 1)
    first = exact.floor()
    return first.long(), (first.long() + 1).clamp_max(cells - 1), exact - first


@dataclass(frozen=True)
class Regions:
    """Masks of R regions: region r of the output takes the style of region r of the painting."""

    content: Tensor
    """(B, R, H, W) in [0, 1], of any size; above ½ is inside."""
    style: Tensor
    """(B, R, h, w), likewise. Positions outside all regions are unconstrained."""


def region_labels(masks: Tensor, positions: Tensor, size: tuple[int, int]) -> Tensor:
    """Return the region of each position: (B, N), -1 outside all regions.

    Args:
        masks: (B, R, h, w) in [0, 1], one channel per region, of any size; above ½ is inside, the
            largest value decides where regions overlap.
        positions: (N, 2).
        size: (H, W), what the positions count in.
    """
    masks = F.interpolate(masks.float(), size, mode="bilinear")
    place = positions.to(masks.device)
    values, labels = masks[:, :, place[:, 0], place[:, 1]].max(1)
    return torch.where(values > 0.5, labels, -1)
