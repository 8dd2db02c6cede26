"""Times of day: random but plausible light for a scene."""

from __future__ import annotations

import numpy as np

from atelier.datasets.synthetic.noise import Field, linear, mix
from atelier.datasets.synthetic.scene import Light

Rng = np.random.Generator


def _tone(rng: Rng, low: str, high: str) -> Field:
    return mix(linear(low), linear(high), float(rng.random()))


def _side(rng: Rng, low: float, high: float) -> float:
    return float(rng.uniform(low, high) * rng.choice([-1, 1]))


def day(rng: Rng) -> Light:
    """A blue sky with a few white clouds; the sun behind or beside the camera."""
    return Light(
        sun=(_side(rng, 0.5, 1.2), float(rng.uniform(0.6, 1.0)), float(rng.uniform(-0.7, 0.25))),
        sun_colour=np.array([1.2, 1.1, 0.96], np.float32),
        zenith=_tone(rng, "2f66ad", "4a86c4"),
        horizon=_tone(rng, "b4cfe4", "c9d8e0"),
        haze_m=float(rng.uniform(9000, 16000)),
        cover=float(rng.uniform(0.0, 0.75)),
        cloud=np.array([1.0, 0.99, 0.97], np.float32),
        cloud_dark=linear("8d9bb0"),
    )


def golden(rng: Rng) -> Light:
    """The last hour of sun: warm, low, from the side."""
    return Light(
        sun=(_side(rng, 0.7, 1.3), float(rng.uniform(0.25, 0.4)), float(rng.uniform(-0.3, 0.5))),
        sun_colour=np.array([1.25, 0.88, 0.52], np.float32),
        zenith=_tone(rng, "4d78a8", "6d8fae"),
        horizon=_tone(rng, "efd9b8", "e3dcd0"),
        haze_m=float(rng.uniform(6000, 12000)),
        cover=float(rng.uniform(0.2, 0.8)),
        cloud=linear("ffe6c2"),
        cloud_dark=linear("9d8d96"),
    )


def sunset(rng: Rng) -> Light:
    """The sun in the picture, just above the horizon."""
    return Light(
        sun=(float(rng.uniform(-0.35, 0.35)), float(rng.uniform(0.035, 0.14)), 1.0),
        sun_colour=np.array([1.3, 0.62, 0.24], np.float32),
        zenith=_tone(rng, "35568f", "5f5a80"),
        horizon=_tone(rng, "f4bd6e", "e8836a"),
        haze_m=float(rng.uniform(2500, 5000)),
        cover=float(rng.uniform(0.3, 0.85)),
        cloud=_tone(rng, "ffb27a", "f58f80"),
        cloud_dark=_tone(rng, "5b4f70", "6d5468"),
        disc=4.0,
        disc_size=float(rng.uniform(0.02, 0.035)),
    )


def overcast(rng: Rng) -> Light:
    """Soft grey light from everywhere, some mist."""
    return Light(
        sun=(_side(rng, 0.2, 0.8), 1.0, float(rng.uniform(-0.5, 0.5))),
        sun_colour=np.array([0.42, 0.42, 0.42], np.float32),
        zenith=_tone(rng, "93a3b2", "a3adb5"),
        horizon=_tone(rng, "cfd4d6", "d8d8d2"),
        haze_m=float(rng.uniform(350, 1500)),
        cover=float(rng.uniform(0.8, 1.1)),
        cloud=linear("d9dde0"),
        cloud_dark=linear("98a2ab"),
    )


def night(rng: Rng) -> Light:
    """The blue hour: moon in the picture, little light on the land."""
    return Light(
        sun=(_side(rng, 0.1, 0.35), float(rng.uniform(0.22, 0.38)), 1.0),
        sun_colour=np.array([0.42, 0.46, 0.52], np.float32),
        zenith=_tone(rng, "12234f", "1d2f66"),
        horizon=_tone(rng, "4d6398", "8b7a98"),
        haze_m=float(rng.uniform(1800, 4000)),
        cover=float(rng.uniform(0.1, 0.5)),
        cloud=linear("7d8bb0"),
        cloud_dark=linear("2a3a64"),
        disc=3.0,
        disc_size=float(rng.uniform(0.016, 0.026)),
    )
