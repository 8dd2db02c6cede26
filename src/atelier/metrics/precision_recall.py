"""Improved precision and recall (Kynkäänniemi, Karras, Laine, Lehtinen & Aila, NeurIPS 2019)."""

from __future__ import annotations

from torch import Tensor

from atelier.metrics.manifold import within
from atelier.metrics.measures import OfSets

K = 3
"""Neighbours, as published (§3)."""


def precision_recall(reference: Tensor, generated: Tensor, *, k: int = K) -> dict[str, float]:
    """Return how many pictures lie among the paintings, and how many paintings among the pictures.

    A set's manifold is the union of balls around its vectors, each reaching to the ``k``-th
    nearest other one (eq. 1-2). Both depend on the numbers of pictures: published ones are of
    50,000. Recall is what a distance hides, variety: a system that paints one picture over and
    over has none. One outlier among the paintings makes a ball that takes everything in; see
    ``density_coverage.py``.

    Args:
        reference: (n, d).
        generated: (m, d).
        k: neighbours.

    Returns:
        ``precision`` and ``recall``, in [0, 1].

    Raises:
        UserError: not more than ``k`` pictures in a set.
    """
    return {
        "precision": within(reference, generated, k).any(0).double().mean().item(),
        "recall": within(generated, reference, k).any(0).double().mean().item(),
    }


MEASURE = OfSets(precision_recall, optional=True)
