"""Content feature structural distance (Chung, Hyun & Heo 2024, "Style Injection in …", CFSD).

Whether places of a picture resemble each other as in its photograph: colours and strokes may
change as long as what was alike remains so.
"""

from __future__ import annotations

import torch
from torch import Tensor

from atelier.metrics.measures import OfPairs, PairBatch
from atelier.metrics.perceptual import activations

LAYER = "relu3_1"
"""The authors' layer: index 11 of torchvision's VGG19 in ``evaluation/image_metrics.py``."""
ROWS = 16
"""Places whose resemblances are compared, along each side at most."""


def structural_distance(result: Tensor, photo: Tensor) -> Tensor:
    """Return the sum over places of KL(photograph ‖ picture): (B,) float64, at least 0.

    With F, (h·w, C), the activations over C, a place's distribution is the softmax of its row of
    F·Fᵀ: its resemblance to all places. As in their code, C divides twice, so the distributions are
    nearly uniform, and values grow with the fourth power of the activations' scale and with the
    number of places: comparable only on the same features and at the same size.

    Unlike the authors' code, the sum is estimated from a regular grid of at most ``ROWS``² places,
    each compared with all: the whole product grows with the fourth power of a picture's side.

    Args:
        result: activations (B, C, h, w) of the pictures.
        photo: those of their photographs.

    Raises:
        ValueError: pictures of different sizes.
    """
    if result.shape != photo.shape:
        one, other = tuple(result.shape), tuple(photo.shape)
        raise ValueError(f"structure needs pictures of one size; features are {one} and {other}")
    # One pair at a time: a batch of resemblances would be the evaluation's largest tensor.
    return torch.stack([_divergence(*pair) for pair in zip(photo, result, strict=True)])


def _divergence(photo: Tensor, result: Tensor) -> Tensor:
    """Return Σ p·(log p - log q) of two maps (C, h, w), over the chosen rows and scaled to all."""
    log_p, log_q = _log_resemblance(photo), _log_resemblance(result)
    rows = (log_p.exp() * (log_p - log_q)).sum(1)
    return rows.mean().clamp_min(0) * photo[0].numel()


def _log_resemblance(found: Tensor) -> Tensor:
    """Return log softmax of the chosen rows of F·Fᵀ, (n, h·w); float64, as KL is about 1e-6."""
    scaled = found / len(found)
    rows, columns = (_spread(side, found.device) for side in found.shape[1:])
    chosen = scaled[:, rows[:, None], columns].flatten(1)
    return (chosen.mT @ scaled.flatten(1)).double().log_softmax(1)


def _spread(side: int, device: torch.device) -> Tensor:
    """Return at most ``ROWS`` indices below ``side``, in the middles of equal parts of it."""
    count = min(side, ROWS)
    return (torch.arange(count, device=device) * 2 + 1) * side // (2 * count)


def _measure(batch: PairBatch) -> dict[str, Tensor]:
    network = batch.networks.perceptual
    result, photo = (activations(network, stack)[LAYER] for stack in (batch.result, batch.photo))
    return {"cfsd": structural_distance(result, photo)}


MEASURE = OfPairs(_measure)
