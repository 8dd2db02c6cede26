"""Fréchet distance against closed forms and pytorch-fid."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pytorch_fid.fid_score import calculate_frechet_distance
from torch import Tensor

from atelier.core.config import UserError
from atelier.metrics.frechet import frechet_distance


def noise(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def of_moments(mean: Tensor, root: Tensor) -> Tensor:
    """(2d, d) vectors with exactly this mean and the covariance root·rootᵀ (divisor n - 1)."""
    size = len(mean)
    arms = torch.eye(size, dtype=torch.float64) * ((2 * size - 1) / 2) ** 0.5
    return mean + torch.cat([arms, -arms]) @ root.T


def test_gaussians_with_commuting_covariances() -> None:
    """For diagonal covariances the distance is ‖μ - μ'‖² + Σ(σ - σ')²."""
    mean, other_mean = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([0.0, 2.0, 5.0])
    std, other_std = torch.tensor([1.0, 2.0, 0.0]), torch.tensor([3.0, 2.5, 1.0])
    one = of_moments(mean.double(), torch.diag(std).double())
    other = of_moments(other_mean.double(), torch.diag(other_std).double())
    assert frechet_distance(one, other) == pytest.approx((1 + 4) + (4 + 0.25 + 1), rel=1e-12)


def test_rotating_both_sets_changes_nothing_but_rotating_one_does() -> None:
    rotation = torch.linalg.qr(noise(4, 4, seed=5)).Q
    root = torch.diag(torch.tensor([4.0, 2.0, 1.0, 0.5], dtype=torch.float64))
    one, other = of_moments(torch.zeros(4).double(), root), noise(30, 4)
    assert frechet_distance(one @ rotation, other @ rotation) == pytest.approx(
        frechet_distance(one, other), rel=1e-10
    )
    # tr(Σ) + tr(Σ') - 2 tr((Σ Σ')^½) of the same ellipsoid turned by 90° in its first plane
    turn = torch.eye(4, dtype=torch.float64)[[1, 0, 2, 3]]
    assert frechet_distance(one, one @ turn) == pytest.approx(2 * (4 - 2) ** 2, rel=1e-10)


@pytest.mark.filterwarnings("ignore:The `disp` argument:DeprecationWarning")
@pytest.mark.parametrize(("n", "m", "d"), [(60, 50, 8), (6, 9, 20), (30, 5, 12), (5, 30, 12)])
def test_matches_pytorch_fid_symmetric_and_zero_for_itself(n: int, m: int, d: int) -> None:
    a, b = noise(n, d) + 0.3, noise(m, d, seed=1) @ noise(d, d, seed=2) / d**0.5
    found = frechet_distance(a, b)
    (mean, cov), (other_mean, other_cov) = (
        (x.mean(0).numpy(), np.cov(x.numpy(), rowvar=False)) for x in (a, b)
    )
    if min(n, m) > d:  # for singular products sqrtm itself is inaccurate
        expected = calculate_frechet_distance(mean, cov, other_mean, other_cov)
        assert found == pytest.approx(expected, rel=1e-6)
    values, vectors = np.linalg.eigh(cov)
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    cross = np.sqrt(np.linalg.eigvalsh(root @ other_cov @ root).clip(0)).sum()
    by_eigenvalues = ((mean - other_mean) ** 2).sum() + np.trace(cov + other_cov) - 2 * cross
    assert found == pytest.approx(by_eigenvalues, rel=1e-5)
    assert found == pytest.approx(frechet_distance(b, a), rel=1e-10)
    assert 0 <= frechet_distance(a, a.clone()) < 1e-10


def test_a_shift_adds_its_squared_length() -> None:
    a, b, shift = noise(20, 6), noise(25, 6, seed=1), torch.arange(6.0).double()
    b = b - b.mean(0) + a.mean(0)
    moved = frechet_distance(a, b + shift) - frechet_distance(a, b)
    assert moved == pytest.approx(55, rel=1e-10)


def test_order_of_the_pictures_does_not_matter_and_their_number_does() -> None:
    a, b = noise(20, 6), noise(12, 6, seed=1)
    assert frechet_distance(a.flip(0), b) == pytest.approx(frechet_distance(a, b), rel=1e-10)
    assert frechet_distance(a, torch.cat([b, b])) != pytest.approx(frechet_distance(a, b))


def test_float32_features_far_from_zero_keep_their_precision() -> None:
    a, b = noise(40, 8), noise(30, 8, seed=1)
    far = frechet_distance((a + 500).float(), (b + 500).float())
    assert far == pytest.approx(frechet_distance(a, b), rel=1e-3)


@pytest.mark.parametrize("which", ["reference", "generated"])
def test_one_picture_has_no_covariance(which: str) -> None:
    sets = {"reference": noise(4, 3), "generated": noise(4, 3), which: noise(1, 3)}
    with pytest.raises(UserError, match=f"the {which} set needs at least 2 pictures, it has 1"):
        frechet_distance(**sets)
