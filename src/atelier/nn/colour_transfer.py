"""Colour preservation: give a painting, or a result, the photograph's colours.

After Gatys, Bethge, Hertzmann & Shechtman, "Preserving Color in Neural Artistic Style Transfer",
2016 (arXiv 1606.05897).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, get_args

import torch
from torch import Tensor

from atelier.nn.feature_matching import match_distribution

Colour = Literal["keep", "luminance", "coral", "histogram"]
"""``keep``: the colours of the method. The others are the photograph's: by the chroma of every
pixel, by mean and covariance, by the histogram of each channel."""
COLOURS: tuple[Colour, ...] = get_args(Colour)
LUMA = (0.299, 0.587, 0.114)
"""Weights of R, G and B in luminance (ITU-R BT.601, Y of YIQ); also in SSIM, as in Wang's code."""
EPS = 1e-5
"""Added to the covariance's diagonal, as a picture of one colour has no variance."""


def recolour(style: Tensor, content: Tensor) -> Tensor:
    """Return the style with the mean and covariance of the content's colours, in [0, 1].

    CORAL (Sun, Feng & Saenko 2016) as Huang & Belongie 2017 use it: whiten the style's colours
    with the root of their own covariance, colour them with that of the content's.
    Unlike naoto0804/pytorch-AdaIN, the sums are divided by the number of pixels and the diagonal
    gets 1e-5 instead of 1, as a 1 would dominate the covariance of a small picture.

    Args:
        style: (B, 3, h, w) in [0, 1].
        content: (B, 3, H, W) in [0, 1].

    Computed in float32 even under autocast.
    """
    with torch.autocast(style.device.type, enabled=False):
        return _recoloured(style, content)


def _recoloured(style: Tensor, content: Tensor) -> Tensor:
    # contiguous, as sums in another order differ in the last bit
    flat, target = (part.flatten(2).float().contiguous() for part in (style, content))
    whiten, colour = _root(_covariance(flat), inverse=True), _root(_covariance(target))
    centred = flat - flat.mean(2, keepdim=True)
    moved = colour @ whiten @ centred + target.mean(2, keepdim=True)
    return moved.view_as(style).clamp(0, 1)


def _covariance(flat: Tensor) -> Tensor:
    centred = flat - flat.mean(2, keepdim=True)
    return centred @ centred.mT / flat.shape[2] + EPS * torch.eye(3, device=flat.device)


def _root(matrix: Tensor, *, inverse: bool = False) -> Tensor:
    values, vectors = torch.linalg.eigh(matrix)
    power = values.clamp_min(EPS).pow(-0.5 if inverse else 0.5)
    root: Tensor = (vectors * power.unsqueeze(1)) @ vectors.mT
    return root


def match_histogram(style: Tensor, content: Tensor) -> Tensor:
    """Return the style with the content's histogram in each channel of RGB, (B, 3, h, w).

    Unlike Gatys et al. 2016 (§4.1), who match mean and covariance under this name (``recolour``).
    """
    return match_distribution(style, content)


def keep_chroma(result: Tensor, content: Tensor) -> Tensor:
    """Return the result's luminance with the content's colours, (B, 3, H, W) in [0, 1].

    Gatys et al. 2016, §4.2 (luminance-only transfer), in YIQ: where I and Q are kept, all channels
    of RGB change by the difference of Y. Unlike there, the painting's luminance is not matched to
    the photograph's first, so that it works with systems that take no painting.
    """
    weights = torch.tensor(LUMA, device=result.device).view(1, 3, 1, 1)
    change = ((result - content) * weights).sum(1, keepdim=True)
    return (content + change).clamp(0, 1)


RECOLOUR: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "coral": recolour,
    "histogram": match_histogram,
}
"""Name → function of a picture (B, 3, h, w) and the photograph (B, 3, H, W), both in [0, 1]."""
