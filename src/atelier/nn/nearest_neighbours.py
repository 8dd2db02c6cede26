"""Nearest neighbours among a painting's features, by centred cosine distance.

After Kolkin et al., "Neural Neighbor Style Transfer", 2022 (arXiv 2203.13215). Pure functions, in
float32; under autocast neighbours, and they alone, are searched in its precision.

Shapes: one picture's features (N, D) or a batch of them (B, N, D), the painting's (B, M, D).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from atelier.nn.products import products

NORM_EPS = 1e-8
"""Minimum norm in a cosine, for features equal to their mean."""
CHUNK = 2**24
"""Entries of the distance matrix computed at once."""


def rotations(image: Tensor) -> Iterable[Tensor]:
    """Yield (B, C, h, w) turned by 0, 90, 180 and 270 degrees, one after another."""
    return (torch.rot90(image, turns, (2, 3)) for turns in range(4))


def flatten(features: Tensor) -> Tensor:
    """Return (B, C, h, w) as one row per position: (B, h·w, C) in float32."""
    return features.flatten(2).mT.float()


def stacked_layers(layers: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
    """Return hypercolumns (B, N, D), N = ``size``: ``resized_layers`` side by side."""
    return torch.cat(list(resized_layers(layers, size)), 2)


def resized_layers(layers: Iterable[Tensor], size: tuple[int, int]) -> Iterator[Tensor]:
    """Yield the layers (B, C, h, w), resized bilinearly: each (B, N, C), N = ``size``.

    Divided by their width, so that wide layers do not dominate the cosine (authors' code). Unlike
    there, where corners are aligned, positions are centres, as everywhere in this project.
    """
    for layer in layers:
        yield flatten(F.interpolate(layer.float(), size, mode="bilinear")) / layer.shape[1]


def nearest(query: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
    """Return the largest cosine (B, N) of each query with the references, and its index.

    Computed in chunks, of the queries of length one and of the matrix. Under autocast in its
    precision: in bfloat16 some features get another neighbour, whose cosine was 0.006 smaller at
    most, in a third to half of the time.

    Args:
        query: (B, N, D), centred.
        reference: (B, M, D), centred, of length one.
    """
    kind, rows = query.device.type, max(1, CHUNK // (len(query) * reference.shape[1]))
    lower = torch.is_autocast_enabled(kind)
    dtype = torch.get_autocast_dtype(kind) if lower else reference.dtype
    reference = reference.to(dtype)
    with torch.autocast(kind, enabled=False):
        matches = [
            products(F.normalize(part, dim=2, eps=NORM_EPS).to(dtype), reference).max(2)
            for part in torch.split(query, rows, 1)
        ]
    return torch.cat([m.values for m in matches], 1), torch.cat([m.indices for m in matches], 1)


@torch.no_grad()
def directions(features: Tensor, centre: Tensor) -> Tensor:
    """Return what (B, N, D) is from ``centre`` (B, 1, D) on, of length one."""
    moved = features - centre
    norms = torch.linalg.vector_norm(moved, dim=2, keepdim=True)
    return moved.div_(norms.clamp_min_(NORM_EPS))


@torch.no_grad()
def replace_features(content: Tensor, paintings: Callable[[], Iterable[Tensor]]) -> Tensor:
    """Return the painting's nearest feature to each content feature, by centred cosine (§3.2).

    Args:
        content: (B, N, D).
        paintings: returns parts of the painting's features (B, M, D), such as its rotations; they
            are centred by their common mean, the content by its own (in the authors' code by that
            of as many rows as fit into memory). Called twice, so that one part at a time is held.

    Returns:
        (B, N, D), rows of ``paintings``, not centred.
    """
    total, count = torch.zeros(()), 0
    for part in paintings():
        total, count = total + part.sum(1, keepdim=True), count + part.shape[1]
    query = content - content.mean(1, keepdim=True)
    best = torch.full(content.shape[:2], -2.0, device=content.device)
    replaced = torch.zeros_like(content)
    for part in paintings():
        cosine, index = nearest(query, directions(part, total / count))
        better = cosine > best
        best = torch.where(better, cosine, best)
        replaced[better] = _rows(part, index)[better]
    return replaced


def _rows(table: Tensor, index: Tensor) -> Tensor:
    """Return the rows ``index`` (B, N) of (B, M, D): (B, N, D)."""
    return table.gather(1, index[..., None].expand(-1, -1, table.shape[2]))


def cosine_loss(features: Tensor, target: Tensor) -> Tensor:
    """Return the mean of 1 - cos between corresponding rows of (B, N, D), (B,)."""
    return cosine_loss_in_parts([features], [target])


def cosine_loss_in_parts(features: Iterable[Tensor], target: Iterable[Tensor]) -> Tensor:
    """Return ``cosine_loss`` of rows (B, N, D) that are given in parts of D, (B,).

    So hypercolumns are never put together, nor is their gradient.
    """
    dots, norms = [], []
    for part, wanted in zip(features, target, strict=True):
        pair = (part.float(), wanted.float())
        dots.append((pair[0] * pair[1]).sum(2))
        # torch's cosine divides every feature instead, and keeps the quotients for the gradient
        norms.append(torch.stack([torch.linalg.vector_norm(v, dim=2) for v in pair]))
    lengths = torch.linalg.vector_norm(torch.stack(norms), dim=0).clamp_min(NORM_EPS)
    cosine: Tensor = torch.stack(dots).sum(0) / (lengths[0] * lengths[1])
    return (1 - cosine).mean(1)


def neighbour_loss(features: Tensor, painting: Tensor) -> Tensor:
    """Return the mean centred cosine distance to the nearest of the painting's features, (B,).

    Both are centred by their own mean. Neighbours are found without a gradient, which then flows
    through the pairs: equal to that of the minimum of all distances, with less memory.

    Args:
        features: (B, N, D), with a gradient.
        painting: (B, M, D).
    """
    centred = features.float() - features.float().mean(1, keepdim=True)
    centre = painting.mean(1, keepdim=True)
    with torch.no_grad():
        _, index = nearest(centred, directions(painting, centre))
    return cosine_loss(centred, _rows(painting, index) - centre)
