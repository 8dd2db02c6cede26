"""Fréchet distance between the local features of two pictures (Shaham et al. 2019, SinGAN, SIFID).

A picture is the set of the feature vectors at all positions of a shallow layer. The distance is
that of a picture's set to its own painting's: how alike colours and strokes are, wherever they
are.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from atelier.metrics.measures import OfPairs, PairBatch
from atelier.metrics.perceptual import activations
from atelier.metrics.statistics import Statistics, frechet_from

LAYER = "relu2_1"
"""Unlike the paper (Inception, 64 channels before the second pooling): of the network of content
and style, which has seen the picture anyway."""


def texture_sums(found: Mapping[str, Tensor]) -> Tensor:
    """Return (B, (C + 1)(C + 2)/2) float64: ``Statistics`` of every picture's positions, flat.

    Args:
        found: activations, of which ``LAYER`` (B, C, h, w) counts.
    """
    positions = found[LAYER].flatten(2).mT
    return torch.stack([_flat(Statistics.of(one)) for one in positions])


def texture_distance(result: Tensor, painting: Tensor) -> Tensor:
    """Return the Fréchet distances (B,) between pictures and paintings, of ``texture_sums``.

    Raises:
        UserError: a picture with a single position.
    """
    pairs = zip(result, painting, strict=True)
    distances = [frechet_from(_statistics(one), _statistics(other)) for one, other in pairs]
    return torch.tensor(distances, dtype=torch.float64)


def _flat(found: Statistics) -> Tensor:
    """Return n, μ and the upper triangle of the scatter: half of a file of many paintings."""
    rows, columns = torch.triu_indices(*found.scatter.shape)
    count = found.mean.new_tensor([found.count])
    return torch.cat([count, found.mean, found.scatter[rows, columns]])


def _statistics(flat: Tensor) -> Statistics:
    """Return what ``_flat`` was given."""
    width = (math.isqrt(8 * len(flat) + 1) - 3) // 2
    rows, columns = torch.triu_indices(width, width)
    scatter = flat.new_zeros(width, width)
    scatter[rows, columns] = scatter[columns, rows] = flat[1 + width :]
    return Statistics(int(flat[0]), flat[1 : 1 + width], scatter)


def _measure(batch: PairBatch) -> dict[str, Tensor]:
    if batch.texture is None:
        return {}
    sums = texture_sums(activations(batch.networks.perceptual, batch.result))
    return {"sifid": texture_distance(sums, batch.texture)}


MEASURE = OfPairs(_measure)
