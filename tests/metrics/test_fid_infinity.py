"""The distance at infinitely many pictures: known Gaussians, the fit, the subsets."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from scipy.stats import linregress
from torch import Tensor

from atelier.core.config import UserError
from atelier.metrics import fid_infinity
from atelier.metrics.fid_infinity import POINTS, Shrunk, extrapolated_frechet, line
from atelier.metrics.frechet import frechet_distance

D, SCALE, SHIFT = 12, 1.3, 0.2
SPREAD = torch.arange(1, D + 1).double() ** -0.5
TRUE = D * SHIFT**2 + (SCALE - 1) ** 2 * float(SPREAD.square().sum())
"""‖Δμ‖² + Σ(σ - σ')², of diagonal Gaussians."""


def samples(seed: int, n: int, m: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    one, other = (torch.randn(k, D, generator=generator).double() * SPREAD for k in (n, m))
    return one, other * SCALE + SHIFT


@pytest.mark.parametrize(("shrink", "n"), [("both", 80), ("generated", 5000)])
def test_it_removes_the_bias_between_known_gaussians(shrink: Shrunk, n: int) -> None:
    plain, found = [], []
    for seed in range(40):
        one, other = samples(seed, n, 120)
        plain.append(frechet_distance(one, other))
        found.append(extrapolated_frechet(one, other, shrink=shrink, seed=seed)["frechet_inf"])
    bias, left = (sum(values) / 40 - TRUE for values in (plain, found))
    assert bias > 0.05
    assert abs(left) < bias / 3


def test_the_line_of_exact_points() -> None:
    intercept, error = line([1.0, 2.0, 4.0], [5.0, 7.0, 11.0])
    assert intercept == pytest.approx(3)
    assert error == pytest.approx(0, abs=1e-9)


def test_the_line_is_least_squares() -> None:
    x, y = [0.1, 0.2, 0.5, 0.7], [1.0, 1.5, 1.4, 2.2]
    expected = linregress(x, y)
    assert line(x, y) == pytest.approx((expected.intercept, expected.intercept_stderr))


@pytest.mark.parametrize(("shrink", "first", "reference"), [("both", 20, 15), ("generated", 4, 30)])
def test_subsets(
    shrink: Shrunk, first: int, reference: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """15 sizes, evenly spaced up to the whole set, no picture twice."""
    sizes = []

    def record(one: Tensor, other: Tensor) -> float:
        assert len(one.unique(dim=0)) == len(one)
        assert len(other.unique(dim=0)) == len(other)
        sizes.append((len(one), len(other)))
        return 1.0

    monkeypatch.setattr(fid_infinity, "frechet_distance", record)
    found = extrapolated_frechet(*samples(0, 30, 40), shrink=shrink)
    assert found == pytest.approx({"frechet_inf": 1, "frechet_inf_se": 0})
    assert len(sizes) == POINTS
    assert (sizes[0], sizes[-1]) == ((reference, first), (30, 40))
    steps = {b[1] - a[1] for a, b in pairwise(sizes)}
    assert max(steps) - min(steps) <= 1


def test_the_draws_are_seeded() -> None:
    one, other = samples(0, 30, 40)
    again = extrapolated_frechet(one, other, seed=3)
    assert again == extrapolated_frechet(one, other, seed=3)
    assert again != extrapolated_frechet(one, other, seed=4)
    assert again["frechet_inf_se"] > 0


def test_too_small_a_set_is_refused() -> None:
    with pytest.raises(UserError, match="at least 30 pictures in a set, not 7"):
        extrapolated_frechet(*samples(0, 7, 40))
    assert extrapolated_frechet(*samples(0, 7, 40), shrink="generated")["frechet_inf"] > 0
