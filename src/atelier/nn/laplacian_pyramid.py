"""Laplacian pyramids by bilinear resizing, and their optimisation from coarse to fine.

After Kolkin et al. 2019 (§2.5) and 2022: an output is optimised over the entries of its pyramid
instead of over pixels, so that one step of an optimiser changes both colours of large areas and
detail. The methods that do so differ only in their objective.

Shapes: pictures (B, 3, H, W); a pyramid is a list, finest level first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.optim import Optimizer

from atelier.nn.picture_batches import SMALLEST, refuse_nan


def resize(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize (B, C, H, W) bilinearly to (B, C, *size); the same tensor where the size is right."""
    if image.shape[2:] == size:
        return image
    return F.interpolate(image, size, mode="bilinear")


def half(size: tuple[int, int]) -> tuple[int, int]:
    """Return half of (height, width), rounded down and at least 1."""
    return max(size[0] // 2, 1), max(size[1] // 2, 1)


def decompose(image: Tensor, levels: int) -> list[Tensor]:
    """Return the Laplacian pyramid of (B, C, H, W): ``levels`` residuals, then the base.

    A residual is what a picture loses when halved and enlarged again; halving ends at 1×1. Unlike
    STROTSS's code, which aligns corners here and not elsewhere, enlarging is the same everywhere.
    """
    pyramid = []
    for _ in range(levels):
        size = (image.shape[2], image.shape[3])
        if max(size) == 1:
            break
        small = resize(image, half(size))
        pyramid.append(image - resize(small, size))
        image = small
    return [*pyramid, image]


def reconstruct(pyramid: list[Tensor]) -> Tensor:
    """Return the picture of a pyramid, (B, C, H, W) of its first level: undoes ``decompose``."""
    *residuals, image = pyramid
    for residual in reversed(residuals):
        image = residual + resize(image, (residual.shape[2], residual.shape[3]))
    return image


def detail(image: Tensor) -> Tensor:
    """Return the finest residual of (B, C, H, W), of the same shape."""
    return decompose(image, 1)[0]


def coarse_to_fine(height: int, width: int, coarsest: int) -> list[tuple[int, int]]:
    """Return the sizes of a picture, ascending: halved while its long side reaches ``coarsest``.

    The pyramid of a long picture ends earlier, before its short side falls below ``SMALLEST``.
    """
    sizes = [(height, width)]
    while max(half(sizes[0])) >= coarsest and min(half(sizes[0])) >= SMALLEST:
        sizes.insert(0, half(sizes[0]))
    return sizes


def pictures_by_size(image: Tensor, count: int) -> list[Tensor]:
    """Return (B, C, H, W) at ``count`` sizes, each half of the next, smallest first.

    A size whose half would fall below ``SMALLEST`` is repeated instead.
    """
    pictures = [image]
    for _ in range(count - 1):
        size = half((pictures[0].shape[2], pictures[0].shape[3]))
        pictures.insert(0, resize(pictures[0], size) if min(size) >= SMALLEST else pictures[0])
    return pictures


def optimise(
    image: Tensor,
    levels: int,
    objective: Callable[[Tensor], Mapping[str, Tensor]],
    make_optimizer: Callable[[list[Tensor]], Optimizer],
    steps: int,
) -> Iterator[tuple[Tensor, dict[str, Tensor]]]:
    """Optimise the pyramid of ``image``; yield the picture after each step, the losses before it.

    Args:
        image: (B, 3, H, W), the initial value.
        levels: residuals of the pyramid.
        objective: picture with a gradient → losses, (B,) each; ``total`` is minimised. The
            optimiser must be elementwise, so that no picture depends on its neighbours.
        make_optimizer: function that takes the pyramid's levels.
        steps: number of steps.

    Yields:
        The picture, detached and not clamped to [0, 1], and the detached losses.

    Raises:
        UserError: a loss is not finite; names the indices in the batch.
    """
    pyramid = [level.detach().clone().requires_grad_() for level in decompose(image, levels)]
    optimizer = make_optimizer(pyramid)
    current = reconstruct(pyramid)
    for step in range(steps):
        losses = objective(current)
        refuse_nan(losses["total"], step, "lower lr")
        optimizer.zero_grad()
        torch.autograd.backward(losses["total"].sum())
        optimizer.step()
        current = reconstruct(pyramid)
        yield current.detach(), {name: loss.detach() for name, loss in losses.items()}
