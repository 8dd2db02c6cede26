"""Fréchet distance between two sets of feature vectors (Heusel et al. 2017, FID).

Shapes: a set is (n, d), one row per picture. The value depends on the features and on n: it means
FID only for ``inception_fid``, and small sets inflate it (tens of points below n = 1000).
"""

from __future__ import annotations

import torch
from torch import Tensor

from atelier.core.config import UserError
from atelier.metrics.measures import OfSets
from atelier.metrics.statistics import Statistics, frechet_from


def frechet_distance(reference: Tensor, generated: Tensor) -> float:
    """Return ‖μr - μg‖² + Tr(Σr) + Tr(Σg) - 2·Tr((ΣrΣg)^½), covariances with divisor n - 1.

    With centred sets A, B the last trace is the nuclear norm ‖A·Bᵀ‖_* / √((nr-1)(ng-1)): the
    smallest of (nr, ng, d) determines the cost of the decomposition, singular covariances are not a
    special case, and nothing becomes complex as with ``scipy.linalg.sqrtm``.

    Raises:
        UserError: fewer than two pictures in a set (there is no covariance).
    """
    a, mean_a, trace_a = _centred(reference, "reference")
    b, mean_b, trace_b = _centred(generated, "generated")
    cross = _nuclear_norm_of_product(a, b)
    distance = (mean_a - mean_b).square().sum() + trace_a + trace_b - 2 * cross
    return max(0.0, distance.item())  # rounding can leave -1e-12 for equal sets


def _centred(vectors: Tensor, which: str) -> tuple[Tensor, Tensor, Tensor]:
    """Return the centred set over √(n-1), the mean, and the covariance's trace."""
    if vectors.ndim != 2 or len(vectors) < 2:
        raise UserError(f"the {which} set needs at least 2 pictures, it has {len(vectors)}")
    exact = vectors.double()
    mean = exact.mean(0)
    centred = (exact - mean) / (len(exact) - 1) ** 0.5
    return centred, mean, centred.square().sum()


def _nuclear_norm_of_product(a: Tensor, b: Tensor) -> Tensor:
    """Return ‖a·bᵀ‖_*; for sets larger than the dimension via their d×d triangular factors.

    a = Q·R gives ‖a·bᵀ‖_* = ‖Ra·Rbᵀ‖_*, as Q has orthonormal columns.
    """
    if len(a) > a.shape[1]:
        a = torch.linalg.qr(a, mode="r").R
    if len(b) > b.shape[1]:
        b = torch.linalg.qr(b, mode="r").R
    singular: Tensor = torch.linalg.svdvals(a @ b.mT)
    return singular.sum()


def frechet(reference: Tensor, generated: Tensor) -> dict[str, float]:
    """Return ``frechet``, from the vectors or, if both sets exceed the dimension, from covariances.

    The values agree up to rounding; covariances are faster for large sets.
    """
    if min(len(reference), len(generated)) <= reference.shape[1]:
        return {"frechet": frechet_distance(reference, generated)}
    both = Statistics.of(reference), Statistics.of(generated)
    return {"frechet": frechet_from(*both)}


MEASURE = OfSets(frechet)
