"""PSNR and SSIM against closed forms, and against SciPy's Gaussian filter."""

import math

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import Generator, Tensor

from atelier.core.config import UserError
from atelier.metrics.ssim import psnr, ssim


def pictures(seed: int, channels: int = 3) -> Tensor:
    return torch.rand(2, channels, 24, 31, generator=Generator().manual_seed(seed))


def grey(value: float, channels: int = 3) -> Tensor:
    return torch.full((1, channels, 16, 16), value)


@pytest.mark.parametrize("error", [1 / 255, 0.1, 0.5])
def test_psnr_of_a_constant_error(error: float) -> None:
    found = psnr(grey(0.25 + error), grey(0.25))
    assert found.item() == pytest.approx(-20 * math.log10(error), abs=1e-5)


def test_psnr_is_a_mean_over_pixels_and_channels_of_each_picture() -> None:
    reference = torch.zeros(2, 3, 12, 12)
    image = reference.clone()
    image[1, 0] = 1  # a third of the second picture
    found = psnr(image, reference)
    assert found[0] == math.inf
    assert found[1].item() == pytest.approx(10 * math.log10(3))


def test_psnr_of_gaussian_noise() -> None:
    """σ = 25 has 20·log10(255/25) = 20.17 dB where nothing is clipped."""
    noise = torch.randn(1, 3, 200, 200, generator=Generator().manual_seed(0)) * 25 / 255
    assert psnr(0.5 + noise, torch.full_like(noise, 0.5)).item() == pytest.approx(20.17, abs=0.05)


def test_ssim_of_two_even_greys_is_the_light_term() -> None:
    """No variance is left: (2ab + C1) / (a² + b² + C1)."""
    a, b, c1 = 0.3, 0.7, 1e-4
    expected = (2 * a * b + c1) / (a**2 + b**2 + c1)
    assert ssim(grey(a), grey(b)).item() == pytest.approx(expected, rel=1e-6)


def test_ssim_of_half_the_contrast() -> None:
    """Where b = (a + mean)/2 and means agree: (σ² + C2) / (1.25·σ² + C2) in every window."""
    wave = torch.arange(64).remainder(2).double().mul(0.4).add(0.3).expand(1, 1, 64, 64)
    bell = np.exp(-((np.arange(11) - 5) ** 2) / 4.5)
    bell /= bell.sum()
    values = 0.3 + 0.4 * (np.arange(11) % 2)  # a window whose middle is at an odd column
    mean = bell @ values
    variance = bell @ values**2 - mean**2
    expected = (variance + 9e-4) / (1.25 * variance + 9e-4)
    assert ssim((wave + 0.5) / 2, wave).item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("channels", [1, 3])
def test_ssim_as_with_scipys_filter(channels: int) -> None:
    """Formula by formula, windows that stick out cut off; radius 5 at truncate 3.5."""
    one, other = pictures(0, channels), pictures(1, channels)

    def naive(a: Tensor, b: Tensor) -> float:
        light = np.array([0.299, 0.587, 0.114] if channels == 3 else [1.0])
        x, y = (np.tensordot(light, p.double().numpy(), 1) for p in (a, b))
        means = [
            gaussian_filter(v, 1.5, truncate=3.5)[5:-5, 5:-5] for v in (x, y, x * x, y * y, x * y)
        ]
        mx, my, xx, yy, xy = means
        top = (2 * mx * my + 1e-4) * (2 * (xy - mx * my) + 9e-4)
        return float((top / ((mx**2 + my**2 + 1e-4) * (xx - mx**2 + yy - my**2 + 9e-4))).mean())

    expected = [naive(a, b) for a, b in zip(one, other, strict=True)]
    assert ssim(one, other).tolist() == pytest.approx(expected, rel=1e-9)


def test_ssim_is_1_for_equal_pictures_and_symmetric() -> None:
    one, other = pictures(0), pictures(1)
    assert ssim(one, one).tolist() == pytest.approx([1, 1])
    torch.testing.assert_close(ssim(one, other), ssim(other, one))
    assert (ssim(1 - one, one) < 0).all()


def test_what_cannot_be_compared() -> None:
    with pytest.raises(UserError, match="at least 11 px, got 31×10"):
        ssim(pictures(0)[:, :, :10], pictures(1)[:, :, :10])
    for measure in (psnr, ssim):
        with pytest.raises(ValueError, match="twice"):
            measure(pictures(0), pictures(1)[:1])
