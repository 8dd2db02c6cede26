"""Colour preservation: give a painting the photograph's colours before style transfer."""

from __future__ import annotations

import torch
from torch import Tensor

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
    flat, target = style.flatten(2).float(), content.flatten(2).float()
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
