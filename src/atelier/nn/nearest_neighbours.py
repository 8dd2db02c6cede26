"""Nearest neighbours among a painting's features, by centred cosine distance.

After Kolkin et al., "Neural Neighbor Style Transfer", 2022 (arXiv 2203.13215). Pure functions, in
float32 even under autocast.

Shapes: one picture's features (N, D) or a batch of them (B, N, D), the painting's (B, M, D).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

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
    """Return hypercolumns (B, N, D), N = ``size``: layers over their width, resized bilinearly.

    Divided by their width, so that wide layers do not dominate the cosine (authors' code).
    """
    scaled = (layer.float() / layer.shape[1] for layer in layers)
    return torch.cat([flatten(F.interpolate(part, size, mode="bilinear")) for part in scaled], 2)


def nearest(query: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
    """Return the largest cosine (B, N) of each query with the references, and its index.

    The matrix is computed in chunks.

    Args:
        query: (B, N, D), centred.
        reference: (B, M, D), centred.
    """
    query, reference = (F.normalize(part, dim=2, eps=NORM_EPS) for part in (query, reference))
    rows = max(1, CHUNK // (len(query) * reference.shape[1]))
    with torch.autocast(query.device.type, enabled=False):
        matches = [products(part, reference).max(2) for part in torch.split(query, rows, 1)]
    return torch.cat([m.values for m in matches], 1), torch.cat([m.indices for m in matches], 1)


@torch.no_grad()
def replace_features(content: Tensor, paintings: Sequence[Tensor]) -> Tensor:
    """Return the painting's nearest feature to each content feature, by centred cosine (§3.2).

    Args:
        content: (B, N, D).
        paintings: parts of the painting's features (B, M, D), such as its rotations; they are
            centred by their common mean, the content by its own. They are searched one by one.

    Returns:
        (B, N, D), rows of ``paintings``, not centred.
    """
    total = sum((part.sum(1, keepdim=True) for part in paintings), torch.zeros(()))
    centre = total / sum(part.shape[1] for part in paintings)
    query = content - content.mean(1, keepdim=True)
    best = torch.full(content.shape[:2], -2.0, device=content.device)
    replaced = torch.zeros_like(content)
    for part in paintings:
        cosine, index = nearest(query, part - centre)
        better = cosine > best
        best = torch.where(better, cosine, best)
        replaced = torch.where(better[..., None], _rows(part, index), replaced)
    return replaced


def _rows(table: Tensor, index: Tensor) -> Tensor:
    """Return the rows ``index`` (B, N) of (B, M, D): (B, N, D)."""
    return table.gather(1, index[..., None].expand(-1, -1, table.shape[2]))


def cosine_loss(features: Tensor, target: Tensor) -> Tensor:
    """Return the mean of 1 - cos between corresponding rows of (B, N, D), (B,)."""
    features, target = features.float(), target.float()
    # torch's cosine divides every feature instead, and keeps the quotients for the gradient
    norms = [torch.linalg.vector_norm(v, dim=2).clamp_min(NORM_EPS) for v in (features, target)]
    cosine: Tensor = (features * target).sum(2) / (norms[0] * norms[1])
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
    reference = painting - painting.mean(1, keepdim=True)
    with torch.no_grad():
        _, index = nearest(centred, reference)
    return cosine_loss(centred, _rows(reference, index))
