"""Landscapes with water: mountain lake, sea, and a lake at the blue hour."""

from __future__ import annotations

import numpy as np

from atelier.datasets.synthetic import skylight
from atelier.datasets.synthetic.grass import grass
from atelier.datasets.synthetic.ground import (
    AUTUMN,
    DARK_GREENS,
    GREENS,
    Rng,
    above,
    meadow,
    range_of,
    rolling,
    scatter,
)
from atelier.datasets.synthetic.noise import Field, linear, mix, spectral, step
from atelier.datasets.synthetic.plants import broadleaf, conifer, plant
from atelier.datasets.synthetic.scene import Scene
from atelier.datasets.synthetic.water import water


def mountain_lake(rng: Rng, size: int) -> Field:
    """Snow-capped mountains over a lake with spruces on its banks."""
    light = skylight.day(rng) if rng.random() < 0.6 else skylight.golden(rng)
    scene = Scene(rng, size, rng.uniform(0.48, 0.56), rng.uniform(3, 6), light)
    peaks = range_of(rng, 9000, rng.uniform(650, 1000), 900, 15)
    shore, bank = rolling(rng, 900, 5.0), rng.uniform(0.25, 0.8) * rng.choice([-1, 1])

    def height(x: Field, z: Field) -> Field:
        basin = step(240, 700, z) * 22 - 7 + shore(x, z) * 0.6
        side = 6.5 * step(0.0, 12.0, np.sign(bank) * x - abs(bank) * z * 0.45 + 3) * step(90, 30, z)
        return np.asarray(np.maximum(basin + side, peaks(x, z) * step(400, 900, z) - 7), np.float32)

    scene.sky()
    tones = [linear(c) for c in ("4a5f2e", "5d6b35", "3c4a2a")]
    scene.ground(height, meadow(scene, tones, rng.uniform(260, 420), 0.68), shadows=True)
    trees = [conifer(scene, DARK_GREENS) for _ in range(4)]
    x, z = scatter(rng, 420, 35, 1100)
    dry = height(x, z) > 0.6
    plant(scene, trees, x[dry], z[dry], height, rng.uniform(9, 22, int(dry.sum())))
    grass(scene, above(scene, GREENS, height), 0.35)
    water(scene, height, linear("0f2a2c"), 0.25)
    return scene.develop(1.05)


def seaside(rng: Rng, size: int) -> Field:
    """The sea at sunset or by day, with headlands and a beach."""
    light = [skylight.sunset, skylight.day, skylight.golden][rng.choice(3, p=[0.5, 0.35, 0.15])](
        rng
    )
    scene = Scene(rng, size, rng.uniform(0.42, 0.55), rng.uniform(4, 8), light)
    side, cliff = rng.choice([-1, 1]), range_of(rng, 1800, rng.uniform(60, 150), 250, 8)
    start, bump = rng.uniform(0.08, 0.25), rolling(rng, 60, 0.3)

    def height(x: Field, z: Field) -> Field:
        land = step(0.0, 0.22, side * x / z - start - 0.00004 * z) * step(220, 420, z)
        beach = (13 + side * x * 0.5 + 4 * np.sin(x / 9 + side) - z) * 0.09 + 0.35 * bump(x, z)
        return np.asarray(np.maximum(land * cliff(x, z) - 4, np.clip(beach, -4, 2.5)), np.float32)

    def albedo(x: Field, z: Field, y: Field, flat: Field) -> Field:
        sand = mix(linear("6b5a45"), linear("c9b48c"), step(0.1, 0.8, y))
        grain = np.exp(
            0.09 * scene.texture(fine, x, z, 0.03) + 0.12 * scene.texture(fine, x, z, 0.3)
        )
        return mix(sand * grain[..., None], rocks(x, z, y, flat), step(60, 120, z))

    scene.sky()
    fine = spectral(rng, 512, 0.8)
    rocks = meadow(scene, [linear(c) for c in ("56603a", "6a6a45", "4d5436")], 1e9, 0.8)
    scene.ground(height, albedo)
    water(scene, height, linear("0e3440"), 1.0, foam=True)
    return scene.develop(0.95)


def blue_hour(rng: Rng, size: int) -> Field:
    """Moonrise or dusk over a lake: silhouettes, stars, a lit window."""
    dusk = rng.random() < 0.5
    light = skylight.sunset(rng) if dusk else skylight.night(rng)
    scene = Scene(rng, size, rng.uniform(0.52, 0.6), rng.uniform(3, 5), light)
    ridge, shore = range_of(rng, 7000, rng.uniform(350, 800), 900, 12), rolling(rng, 700, 4.0)

    def height(x: Field, z: Field) -> Field:
        basin = step(130, 300, z) * 16 - 6 + 0.6 * shore(x, z)
        return np.asarray(np.maximum(basin, ridge(x, z) * step(300, 900, z) - 6), np.float32)

    scene.sky()
    if not dusk:
        _stars(scene)
    scene.ground(
        height, meadow(scene, [linear(c) for c in ("3f4a38", "4c5540", "353f33")], 1e9, 0.6)
    )
    trees = [conifer(scene, DARK_GREENS) for _ in range(3)] + [
        broadleaf(scene, DARK_GREENS + AUTUMN[:1])
    ]
    x, z = scatter(rng, 260, 190, 900)
    dry = height(x, z) > 0.5
    plant(scene, trees, x[dry], z[dry], height, rng.uniform(8, 19, int(dry.sum())))
    _windows(scene)
    water(scene, height, linear("0a1626"), 0.3)
    return scene.develop(1.15)


def _stars(scene: Scene) -> None:
    count, size = int(scene.rng.integers(150, 320)), scene.size
    rows = (scene.rng.random(count) * scene.horizon * size * 0.95).astype(int)
    cols = scene.rng.integers(1, size - 1, count)
    bright = (0.1 + 0.8 * scene.rng.random(count) ** 6)[:, None] * np.array([1, 1, 1.1], np.float32)
    for dy, dx, share in ((0, 0, 1.0), (0, 1, 0.6), (1, 0, 0.6), (1, 1, 0.4)):
        np.add.at(scene.canvas, (rows + dy, cols + dx), share * bright)


def _windows(scene: Scene) -> None:
    """A few warm lights where the far shore meets the water."""
    size, rng = scene.size, scene.rng
    row = int((scene.horizon + 0.014) * size)
    for col in rng.integers(size // 10, size * 9 // 10, int(rng.integers(2, 6))):
        scene.canvas[row - 1 : row + 1, col : col + 2] = np.array([1.8, 1.0, 0.35], np.float32)
