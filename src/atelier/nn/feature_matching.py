"""Give a photograph's features the distribution of a painting's: what a decoder then paints.

Besides the moments of AdaIN (``methods/adain``): every value of every channel (EFDM), and the
correlations between channels (WCT). In float32 whatever the precision around.

Shapes: content features (B, C, h, w) with N = h·w positions, style features (B, C, h', w') with M.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from atelier.nn.losses import mean_square

LEAST_VARIANCE = 1e-5
"""Eigenvalues of a covariance below it are noise: their directions are left out (WCT's code)."""


def sorted_values(features: Tensor, count: int) -> Tensor:
    """Return every channel's values in ascending order, ``count`` of them: (B, C, count).

    Unlike the paper, which takes pictures of one size, another number of positions is met by
    linear interpolation between order statistics; for the same number nothing is changed.
    """
    values = features.flatten(2).float().sort(2).values
    if values.shape[2] == count:
        return values
    return F.interpolate(values, count, mode="linear", align_corners=True)


def match_distribution(content: Tensor, style: Tensor) -> Tensor:
    """Exact feature distribution matching: the k-th smallest value becomes the style's k-th.

    Zhang et al., "Exact Feature Distribution Matching for Arbitrary Style Transfer and Domain
    Generalization", CVPR 2022 (arXiv 2203.07740), §3.2. Equal values are told apart by their place
    (a stable sort), so that the result has the style's values exactly.

    Args:
        content: (B, C, h, w).
        style: (B, C, h', w').

    Returns:
        (B, C, h, w). Its gradient is that of the identity on ``content``, as in the paper.
    """
    flat = content.flatten(2).float()
    order = flat.detach().sort(stable=True, dim=2).indices
    values = sorted_values(style, flat.shape[2])
    matched = torch.zeros_like(values).scatter(2, order, values)
    return (matched + (flat - flat.detach())).view_as(content)


def distribution_loss(features: Tensor, style: Tensor) -> Tensor:
    """Mean squared difference to the features matched with the style, (B,): EFDM's style loss.

    Zhang et al. 2022, §3.3: it is that of the sorted values, which is how it is computed.
    """
    ours = features.flatten(2).float().sort(2).values
    return mean_square(ours, sorted_values(style, ours.shape[2]))


def match_covariance(content: Tensor, style: Tensor, least: float = LEAST_VARIANCE) -> Tensor:
    """Whitening and colouring transform: the content's features with the style's covariance.

    Li et al., "Universal Style Transfer via Feature Transforms", NeurIPS 2017 (arXiv 1705.08086),
    eq. 3 and 4: E D^-½ Eᵀ of the content, then E D^½ Eᵀ of the style, and its mean.

    Args:
        content: (B, C, h, w).
        style: (B, C, h', w').
        least: eigenvalues below it, and their directions, are left out.

    Returns:
        (B, C, h, w). Where N exceeds C and no eigenvalue is left out its covariance is the style's.
    """
    with torch.autocast(content.device.type, enabled=False):
        flat, mean, values, vectors = _principal(content)
        _, mean_s, values_s, vectors_s = _principal(style)
        large, large_s = (v > least for v in (values, values_s))
        whitening = torch.where(large, values.clamp_min(least).rsqrt(), 0)
        colouring = torch.where(large_s, values_s.clamp_min(0).sqrt(), 0)
        white = vectors @ (whitening[..., None] * (vectors.mT @ (flat - mean)))
        coloured = vectors_s @ (colouring[..., None] * (vectors_s.mT @ white)) + mean_s
    return coloured.view_as(content)


def _principal(features: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Flat features (B, C, N), their mean, and eigenvalues and -vectors of their covariance."""
    flat = features.flatten(2).float()
    mean = flat.mean(2, keepdim=True)
    centred = flat - mean
    values, vectors = torch.linalg.eigh(centred @ centred.mT / max(1, flat.shape[2] - 1))
    return flat, mean, values, vectors
