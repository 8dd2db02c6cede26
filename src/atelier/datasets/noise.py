"""Noise of known strength on pictures in [0, 1], to evaluate denoisers.

Both kinds are independent from pixel to pixel and from channel to channel, drawn from the caller's
CPU generator, so that a seed gives the same noise on every device.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import torch
from torch import Generator, Tensor

Noise = Literal["gaussian", "poisson"]


def gaussian(image: Tensor, sigma: float, generator: Generator, *, clip: bool = True) -> Tensor:
    """Return ``image`` plus N(0, (σ/255)²); any shape.

    Args:
        image: in [0, 1].
        sigma: standard deviation in the units of 8-bit pictures, 0 to 255.
        generator: on the CPU.
        clip: to [0, 1], as a picture file would, and as Zero-Shot Noise2Noise's authors do. Where
            it clips, the mean of the noise is no longer 0.
    """
    if sigma < 0:
        raise ValueError(f"sigma must not be negative, it is {sigma}")
    drawn = torch.randn(image.shape, generator=generator).to(image)
    return _clipped(image + drawn * (sigma / 255), clip)


def poisson(image: Tensor, lam: float, generator: Generator, *, clip: bool = False) -> Tensor:
    """Return Poisson(λ·x)/λ: mean x, variance x/λ, multiples of 1/λ; any shape.

    Args:
        image: in [0, 1].
        lam: number of events at white; fewer is noisier.
        generator: on the CPU.
        clip: to [0, 1]; off by default, as Zero-Shot Noise2Noise's authors have it.
    """
    if lam <= 0:
        raise ValueError(f"lam must be positive, it is {lam}")
    drawn = torch.poisson(image.float().cpu() * lam, generator=generator).to(image)
    return _clipped(drawn / lam, clip)


def _clipped(image: Tensor, clip: bool) -> Tensor:
    return image.clamp(0, 1) if clip else image


NOISES: Mapping[Noise, Callable[[Tensor, float, Generator], Tensor]] = {
    "gaussian": gaussian,
    "poisson": poisson,
}
"""Noise models by name, each with its own clipping; the number is σ or λ."""
