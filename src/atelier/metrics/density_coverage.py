"""Density and coverage (Naeem, Oh, Uh, Choi & Yoo, ICML 2020): precision and recall, robust."""

from __future__ import annotations

from torch import Tensor

from atelier.metrics.manifold import within
from atelier.metrics.measures import OfSets

K = 5
"""Neighbours, as published (§3.3)."""


def density_coverage(reference: Tensor, generated: Tensor, *, k: int = K) -> dict[str, float]:
    """Return how densely the pictures lie among the paintings, and how many paintings they reach.

    Density counts for each picture the paintings in whose ball it lies, over ``k`` (eq. 3), so
    that one outlier's large ball counts once; coverage, the paintings in whose ball a picture lies
    (eq. 4). For two samples of one distribution density is 1 on average and coverage
    1 - (n-1)…(n-k) / ((n+m-1)…(n+m-k)) (§3.3): with fewer pictures than paintings it cannot be
    near 1.

    Args:
        reference: (n, d).
        generated: (m, d).
        k: neighbours.

    Returns:
        ``density``, at least 0 and possibly above 1, and ``coverage``, in [0, 1].

    Raises:
        UserError: not more than ``k`` paintings.
    """
    inside = within(reference, generated, k)
    return {
        "density": inside.double().sum(0).mean().item() / k,
        "coverage": inside.any(1).double().mean().item(),
    }


MEASURE = OfSets(density_coverage, optional=True)
