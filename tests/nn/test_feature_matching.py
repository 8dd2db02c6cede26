"""EFDM and WCT: exact distributions, exact covariances, the limits of both."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from atelier.nn.feature_matching import (
    distribution_loss,
    match_covariance,
    match_distribution,
    sorted_values,
)
from support.tensors import normal

MATCHINGS = [match_distribution, match_covariance]


def covariance(features: Tensor) -> Tensor:
    return torch.stack([torch.cov(part) for part in features.flatten(2)])


def test_every_channel_gets_the_styles_values_in_the_contents_order() -> None:
    content, style = normal(2, 4, 6, 7), normal(2, 4, 7, 6, seed=1).exp()
    found = match_distribution(content, style).flatten(2)
    assert torch.equal(found.sort(2).values, style.flatten(2).sort(2).values)
    assert torch.equal(found.argsort(2), content.flatten(2).argsort(2))


def test_equal_values_share_the_styles_by_place() -> None:
    """Dead channels: a ReLU leaves many zeros, of which AdaIN makes one value."""
    style = torch.tensor([3.0, 1.0, 2.0, 5.0]).view(1, 1, 2, 2)
    assert match_distribution(torch.zeros(1, 1, 2, 2), style).flatten().tolist() == [1, 2, 3, 5]


def test_another_number_of_positions_keeps_the_quantiles() -> None:
    style = torch.arange(5.0).view(1, 1, 1, 5)
    assert sorted_values(style, 9).flatten().tolist() == [n / 2 for n in range(9)]
    content = normal(1, 3, 30, 31)
    style = normal(1, 3, 17, 23, seed=1).exp()
    found = match_distribution(content, style).flatten(2)
    quantiles = torch.linspace(0.05, 0.95, 7)
    ours, theirs = (v.quantile(quantiles, 2) for v in (found, style.flatten(2)))
    torch.testing.assert_close(ours, theirs, rtol=0.02, atol=0.02)


def test_the_gradient_passes_a_matching_unchanged() -> None:
    content = normal(1, 2, 3, 3).requires_grad_()
    weight = normal(1, 2, 3, 3, seed=2)
    found = match_distribution(content, normal(1, 2, 3, 3, seed=1))
    (gradient,) = torch.autograd.grad((found * weight).sum(), content)
    torch.testing.assert_close(gradient, weight)


def test_the_distribution_loss_is_the_distance_to_the_matched_features() -> None:
    features, style = normal(2, 4, 5, 6).requires_grad_(), normal(2, 4, 5, 6, seed=1)
    found = distribution_loss(features, style)
    target = match_distribution(features, style).detach()
    expected = (features - target).square().flatten(1).mean(1)
    torch.testing.assert_close(found, expected)
    ours, theirs = (torch.autograd.grad(v.sum(), features)[0] for v in (found, expected))
    torch.testing.assert_close(ours, theirs)
    shuffled = style.flatten(2).flip(2).view_as(style)
    assert distribution_loss(shuffled, style).abs().max() == 0


def test_the_output_has_the_styles_mean_and_covariance() -> None:
    mix = normal(5, 5, seed=3)
    content = torch.einsum("ij,bjhw->bihw", mix, normal(2, 5, 20, 21)) + 2
    style = torch.einsum("ij,bjhw->bihw", mix.mT, normal(2, 5, 12, 15, seed=1)) - 1
    found = match_covariance(content, style)
    torch.testing.assert_close(covariance(found), covariance(style), atol=1e-3, rtol=1e-3)
    mean, wanted = (part.flatten(2).mean(2) for part in (found, style))
    torch.testing.assert_close(mean, wanted, atol=1e-4, rtol=1e-4)


def test_of_uncorrelated_channels_it_is_adain() -> None:
    """Diagonal covariances: the roots are the standard deviations."""
    basis = torch.linalg.qr(normal(64, 3) - normal(64, 3).mean(0)).Q
    basis = torch.linalg.qr(basis - basis.mean(0)).Q.mT.view(1, 3, 8, 8)
    scales = torch.tensor([1.0, 2.0, 3.0]).view(1, 3, 1, 1)
    style = scales * basis.flip(3) + 7
    torch.testing.assert_close(
        match_covariance(basis, style), scales * basis + 7, atol=1e-4, rtol=1e-4
    )


def test_small_eigenvalues_are_left_out_instead_of_blown_up() -> None:
    """Fewer positions than channels: the covariance is singular, its inverse root infinite."""
    content, style = normal(1, 20, 3, 3), normal(1, 20, 10, 10, seed=1)
    found = match_covariance(content, style)
    assert found.isfinite().all()
    assert found.abs().max() < 20
    rank = torch.linalg.matrix_rank(covariance(found)[0], rtol=1e-3)
    assert rank <= 8


@pytest.mark.parametrize("match", MATCHINGS)
def test_the_own_style_changes_nothing(match: object) -> None:
    features = normal(2, 5, 20, 21)
    found = match(features, features)  # type: ignore[operator]
    torch.testing.assert_close(found, features, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("match", MATCHINGS)
@pytest.mark.parametrize("which", [0, 1])
def test_features_of_one_value_stay_finite(match: object, which: int) -> None:
    pair = [normal(1, 4, 5, 5), normal(1, 4, 6, 6, seed=1)]
    pair[which] = torch.full_like(pair[which], 0.4)
    found = match(*pair)  # type: ignore[operator]
    assert found.isfinite().all()
    mean = pair[1].flatten(2).mean(2)
    torch.testing.assert_close(found.flatten(2).mean(2), mean, atol=0.1, rtol=0)


@pytest.mark.parametrize("match", MATCHINGS)
def test_matching_is_in_float32_under_bfloat16(match: object) -> None:
    content, style = normal(1, 4, 9, 9), normal(1, 4, 9, 9, seed=1)
    exact = match(content, style)  # type: ignore[operator]
    with torch.autocast("cpu", torch.bfloat16):
        found = match(content, style)  # type: ignore[operator]
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, exact)
