"""Noise has the moments it promises, and comes from the caller's generator."""

import pytest
import torch
from torch import Generator

from atelier.datasets.noise import NOISES, gaussian, poisson

MANY = 200_000


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


@pytest.mark.parametrize("sigma", [10, 25, 50])
def test_gaussian_has_mean_0_and_the_standard_deviation_asked_for(sigma: float) -> None:
    clean = torch.full((MANY,), 0.5)
    noise = (gaussian(clean, sigma, seeded(), clip=False) - clean) * 255
    assert abs(noise.mean().item()) < 4 * sigma / MANY**0.5
    assert noise.std().item() == pytest.approx(sigma, rel=0.01)


@pytest.mark.parametrize("lam", [50, 25, 10])
@pytest.mark.parametrize("grey", [0.2, 0.8])
def test_poisson_counts_events(lam: float, grey: float) -> None:
    """Mean x, variance x/λ, and every value a whole number of events."""
    noisy = poisson(torch.full((MANY,), grey), lam, seeded())
    assert noisy.mean().item() == pytest.approx(grey, rel=0.01)
    assert noisy.var().item() == pytest.approx(grey / lam, rel=0.02)
    torch.testing.assert_close(noisy * lam, (noisy * lam).round(), atol=1e-4, rtol=0)


def test_neighbours_and_channels_are_independent() -> None:
    for noise in (gaussian, poisson):
        found = noise(torch.full((3, 300, 300), 0.5), 25, seeded(), clip=False) - 0.5
        pairs = (
            (found[0], found[1]),
            (found[:, 1:], found[:, :-1]),
            (found[..., 1:], found[..., :-1]),
        )
        for one, other in pairs:
            both = torch.stack([one.flatten(), other.flatten()])
            assert abs(torch.corrcoef(both)[0, 1].item()) < 0.02


def test_black_has_no_poisson_noise() -> None:
    assert not poisson(torch.zeros(100), 10, seeded()).any()


def test_only_clipped_noise_stays_in_range() -> None:
    bright = torch.full((1000,), 0.98)
    for noise in (gaussian, poisson):
        assert noise(bright, 50, seeded(), clip=False).max() > 1
        assert noise(bright, 50, seeded(), clip=True).max() == 1
    assert NOISES["gaussian"](bright, 50, seeded()).max() == 1
    assert NOISES["poisson"](bright, 50, seeded()).max() > 1


@pytest.mark.parametrize("noise", [gaussian, poisson])
def test_the_seed_alone_decides(noise: type[gaussian]) -> None:
    clean, state = torch.rand(1, 3, 8, 8, generator=seeded(9)), torch.get_rng_state()
    assert torch.equal(noise(clean, 25, seeded(1)), noise(clean, 25, seeded(1)))
    assert not torch.equal(noise(clean, 25, seeded(1)), noise(clean, 25, seeded(2)))
    assert torch.equal(torch.get_rng_state(), state), "the global generator is left alone"


def test_impossible_strengths() -> None:
    with pytest.raises(ValueError, match="sigma"):
        gaussian(torch.zeros(1), -1, seeded())
    with pytest.raises(ValueError, match="lam"):
        poisson(torch.zeros(1), 0, seeded())
