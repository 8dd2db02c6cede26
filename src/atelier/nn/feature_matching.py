"""Matching of the distribution of content features to that of style features.

Beyond the moments of AdaIN (``methods/adain``): all values of every channel (EFDM), and the
covariances of channels (WCT). In float32 even under autocast.

Shapes: content features (B, C, h, w) with N = h·w positions, style features (B, C, h', w') with M.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from atelier.nn.eager import eager_on_cpu
from atelier.nn.losses import mean_square

LEAST_VARIANCE = 1e-5
"""Eigenvalues of a covariance below it are noise: their directions are left out (WCT's code)."""


def ascending(features: Tensor) -> Tensor:
    """Return every channel's values in ascending order, (B, C, N), with their gradient.

    On a CPU NumPy sorts by vector instructions, in a small part of torch's time.
    """
    values = features.flatten(2).float()
    if not eager_on_cpu(values):
        return values.sort(2).values
    if not values.requires_grad:
        return torch.from_numpy(np.sort(values.numpy(), axis=2))
    order = np.argsort(values.detach().numpy(), axis=2)
    return values.gather(2, torch.from_numpy(order))


def sorted_values(features: Tensor, count: int) -> Tensor:
    """Return every channel's values in ascending order, ``count`` of them: (B, C, count).

    Unlike the paper, which takes pictures of one size, a different number of positions is obtained
    by linear interpolation between order statistics; an equal number changes nothing.
    """
    values = ascending(features)
    if values.shape[2] == count:
        return values
    return F.interpolate(values, count, mode="linear", align_corners=True)


def match_distribution(content: Tensor, style: Tensor) -> Tensor:
    """Match distributions exactly (EFDM): the k-th smallest value becomes the style's k-th.

    Zhang et al., "Exact Feature Distribution Matching for Arbitrary Style Transfer and Domain
    Generalization", CVPR 2022 (arXiv 2203.07740), §3.2. Ties are broken by position (a stable
    sort), so that the result has exactly the style's values.

    Args:
        content: (B, C, h, w).
        style: (B, C, h', w').

    Returns:
        (B, C, h, w). Its gradient is that of the identity on ``content``, as in the paper.
    """
    flat = content.flatten(2).float()
    if torch.compiler.is_exporting():  # ONNX has no stable sort; its TopK breaks ties by position
        order = flat.sort(2).indices
    else:
        order = flat.detach().sort(stable=True, dim=2).indices
    values = sorted_values(style, flat.shape[2])
    matched = torch.zeros_like(values).scatter(2, order, values)
    return (matched + (flat - flat.detach())).view_as(content)


def distribution_loss(features: Tensor, style: Tensor) -> Tensor:
    """Return the mean squared difference to the matched features, (B,): EFDM's style loss.

    Zhang et al. 2022, §3.3; computed as the difference of the sorted values, which is equal.
    """
    ours = ascending(features)
    return mean_square(ours, sorted_values(style, ours.shape[2]))


def match_covariance(content: Tensor, style: Tensor, least: float = LEAST_VARIANCE) -> Tensor:
    """Apply the whitening and colouring transform: content features with the style's covariance.

    Li et al., "Universal Style Transfer via Feature Transforms", NeurIPS 2017 (arXiv 1705.08086),
    eq. 3 and 4: E D^-½ Eᵀ of the content, then E D^½ Eᵀ of the style, and its mean.

    Args:
        content: (B, C, h, w).
        style: (B, C, h', w').
        least: eigenvalues below it, and their directions, are left out.

    Returns:
        (B, C, h, w). If N exceeds C and no eigenvalue is left out, its covariance is the style's.
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
    """Return flat features (B, C, N), their mean, and the covariance's eigenvalues and -vectors."""
    flat = features.flatten(2).float()
    mean = flat.mean(2, keepdim=True)
    centred = flat - mean
    values, vectors = torch.linalg.eigh(centred @ centred.mT / max(1, flat.shape[2] - 1))
    return flat, mean, values, vectors
