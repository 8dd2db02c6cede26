"""Neighbourhoods of vectors: what precision, recall, density and coverage are counted with."""

from __future__ import annotations

import torch
from torch import Tensor

from atelier.core.config import UserError


def distances(a: Tensor, b: Tensor) -> Tensor:
    """Euclidean distances between (n, d) and (m, d), float64 (n, m); of equal vectors exactly 0.

    Not by |a|² + |b|² - 2a·b, which rounds: a vector at the rim of its own ball must lie in it.
    """
    return torch.cdist(a.double(), b.double(), compute_mode="donot_use_mm_for_euclid_dist")


def radii(vectors: Tensor, k: int) -> Tensor:
    """Distance of every vector (n, d) to its ``k``-th nearest other, (n,).

    Raises:
        UserError: not more than ``k`` vectors.
    """
    if len(vectors) <= k:
        raise UserError(f"{k} neighbours need more than {k} pictures, there are {len(vectors)}")
    return distances(vectors, vectors).kthvalue(k + 1, dim=1).values  # the nearest is itself


def within(centres: Tensor, others: Tensor, k: int) -> Tensor:
    """Whether each of ``others`` (m, d) lies in the ball of each of ``centres``, bool (n, m).

    A ball reaches to the centre's ``k``-th nearest other centre, its rim included.

    Raises:
        UserError: not more than ``k`` centres.
    """
    return distances(centres, others) <= radii(centres, k)[:, None]
