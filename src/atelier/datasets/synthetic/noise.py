"""Random textures and small colour arithmetic shared by the photographs and the paintings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

Field = NDArray[Any]
"""Numbers, mostly float32: a plane (H, W), colours (..., 3) or one per object (N,)."""


def spectral(
    rng: np.random.Generator,
    n: int,
    slope: float,
    stretch: tuple[float, float] = (1.0, 1.0),
    coarsest: float = 1.0,
) -> Field:
    """Periodic fractal noise: white noise shaped in the Fourier domain.

    Args:
        rng: source of the white noise.
        n: side in cells.
        slope: amplitude falls as frequency to this power; 1 is rough, 2 is smooth.
        stretch: factors on the vertical and horizontal frequency; above 1 shortens the features.
        coarsest: cycles per side below which the spectrum is flat.

    Returns:
        (n, n), mean 0, standard deviation 1; its edges fit together.
    """
    white = np.fft.rfft2(rng.standard_normal((n, n)))
    fy = np.fft.fftfreq(n, 1 / n)[:, None] / stretch[0]
    fx = np.fft.rfftfreq(n, 1 / n)[None] / stretch[1]
    gain = (fy**2 + fx**2 + coarsest**2) ** (-slope / 2)
    gain[0, 0] = 0.0
    field = np.fft.irfft2(white * gain, s=(n, n))
    return np.asarray(field / field.std(), np.float32)


def ridged(rng: np.random.Generator, n: int, octaves: int = 6) -> Field:
    """Periodic mountain relief (n, n) in about [0, 1]: sharp crests, smooth valleys.

    After the ridged multifractal of Musgrave (Texturing and Modeling, ch. 16): every octave is
    folded at zero, squared, and weighted by the one before, so that detail sits on the crests.
    """
    total = np.zeros((n, n), np.float32)
    weight = np.ones((n, n), np.float32)
    for octave in range(octaves):
        band = spectral(rng, n, 3.5, coarsest=2.5 * 2**octave)
        fold = np.square(1.0 - np.minimum(np.abs(band) * 0.8, 1.0)) * weight
        total += fold * 0.5 ** (octave + 1)
        weight = np.clip(fold * 1.8, 0.15, 1.0)
    return total


def fetch(field: Field, y: Field, x: Field) -> Field:
    """Bilinear look-up in a periodic field at the cells (y, x), any shape, any real numbers."""
    out: Field = ndimage.map_coordinates(field, [y, x], order=1, mode="grid-wrap")
    return out


def step(low: Field | float, high: float, x: Field) -> Field:
    """Smooth 0-to-1 ramp between ``low`` and ``high`` (which may be the smaller one)."""
    t = np.clip((x - low) / (high - low), 0.0, 1.0)
    return np.asarray(t * t * (3.0 - 2.0 * t), np.float32)


def mix(a: Field, b: Field, t: Field | float) -> Field:
    """Blend colours (..., 3): ``a`` where ``t`` is 0, ``b`` where it is 1."""
    weight = np.asarray(t, np.float32)[..., None] if np.ndim(t) else np.float32(t)
    return np.asarray(a + (b - a) * weight, np.float32)


def srgb(code: str) -> Field:
    """``"rrggbb"`` as display colour (3,) in [0, 1]."""
    return np.array([int(code[i : i + 2], 16) / 255 for i in (0, 2, 4)], np.float32)


def linear(code: str) -> Field:
    """``"rrggbb"`` as light (3,) in [0, 1], gamma 2.2 undone."""
    return np.asarray(srgb(code) ** 2.2, np.float32)


def pick(rng: np.random.Generator, colours: Sequence[Field], shape: tuple[int, ...]) -> Field:
    """Colours (*shape, 3) drawn at random from ``colours``."""
    return np.stack(colours)[rng.integers(len(colours), size=shape)]


def shrink(image: Field, size: int) -> Field:
    """Reduce an image (H, W, C) to (size, size, C) with a Lanczos window."""
    planes = [
        np.asarray(Image.fromarray(image[..., c]).resize((size, size), Image.Resampling.LANCZOS))
        for c in range(image.shape[-1])
    ]
    return np.stack(planes, axis=-1).astype(np.float32)
