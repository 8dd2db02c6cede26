"""Losses of style transfer by relaxed optimal transport and self-similarity (STROTSS).

After Kolkin, Salavon & Shakhnarovich, CVPR 2019 (arXiv 1904.12785), §2; details that the paper
omits follow its authors' code. Pure functions of tensors, one value per picture, in float32 even
under autocast.

Shapes: B pictures, N positions of the output, M of the painting, D features or 3 colours.
"""

from __future__ import annotations

from math import inf, sqrt

import torch
import torch.nn.functional as F
from torch import Tensor

from atelier.nn.products import gram_of_rows, products

NORM_EPS = 1e-6
"""Minimum norm in a cosine, for black pixels and dead features."""
SQUARE_EPS = 1e-5
"""Minimum of a squared distance under a root, as in the authors' code: at 0 the gradient is
infinite."""
SUM_EPS = 1e-3
"""Added to a column of distances, whose sum is near N, but 0 in a picture of one colour."""
GUIDANCE = 5.0
"""β of §2.4: factor of a cost within a pair of regions."""
DECORRELATED = (
    (1 / sqrt(3), 1 / sqrt(3), 1 / sqrt(3)),
    (-1 / sqrt(3), (3 + sqrt(3)) / 6, (sqrt(3) - 3) / 6),
    (-1 / sqrt(3), (sqrt(3) - 3) / 6, (3 + sqrt(3)) / 6),
)
"""Orthogonal matrix from RGB to a grey axis and two colour axes; the authors call it YUV."""


def cosine_distance(a: Tensor, b: Tensor) -> Tensor:
    """Return 1 - cos between all pairs (§2.2): (B, N, D) and (B, M, D) to (B, N, M), in [0, 2]."""
    with torch.autocast(a.device.type, enabled=False):
        return (1 - products(_directions(a), _directions(b))).clamp_min(0)


def _directions(features: Tensor) -> Tensor:
    return F.normalize(features.float(), dim=2, eps=NORM_EPS)


def euclidean_distance(a: Tensor, b: Tensor) -> Tensor:
    """Return |a - b| / √D between all pairs: (B, N, D) and (B, M, D) to (B, N, M).

    The divisor √D is from the authors' code.
    """
    a, b = a.float(), b.float()
    with torch.autocast(a.device.type, enabled=False):
        squares = a.square().sum(2)[:, :, None] + b.square().sum(2)[:, None, :] - 2 * products(a, b)
    return (squares.clamp_min(SQUARE_EPS) / a.shape[2]).sqrt()


def relaxed_emd(costs: Tensor) -> Tensor:
    """Return the relaxed earth mover's distance (§2.2): the larger one-sided transport, (B,).

    Args:
        costs: (B, N, M), not negative; infinite where guidance forbids a match. A position without
            a possible match is left out of its mean.
    """
    return torch.maximum(_mean_finite(costs.amin(2)), _mean_finite(costs.amin(1)))


def _mean_finite(least: Tensor) -> Tensor:
    """Return the mean (B,) of the finite values of (B, N), or 0."""
    finite = least.isfinite()
    return torch.where(finite, least, 0).sum(1) / finite.sum(1).clamp_min(1)


def guided(costs: Tensor, output: Tensor, painting: Tensor, factor: float = GUIDANCE) -> Tensor:
    """Return the costs under guidance by regions (§2.4), (B, N, M).

    β·cost within a pair of regions, infinite from a region of the output to elsewhere, and as they
    are from positions of no region. Unlike the paper, a region whose counterpart has none of the
    sampled positions guides nothing in this step: all its costs would be infinite.

    Args:
        costs: (B, N, M).
        output: (B, N), label of the region, -1 for none.
        painting: (B, M), likewise; equal labels are a pair.
        factor: β.
    """
    same = output[:, :, None] == painting[:, None, :]
    guides = (output >= 0)[:, :, None] & same.any(2, keepdim=True)
    return torch.where(guides, torch.where(same, factor * costs, inf), costs)


def moment_loss(features: Tensor, target: Tensor) -> Tensor:
    """Return |μ - μ'|₁ / D + |Σ - Σ'|₁ / D² (§2.2), (B,): keeps the magnitude cosines ignore.

    Args:
        features: (B, N, D).
        target: (B, M, D). Covariances are over the number of positions.
    """
    mean, covariance = _moments(features)
    mean_t, covariance_t = _moments(target)
    first = (mean - mean_t).abs().mean((1, 2))
    return first + (covariance - covariance_t).abs().mean((1, 2))


def _moments(features: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean (B, 1, D) and covariance (B, D, D)."""
    features = features.float()
    mean = features.mean(1, keepdim=True)
    centred = features - mean
    with torch.autocast(centred.device.type, enabled=False):
        return mean, gram_of_rows(centred.mT) / features.shape[1]


def colour_loss(output: Tensor, painting: Tensor) -> Tensor:
    """Return the relaxed EMD between colours (§2.2, ℓp), (B,).

    Computed in a decorrelated space; the cost is Euclidean plus cosine, as in the authors' code,
    unlike the paper's text, which names the Euclidean distance only.

    Args:
        output: (B, N, 3), RGB in [0, 1] or near it.
        painting: (B, M, 3).
    """
    matrix = torch.tensor(DECORRELATED, device=output.device)
    with torch.autocast(output.device.type, enabled=False):
        a, b = (part.float() @ matrix.mT for part in (output, painting))
    return relaxed_emd(euclidean_distance(a, b) + cosine_distance(a, b))


def self_similarity(features: Tensor) -> Tensor:
    """Return the cosine distances between positions, each column divided by its sum: (B, N, N)."""
    with torch.autocast(features.device.type, enabled=False):
        distances = (1 - gram_of_rows(_directions(features))).clamp_min(0)
    return distances / (distances.sum(1, keepdim=True) + SUM_EPS)


def self_similarity_loss(features: Tensor, target: Tensor) -> Tensor:
    """Return the difference of a picture's self-similarity from the target's (§2.3), (B,).

    (1/N) Σᵢⱼ |D/ΣᵢD - D'/ΣᵢD'|. Unlike the paper's mean over N² pairs, multiplied by N as in the
    authors' code: the terms are of order 1/N, and α = 16 would have no effect.

    Args:
        features: (B, N, D).
        target: (B, N, N), ``self_similarity`` of the content at the same positions.
    """
    return (self_similarity(features) - target).abs().sum(1).mean(1)
