"""PSNR and SSIM between pictures and references of the same content, one value per picture.

Shapes: both pictures (B, C, H, W) in [0, 1] with C = 3 or 1; results (B,) in float64.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from atelier.core.config import UserError
from atelier.metrics.measures import OfPairs
from atelier.nn.colour_transfer import LUMA

WINDOW, SIGMA = 11, 1.5
"""Side and standard deviation of SSIM's window in pixels."""
C1, C2 = 0.01**2, 0.03**2
"""(K·L)² with K1 = .01, K2 = .03 and a range L of 1."""


def psnr(image: Tensor, reference: Tensor) -> Tensor:
    """Return the PSNR in dB, -10·log10 of the mean squared error over pixels and channels.

    Equal pictures have inf. The peak is white, 1.
    """
    _same_shape(image, reference)
    error = (image.double() - reference.double()).square().flatten(1).mean(1)
    return -10 * error.log10()


def ssim(image: Tensor, reference: Tensor) -> Tensor:
    """Return the structural similarity of the luminance (Wang et al. 2004, eq. 13), 1 if equal.

    Gaussian window 11×11 with σ 1.5, population moments. Windows that exceed the picture are left
    out, so the outer five pixels weigh less.

    Raises:
        UserError: a picture smaller than the window.
    """
    _same_shape(image, reference)
    if min(image.shape[2:]) < WINDOW:
        height, width = image.shape[2:]
        raise UserError(f"SSIM needs pictures of at least {WINDOW} px, got {width}×{height}")
    a, b = _luminance(image), _luminance(reference)
    means = _blur(torch.stack([a, b, a * a, b * b, a * b], 1))
    mean_a, mean_b, square_a, square_b, product = means.unbind(1)
    covariance = product - mean_a * mean_b
    variances = square_a - mean_a**2 + square_b - mean_b**2
    light = (2 * mean_a * mean_b + C1) / (mean_a**2 + mean_b**2 + C1)
    similarity = light * (2 * covariance + C2) / (variances + C2)
    return similarity.flatten(1).mean(1)


def _luminance(image: Tensor) -> Tensor:
    """Map (B, C, H, W) to (B, H, W); float64, since variances are differences of large numbers."""
    exact = image.double()
    if image.shape[1] == 1:
        return exact[:, 0]
    weights = torch.tensor(LUMA, dtype=exact.dtype, device=exact.device)
    return torch.einsum("bchw,c->bhw", exact, weights)


def _blur(maps: Tensor) -> Tensor:
    """Return the Gaussian means over every complete window of (B, N, H, W)."""
    offsets = torch.arange(WINDOW, dtype=maps.dtype, device=maps.device) - WINDOW // 2
    bell = torch.exp(-(offsets**2) / (2 * SIGMA**2))
    bell = bell / bell.sum()
    rows = F.conv2d(maps.flatten(0, 1).unsqueeze(1), bell.view(1, 1, 1, -1))
    means = F.conv2d(rows, bell.view(1, 1, -1, 1))
    return means.view(*maps.shape[:2], *means.shape[2:])


def _same_shape(image: Tensor, reference: Tensor) -> None:
    if image.shape != reference.shape or image.ndim != 4 or image.shape[1] not in {1, 3}:
        shapes = f"{tuple(image.shape)} and {tuple(reference.shape)}"
        raise ValueError(f"expected (B, 3, H, W) or (B, 1, H, W) twice, found {shapes}")


MEASURE = OfPairs(lambda batch: {"ssim": ssim(batch.result.image, batch.photo.image)})
