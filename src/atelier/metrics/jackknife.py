"""Confidence interval of a Fréchet distance by the delete-a-group jackknife.

It covers the choice of the generated pictures. The bootstrap fails here: its resamples repeat
pictures, which lowers the rank of the covariance and raises the distance. Between Gaussians (d =
128 and 512; 99 reference and 187 generated vectors; eigenvalues ∝ 1/i) its 95 % percentile interval
covered the mean distance of new samples in none of 40 cases, since its centre was 5 too high where
one standard deviation is 0.8; the jackknife's in 36 and 38 of 40. With 32 vectors in d = 128 the
jackknife's error was 1.6 times the true one, so the interval is too wide.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from atelier.core.config import UserError
from atelier.metrics.frechet import frechet_distance
from atelier.metrics.measures import OfSets

GROUPS = 20
LEVEL = 0.95


def leave_out(reference: Tensor, generated: Tensor, *, seed: int = 0) -> Tensor:
    """Return the distances without each of ``GROUPS`` random groups of generated pictures, (G,).

    The groups depend on the number of pictures and the seed only. For two systems that stylised the
    same photographs in the same order the groups are the same: the error of their difference is
    ``standard_error(a - b)``, smaller than either's if they correlate.

    Raises:
        UserError: fewer than three generated pictures.
    """
    count = len(generated)
    if count < 3:
        raise UserError(f"an interval needs at least 3 generated pictures, there are {count}")
    order = torch.randperm(count, generator=Generator().manual_seed(seed))
    distances = []
    for group in order.tensor_split(min(GROUPS, count)):
        kept = torch.ones(count, dtype=torch.bool)
        kept[group] = False
        distances.append(frechet_distance(reference, generated[kept]))
    return torch.tensor(distances, dtype=torch.float64)


def standard_error(left_out: Tensor) -> float:
    """Return √((G - 1)/G · Σ(θ - θ̄)²) of the values without each group (Shao & Wu 1989)."""
    groups = len(left_out)
    deviations = (left_out - left_out.mean()).square().sum()
    return float((deviations * (groups - 1) / groups).sqrt())


def frechet_interval(reference: Tensor, generated: Tensor, *, seed: int = 0) -> dict[str, float]:
    """Return the 95 % confidence interval for as many other pictures of the same system.

    The paintings are fixed (all systems share them), and so is n: the bias of small sets is in the
    interval's centre, not in its width.

    Returns:
        ``frechet_se``, ``frechet_low`` and ``frechet_high`` (at least 0).

    Raises:
        UserError: fewer than three generated pictures.
    """
    from scipy.special import stdtrit  # noqa: PLC0415 - takes longer to import than to use

    left_out = leave_out(reference, generated, seed=seed)
    value, error = frechet_distance(reference, generated), standard_error(left_out)
    reach = float(stdtrit(len(left_out) - 1, (1 + LEVEL) / 2)) * error
    low = max(0.0, value - reach)
    return {"frechet_se": error, "frechet_low": low, "frechet_high": value + reach}


MEASURE = OfSets(frechet_interval, optional=True)
