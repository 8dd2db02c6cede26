"""Relief and ground cover that the landscapes share."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from atelier.datasets.synthetic.noise import Field, fetch, linear, mix, ridged, spectral, step
from atelier.datasets.synthetic.scene import Albedo, Heights, Scene

Rng = np.random.Generator
GREENS = [linear(c) for c in ("4f7a2a", "5f8a33", "3f6626", "78983f", "48702f")]
DARK_GREENS = [linear(c) for c in ("2f4a2a", "3a5530", "28402a", "466236")]
AUTUMN = [linear(c) for c in ("c8761e", "d79a2b", "a84a1c", "b8862f", "8a6a2a", "7d7a30")]


def rolling(rng: Rng, period: float, metres: float, slope: float = 2.6) -> Heights:
    """Rounded hills, ``metres`` from mean to typical crest, repeating after ``period`` metres."""
    noise, cell = spectral(rng, 256, slope, coarsest=2.5), period / 256
    return lambda x, z: metres * fetch(noise, z / cell, x / cell)


def range_of(rng: Rng, period: float, metres: float, start: float, base: float) -> Heights:
    """Mountains rising beyond ``start`` metres from a plain at ``base``."""
    crest, broad = ridged(rng, 512), spectral(rng, 256, 3.0, coarsest=1.5)
    cell, shift = period / 512, rng.uniform(0, 512, 2)

    def height(x: Field, z: Field) -> Field:
        y_cell, x_cell = z / cell + shift[0], x / cell + shift[1]
        mass = 0.75 + 0.3 * fetch(broad, y_cell / 2, x_cell / 2)
        rise = step(start, start * 2.6, z)
        peaks = fetch(crest, y_cell, x_cell) * mass
        return (base + rise * (metres * 1.5 * np.maximum(peaks, 0.0) - base * 0.5)).astype(
            np.float32
        )

    return height


def meadow(
    scene: Scene, tones: list[Field], snow_from: float = 1e9, rock_below: float = 0.0
) -> Albedo:
    """Ground of three tones in patches; rock where it is steep, snow where it is high."""
    noise, fine = spectral(scene.rng, 512, 1.4), spectral(scene.rng, 512, 0.6)
    rock, snow = linear("6f685f"), np.array([0.86, 0.89, 0.95], np.float32)

    def albedo(x: Field, z: Field, y: Field, flat: Field) -> Field:
        patch = scene.texture(noise, x, z, 0.35) + fetch(noise, z / 9, x / 9)
        grit = scene.texture(fine, x, z, 0.05) + scene.texture(fine, x, z, 1.3)
        grit = grit + 0.6 * fetch(fine, z / 23, x / 23)
        base = mix(mix(tones[0], tones[1], step(-1.2, 0.8, patch)), tones[2], step(0.6, 2.2, patch))
        strata = 0.75 + 0.2 * fetch(noise, z / 15, y / 6 + x / 25)
        stone = rock * strata[..., None]
        bare = step(rock_below + 0.08, rock_below - 0.08, flat + 0.04 * grit)
        ground = mix(base, stone, bare)
        line = snow_from * (1 + 0.12 * fetch(noise, z / 11, x / 11)) - y
        lying = step(0.06, -0.1, line / snow_from) * step(0.38, 0.62, flat + 0.05 * grit)
        return mix(ground * np.exp(0.16 * grit)[..., None], snow, lying).astype(np.float32)

    return albedo


def scatter(rng: Rng, count: int, near: float, far: float) -> tuple[Field, Field]:
    """Places (x, z), equally dense on the picture rather than on the ground."""
    z = near * (far / near) ** rng.random(count)
    return (rng.uniform(-0.62, 0.62, count) * z).astype(np.float32), z.astype(np.float32)


def underfoot(height: Heights) -> Heights:
    """Return the ground, lowered so that nothing near the camera is higher than 0."""
    z = np.linspace(0.5, 14, 30, dtype=np.float32)
    top = max(float(height(x * z, z).max()) for x in (-0.5, 0.0, 0.5))
    return lambda x, z: height(x, z) - top


def above(
    scene: Scene, tints: list[Field], height: Heights, level: float = 0.25
) -> Callable[[Field, Field], Field]:
    """Blades in ``tints`` where the ground is higher than ``level``."""

    def colours(x: Field, z: Field) -> Field:
        tint = np.stack(tints)[scene.rng.integers(len(tints), size=len(x))]
        return np.where((height(x, z) > level)[:, None], tint, np.nan).astype(np.float32)

    return colours
