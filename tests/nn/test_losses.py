"""Losses against closed forms."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from torch import Tensor

from atelier.nn import losses
from atelier.nn.losses import (
    COVARIANCE_EPS,
    STYLE_LOSSES,
    gram,
    total_variation,
    wasserstein_target,
)
from support.tensors import equal, normal


def test_gram_of_constant_channels_is_the_product_of_their_values() -> None:
    values = torch.tensor([1.0, -2.0, 3.0])
    features = values.view(1, 3, 1, 1).expand(1, 3, 4, 5)
    outer = values[:, None] * values
    torch.testing.assert_close(gram(features, "positions")[0], outer)
    torch.testing.assert_close(gram(features, "all")[0], outer / 3)


def test_gram_losses_in_terms_of_gatys_energy() -> None:
    """E = Σ(G - G')² / (4 N² M²) with raw Grams; the table of conventions follows from it."""
    a, b = normal(1, 6, 4, 5), normal(1, 6, 4, 5, seed=1)
    raw = [x.flatten(2) @ x.flatten(2).mT for x in (a, b)]
    channels, positions = 6, 20
    energy = (raw[0] - raw[1]).square().sum() / (4 * channels**2 * positions**2)
    by_all = losses.gram_loss(a, gram(b, "all"), "all")[0]
    by_positions = losses.gram_loss(a, gram(b, "positions"), "positions")[0]
    torch.testing.assert_close(by_all, 4 * energy / channels**2)
    torch.testing.assert_close(by_positions, 4 * energy)


def test_scaled_gram_loss_has_a_gradient_of_unit_norm_in_the_gram() -> None:
    target = gram(normal(1, 6, 4, 5, seed=1), "positions")
    difference = (gram(normal(1, 6, 4, 5), "positions") - target).abs()
    found = losses.scaled_gram_loss(normal(1, 6, 4, 5), target)[0]
    torch.testing.assert_close(found, difference.square().sum() / difference.sum())
    ten_times = losses.scaled_gram_loss(normal(1, 6, 4, 5) * 10, target * 100)[0]
    torch.testing.assert_close(ten_times, 100 * found)  # linear in the Gram, not quadratic


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("offset", [0.0, 100.0])
def test_mean_and_std_and_their_gradients_are_torchs(
    offset: float, layout: torch.memory_format
) -> None:
    features = (normal(2, 5, 7, 6) + offset).contiguous(memory_format=layout)
    weights = normal(2, 2, 5, seed=1)

    def derived(features: Tensor, found: Tensor) -> list[Tensor]:
        (gradient,) = torch.autograd.grad((found * weights).sum(), features)
        return [found.float(), gradient.float()]

    own, exact = features.clone().requires_grad_(), features.double().requires_grad_()
    wanted = torch.stack([exact.mean((2, 3)), (exact.var((2, 3)) + losses.STD_EPS).sqrt()])
    for a, b in zip(
        derived(own, torch.stack(losses.mean_std(own))), derived(exact, wanted), strict=True
    ):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("size", [(64, 64), (61, 67)])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_large_gram_matrices_and_their_gradients(
    size: tuple[int, int], layout: torch.memory_format
) -> None:
    """Large enough for ``nn/products.py``, with and without rows left over."""
    features = normal(2, 36, *size).contiguous(memory_format=layout).requires_grad_()
    weights = normal(2, 36, 36, seed=1)
    (gradient,) = torch.autograd.grad((gram(features, "positions") * weights).sum(), features)
    exact = features.detach().double().requires_grad_()
    wanted = exact.flatten(2) @ exact.flatten(2).mT / exact[0, 0].numel()
    torch.testing.assert_close(gram(features, "positions").double(), wanted, rtol=0, atol=1e-5)
    (expected,) = torch.autograd.grad((wanted * weights).sum(), exact)
    torch.testing.assert_close(gradient.double(), expected, rtol=0, atol=1e-6)


def test_mean_std_loss_sees_shift_and_spread_and_nothing_else() -> None:
    features = normal(2, 4, 8, 8)
    target = losses.mean_std(features)
    shuffled = features.flatten(2)[..., torch.randperm(64)].view_as(features)
    torch.testing.assert_close(losses.mean_std_loss(shuffled, target), torch.zeros(2))
    shifted = losses.mean_std_loss(features + 0.5, target)
    torch.testing.assert_close(shifted, torch.full((2,), 0.25))


def _of_moments(mean: Tensor, deviations: Tensor) -> Tensor:
    """(1, C, 1, 2C) features with this mean and exactly diagonal covariance deviations²."""
    channels = len(mean)
    spread = torch.diag(deviations) * channels**0.5
    return (torch.cat([spread, -spread], 1) + mean[:, None])[None, :, None]


def test_wasserstein_of_diagonal_gaussians() -> None:
    means = torch.tensor([0.0, 1.0, 2.0]), torch.tensor([0.5, 1.0, 0.0])
    stds = torch.tensor([1.0, 2.0, 0.5]), torch.tensor([2.0, 1.0, 1.5])
    one, other = (_of_moments(m, s) for m, s in zip(means, stds, strict=True))
    roots = [(s.square() + COVARIANCE_EPS).sqrt() for s in stds]
    expected = (means[0] - means[1]).square().mean() + (roots[0] - roots[1]).square().mean()
    found = losses.wasserstein_loss(one, losses.wasserstein_target(other))
    torch.testing.assert_close(found[0], expected, rtol=1e-4, atol=1e-5)


def test_wasserstein_of_correlated_gaussians_against_scipy() -> None:
    mix = normal(5, 5, seed=3)
    one = normal(1, 5, 8, 8)
    other = torch.einsum("cd,bdhw->bchw", mix, normal(1, 5, 8, 8, seed=1)) + 0.3
    means, covariances = [], []
    for features in (one, other):
        flat = features[0].flatten(1).double().numpy()
        means.append(flat.mean(1))
        covariances.append(np.cov(flat, bias=True) + COVARIANCE_EPS * np.eye(5))
    cross = np.trace(sqrtm(covariances[0] @ covariances[1]).real)
    spread = np.trace(covariances[0] + covariances[1]) - 2 * cross
    expected = ((means[0] - means[1]) ** 2).mean() + spread / 5
    found = losses.wasserstein_loss(one, losses.wasserstein_target(other))
    assert found.item() == pytest.approx(expected, rel=1e-4)


def test_wasserstein_of_itself_is_zero() -> None:
    features = normal(2, 8, 12, 12)
    found = losses.wasserstein_loss(features, losses.wasserstein_target(features))
    torch.testing.assert_close(found, torch.zeros(2), rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", STYLE_LOSSES)
def test_a_batch_of_two_is_two_batches_of_one(name: str) -> None:
    measure, loss = STYLE_LOSSES[name]  # type: ignore[index]
    features, style = normal(2, 6, 8, 8), normal(2, 6, 8, 8, seed=1) * 3
    together = loss(features, measure(style))
    alone = [loss(features[n : n + 1], measure(style[n : n + 1])) for n in range(2)]
    assert together.shape == (2,)
    assert not torch.isclose(together[0], together[1], rtol=1e-3)
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", STYLE_LOSSES)
def test_one_style_serves_a_whole_batch(name: str) -> None:
    measure, loss = STYLE_LOSSES[name]  # type: ignore[index]
    features, style = normal(3, 6, 8, 8), normal(1, 6, 8, 8, seed=1)
    torch.testing.assert_close(
        loss(features, measure(style)), loss(features, measure(style.expand(3, -1, -1, -1)))
    )


@pytest.mark.parametrize("name", STYLE_LOSSES)
@pytest.mark.parametrize("style_is_flat", [True, False])
def test_gradients_of_a_flat_picture_are_finite(name: str, style_is_flat: bool) -> None:
    measure, loss = STYLE_LOSSES[name]  # type: ignore[index]
    features = torch.full((1, 6, 8, 8), 0.5, requires_grad=True)
    style = torch.full((1, 6, 8, 8), 0.7) if style_is_flat else normal(1, 6, 8, 8)
    value = loss(features, measure(style)).sum()
    (gradient,) = torch.autograd.grad(value, features)
    assert value.isfinite()
    assert gradient.isfinite().all()
    assert gradient.abs().max() > 0


@pytest.mark.parametrize("name", STYLE_LOSSES)
def test_gradient_is_the_slope(name: str) -> None:
    """A central difference along the gradient; gradcheck is out, as the losses are float32."""
    measure, loss = STYLE_LOSSES[name]  # type: ignore[index]
    features, target = normal(1, 6, 8, 8), measure(normal(1, 6, 8, 8, seed=1) * 2)
    leaf = features.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(leaf, target).sum(), leaf)
    way = gradient / gradient.norm()
    ahead, behind = (loss(features + step * way, target).item() for step in (0.05, -0.05))
    assert (ahead - behind) / 0.1 == pytest.approx(gradient.norm().item(), rel=0.02)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_gradient_of_a_gram_matrix_is_torchs_in_the_format_of_the_features(
    layout: torch.memory_format,
) -> None:
    features = normal(2, 5, 6, 7).contiguous(memory_format=layout)
    weight = normal(2, 5, 5, seed=1)  # not symmetric
    found, expected = (features.clone().requires_grad_() for _ in range(2))
    torch.autograd.backward((gram(found) * weight).sum())
    flat = expected.flatten(2)
    torch.autograd.backward((flat @ flat.mT / (5 * 42) * weight).sum())
    torch.testing.assert_close(found.grad, expected.grad)
    assert found.grad is not None
    assert found.grad.is_contiguous(memory_format=layout)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("channels", [5, 64])
def test_gram_matrices_of_bfloat16_round_nothing_but_the_gradient(
    channels: int, layout: torch.memory_format
) -> None:
    features = normal(2, channels, 16, 16).bfloat16().contiguous(memory_format=layout)
    features.requires_grad_()
    exact = features.detach().double().requires_grad_()
    wanted = exact.flatten(2) @ exact.flatten(2).mT / 256
    found = gram(features, "positions")
    torch.testing.assert_close(found.double(), wanted, rtol=0, atol=2e-6)
    weights = normal(2, channels, channels, seed=1)
    (gradient,) = torch.autograd.grad((found * weights).sum(), features)
    (expected,) = torch.autograd.grad((wanted * weights).sum(), exact)
    assert gradient.dtype == torch.bfloat16
    assert gradient.is_contiguous(memory_format=layout)
    error = (gradient.double() - expected).abs().max() / expected.abs().max()
    assert error < 2**-7


def test_products_of_other_numbers_stay_exact() -> None:
    """The switch for bfloat16's is torch's own, and global."""
    gram(normal(1, 64, 16, 16).bfloat16())
    a = normal(256, 256)
    torch.testing.assert_close((a @ a).double(), a.double() @ a.double(), rtol=0, atol=1e-4)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("batch", [1, 2])
def test_mean_square_and_its_gradients_are_torchs_in_the_format_of_the_features(
    batch: int, layout: torch.memory_format
) -> None:
    a = normal(2, 5, 6, 7).contiguous(memory_format=layout).requires_grad_()
    b = normal(batch, 5, 6, 7, seed=1).bfloat16().contiguous(memory_format=layout).requires_grad_()
    weights = normal(2, seed=2)
    found = losses.mean_square(a, b)
    wanted = (a - b.float()).square().flatten(1).mean(1)
    torch.testing.assert_close(found, wanted)
    own = torch.autograd.grad((found * weights).sum(), [a, b])
    expected = torch.autograd.grad((wanted * weights).sum(), [a, b])
    for one, other in zip(own, expected, strict=True):
        assert one.dtype == other.dtype
        torch.testing.assert_close(one, other, rtol=1e-2, atol=1e-5)
    assert own[0].is_contiguous(memory_format=layout)
    torch.testing.assert_close(own[0], expected[0])


def test_gram_matrices_are_exact_under_autocast() -> None:
    features = normal(1, 4, 32, 32)
    exact = gram(features), wasserstein_target(features)[2]
    with torch.autocast("cpu", torch.bfloat16):
        assert equal((gram(features), wasserstein_target(features)[2]), exact)


def test_losses_keep_float32_below_reduced_precision() -> None:
    features = normal(1, 4, 32, 32).bfloat16() * 16
    assert gram(features).dtype == torch.float32
    torch.testing.assert_close(gram(features), gram(features.float()))
    assert losses.mean_square(features, features + 1).dtype == torch.float32


def _ramp(height: int = 4, width: int = 5) -> Tensor:
    """Rises by 2 to the right and by 3 downwards."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return (2.0 * x + 3.0 * y).expand(1, 3, height, width)


def test_total_variation_of_a_ramp() -> None:
    across, down = 3 * 4 * 4 * 2, 3 * 3 * 5 * 3  # channels · pairs · step
    assert total_variation(_ramp(), "l1_sum").tolist() == [across + down]
    assert total_variation(_ramp(), "mean_square").tolist() == [pytest.approx((4 + 9) / 2)]
    # The rim is repeated, so the last column has no step to its right nor the last row one below.
    right, below = 4 * 4 / 5, 9 * 3 / 4
    falling = (3 * 4 * 25 + 3 * 9 + 4 * 4) / 20  # inside 5², right column 3², bottom row 2²
    rising = (3 * 4 * 1 + 3 * 9 + 4 * 4) / 20  # inside (3 - 2)², left column 3², bottom row 2²
    expected = 2 * ((right + below) / 3 + (falling + rising) / 12)
    assert total_variation(_ramp(), "nine_point").item() == pytest.approx(expected)


def test_total_variation_of_a_checkerboard() -> None:
    side = 6
    board = (torch.arange(side)[:, None] + torch.arange(side)) % 2
    image = board.float().expand(1, 3, side, side)
    assert total_variation(image, "l1_sum").item() == 3 * 2 * side * (side - 1)
    assert total_variation(image, "mean_square").item() == pytest.approx(1.0)
    # Diagonal neighbours agree, except where the repeated rim turns them into straight ones.
    straight, slant = side * (side - 1) / side**2, 2 * (side - 1) / side**2
    expected = 2 * (2 * straight / 3 + 2 * slant / 12)
    assert total_variation(image, "nine_point").item() == pytest.approx(expected)


@pytest.mark.parametrize("form", ["l1_sum", "mean_square", "nine_point"])
def test_total_variation_is_per_picture_and_zero_when_flat(form: losses.TotalVariation) -> None:
    images = torch.stack([torch.full((3, 6, 7), 0.3), normal(3, 6, 7)])
    found = total_variation(images, form)
    assert found[0] == 0
    torch.testing.assert_close(found[1], total_variation(images[1:], form)[0])


SMOOTH: list[Callable[[Tensor], Tensor]] = [
    lambda image: total_variation(image, "mean_square"),
    lambda image: total_variation(image, "nine_point"),
]


@pytest.mark.parametrize("function", SMOOTH)
def test_total_variation_gradcheck(function: Callable[[Tensor], Tensor]) -> None:
    assert torch.autograd.gradcheck(function, normal(2, 3, 4, 5).double().requires_grad_())
