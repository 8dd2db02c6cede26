"""Colour post-processing: the photograph's colours matched to the painting's palette.

After the post-processing of Kolkin et al., "Neural Neighbor Style Transfer", 2022, §3.4, as its
authors' code has it. Oklab: Björn Ottosson, "A perceptual color space for image processing", 2020.

Shapes: pictures (B, 3, H, W); lightness L and two colour axes in Oklab.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

# Unlike the authors' code, which has an older, rounded edition of this matrix
TO_CONES = (
    (0.4122214708, 0.5363325363, 0.0514459929),
    (0.2119034982, 0.6806995451, 0.1073969566),
    (0.0883024619, 0.2817188376, 0.6299787005),
)
TO_LAB = (
    (0.2104542553, 0.7936177850, -0.0040720468),
    (1.9779984951, -2.4285922050, 0.4505937099),
    (0.0259040371, 0.7827717662, -0.8086757660),
)
COVARIANCE_EPS = 1e-4
"""Added to a covariance's diagonal, as in the authors' code."""
GREY = 6e-5
"""Covariance of the colour axes below which a painting counts as grey (authors' code)."""
FILTERINGS, SHARPNESS = 5, 10.0
"""Passes of the 3×3 bilateral filter, and the decay rate of its weights with lightness."""


def to_oklab(image: Tensor) -> Tensor:
    """RGB in [0, 1] to Oklab. As in the authors' code, the grey levels are taken for linear."""
    cones = mix_channels(TO_CONES, image.float().clamp(0, 1))
    return mix_channels(TO_LAB, cones.clamp_min(0).pow(1 / 3))


def from_oklab(lab: Tensor) -> Tensor:
    """Oklab to RGB, clamped to [0, 1]."""
    cones = mix_channels(torch.linalg.inv(torch.tensor(TO_LAB)), lab).pow(3)
    return mix_channels(torch.linalg.inv(torch.tensor(TO_CONES)), cones).clamp(0, 1)


def mix_channels(matrix: object, image: Tensor) -> Tensor:
    """Channels (B, C, H, W) multiplied by a matrix (D, C): (B, D, H, W)."""
    weights = torch.as_tensor(matrix, dtype=image.dtype, device=image.device)
    return torch.einsum("ij,bjhw->bihw", weights, image)


def match_palette(output: Tensor, content: Tensor, style: Tensor) -> Tensor:
    """Return ``output`` with the photograph's colours, matched to the painting's moments.

    Lightness is the output's, clamped to the painting's range. The colour axes are those of the
    photograph, matched to the painting's by a linear map and filtered along edges of lightness, so
    that colours follow the strokes. If the painting is nearly grey, the output's own axes are
    matched.

    Args:
        output: (B, 3, H, W) in [0, 1].
        content: (B, 3, H, W) in [0, 1], the photograph.
        style: (B, 3, h, w) in [0, 1].

    Returns:
        (B, 3, H, W) in [0, 1].
    """
    lab, photo, painting = (to_oklab(image) for image in (output, content, style))
    light = _within(lab, painting)[:, :1]
    coloured = _match_moments(photo[:, 1:], painting[:, 1:])
    coloured = torch.cat([light, _filtered(coloured, light)], 1)
    plain = _match_moments(torch.cat([light, lab[:, 1:]], 1), painting)
    grey = _covariance(painting[:, 1:].flatten(2)).abs().amax((1, 2)) < GREY
    matched = torch.where(grey[:, None, None, None], plain, coloured)
    return from_oklab(_within(matched, painting))


def _within(lab: Tensor, reference: Tensor) -> Tensor:
    """Clamp every channel to the reference's range."""
    low, high = reference.amin((2, 3), keepdim=True), reference.amax((2, 3), keepdim=True)
    return torch.maximum(torch.minimum(lab, high), low)


def _covariance(flat: Tensor) -> Tensor:
    centred = flat - flat.mean(2, keepdim=True)
    return centred @ centred.mT / flat.shape[2]


def _match_moments(source: Tensor, target: Tensor) -> Tensor:
    """Give (B, C, H, W) the target's mean and covariance, by symmetric roots (ZCA)."""
    flat, wanted = source.flatten(2), target.flatten(2)
    whitening, colouring = _root(_covariance(flat), -0.5), _root(_covariance(wanted), 0.5)
    moved = colouring @ whitening @ (flat - flat.mean(2, keepdim=True))
    return (moved + wanted.mean(2, keepdim=True)).view_as(source)


def _root(covariance: Tensor, power: float) -> Tensor:
    eye = torch.eye(covariance.shape[1], device=covariance.device)
    values, vectors = torch.linalg.eigh(covariance + COVARIANCE_EPS * eye)
    root: Tensor = (vectors * values.clamp_min(1e-8).pow(power).unsqueeze(1)) @ vectors.mT
    return root


def _filtered(colours: Tensor, light: Tensor) -> Tensor:
    """Filter colour axes (B, 2, H, W) bilaterally, guided by lightness (B, 1, H, W)."""
    weights = torch.exp(-SHARPNESS * (_neighbours(light) - light[:, :, None]).abs())
    weights = weights / weights.sum(2, keepdim=True)
    for _ in range(FILTERINGS):
        colours = (_neighbours(colours) * weights).sum(2)
    return colours


def _neighbours(image: Tensor) -> Tensor:
    """Return the 3×3 neighbourhoods (B, C, 9, H, W) of (B, C, H, W), with replicate padding."""
    height, width = image.shape[2:]
    padded = F.pad(image, (1, 1, 1, 1), "replicate")
    shifts = [padded[..., y : y + height, x : x + width] for y in range(3) for x in range(3)]
    return torch.stack(shifts, 2)
