"""Bradley–Terry model of pairwise comparisons: P(i preferred to j) = 1 / (1 + exp(θj - θi)).

Bradley & Terry 1952. An answer "equal" is half a win for each side. Newton's method on many sets of
votes at once, since an interval takes hundreds of fits: choix 0.4.1 fits one set at a time, about
thirty times slower, and has no curvature, which the choice of the next pair needs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
PRECISION = 0.1
"""Of a normal prior on every θ (sd 3.2): finite strengths where one has won every time."""
STEPS, CLOSE = 50, 1e-6
"""Newton's method: limit of steps, and the change in log odds at which it ends."""


def fit(wins: NDArray[Any], start: Array | None = None) -> Array:
    """Return the most probable θ (…, n) for wins (…, n, n); their mean is zero.

    Args:
        wins: ``wins[i, j]``: how often i was preferred to j; halves for "equal".
        start: θ to begin with, (n,) or (…, n); default: zeros.
    """
    wins = np.asarray(wins, dtype=np.float64)
    won = wins.sum(-1)
    theta = np.zeros(won.shape) if start is None else np.broadcast_to(start, won.shape).copy()
    for _ in range(STEPS):
        chance, curvature = _model(wins, theta)
        slope = won - (_met(wins) * chance).sum(-1) - PRECISION * theta
        step = np.linalg.solve(curvature, slope[..., None])[..., 0]
        # Far from the optimum the curvature is small, and a full step would leap over it.
        theta += np.clip(step, -2, 2)
        if step.size == 0 or np.abs(step).max() < CLOSE:
            break
    centred: Array = theta - theta.mean(-1, keepdims=True)
    return centred


def _met(wins: Array) -> Array:
    met: Array = wins + np.swapaxes(wins, -1, -2)
    return met


def _model(wins: Array, theta: Array) -> tuple[Array, Array]:
    """Return P(i preferred to j) and minus the log posterior's second derivative, (…, n, n)."""
    chance = 1 / (1 + np.exp(theta[..., None, :] - theta[..., :, None]))
    weight = _met(wins) * chance * (1 - chance)
    curvature = -weight
    each = np.arange(theta.shape[-1])
    curvature[..., each, each] = weight.sum(-1) + PRECISION
    return chance, curvature


def bootstrap(wins: NDArray[np.int64], equal: NDArray[np.int64], count: int, seed: int) -> Array:
    """Return θ (count, n) of votes drawn with replacement, as many as there are.

    Args:
        wins: (n, n), how often the row was preferred to the column.
        equal: (n, n), how often neither was, above the diagonal.
        count: number of draws.
        seed: of the draws.
    """
    n, cells = len(wins), np.concatenate([wins.ravel(), equal.ravel()])
    total = int(cells.sum())
    draws = np.random.default_rng(seed).multinomial(total, cells / max(total, 1), size=count)
    won, tied = (draws[:, part].reshape(count, n, n) for part in (slice(n * n), slice(n * n, None)))
    return fit(halved(won, tied), fit(halved(wins, equal)))


def halved(wins: NDArray[np.int64], equal: NDArray[np.int64]) -> Array:
    """Return wins with half a win for each side of an "equal"; shapes as in ``bootstrap``."""
    return np.asarray(wins + (equal + np.swapaxes(equal, -1, -2)) / 2, dtype=np.float64)


def gains(wins: Array) -> Array:
    """Return (n, n): by how much one more vote on a pair is expected to reduce Σ var(θ).

    The posterior covariance C is that of the normal approximation. A vote on i and j adds the
    information w e eᵀ with e = eᵢ - eⱼ and w = P(1 - P), so that the trace of C falls by
    w |C e|² / (1 + w eᵀ C e) (Sherman–Morrison): A-optimal design.
    """
    chance, curvature = _model(wins, fit(wins))
    cov = np.linalg.inv(curvature)
    columns = cov[:, :, None] - cov[:, None, :]  # (n, i, j): C e
    spread = cov.diagonal()[:, None] + cov.diagonal()[None, :] - 2 * cov
    weight = chance * (1 - chance)
    return np.asarray(weight * np.square(columns).sum(0) / (1 + weight * spread))
