"""Landscapes without people: winter mountains and dunes."""

from __future__ import annotations

import numpy as np

from atelier.datasets.synthetic import skylight
from atelier.datasets.synthetic.ground import DARK_GREENS, Rng, meadow, range_of, rolling, scatter
from atelier.datasets.synthetic.noise import Field, fetch, linear, mix, spectral, step
from atelier.datasets.synthetic.plants import conifer, plant
from atelier.datasets.synthetic.scene import Scene


def winter(rng: Rng, size: int) -> Field:
    """Snowfields and snow-laden spruces before high mountains."""
    light = [skylight.day, skylight.golden][int(rng.random() < 0.4)](rng)
    scene = Scene(rng, size, rng.uniform(0.45, 0.56), rng.uniform(4, 9), light)
    peaks, drifts = range_of(rng, 9000, rng.uniform(650, 1050), 1300, 10), rolling(rng, 260, 1.8)
    white = [
        np.array(c, np.float32) for c in ([0.78, 0.82, 0.9], [0.84, 0.86, 0.92], [0.72, 0.77, 0.87])
    ]

    def height(x: Field, z: Field) -> Field:
        return np.asarray(
            drifts(x, z) * step(4, 40, z) + peaks(x, z) * step(150, 700, z), np.float32
        )

    def albedo(x: Field, z: Field, y: Field, flat: Field) -> Field:
        crust = 0.05 * scene.texture(fine, x, z, 0.04) + 0.07 * scene.texture(fine, x, z, 0.5)
        rough = 0.16 * fetch(fine, z / 17, x / 17)
        bare = step(0.62, 0.4, flat + 0.5 * rough) * step(20, 60, y)
        cover = scale_of_forest(x, z, y)
        land = mix(
            snow(x, z, y, np.ones_like(y)), linear("5a5754") * np.exp(2 * rough)[..., None], bare
        )
        return np.asarray(mix(land, linear("33433a"), cover) * np.exp(crust)[..., None], np.float32)

    def scale_of_forest(x: Field, z: Field, y: Field) -> Field:
        spots = fetch(fine, z / 5, x / 5) + 0.8 * fetch(broad, z / 8, x / 8)
        return step(0.0, 0.9, spots - (y - 110) / 90) * step(250, 500, z) * 0.8

    scene.sky()
    fine, broad = spectral(rng, 512, 0.7), spectral(rng, 512, 1.7)
    snow = meadow(scene, white)
    scene.ground(height, albedo, shadows=True)
    trees = [conifer(scene, DARK_GREENS, rng.uniform(0.25, 0.7)) for _ in range(5)]
    x, z = scatter(rng, 330, 32, 700)
    stand = fetch(broad, z / 1.5, x / 1.5) > 0.1
    plant(scene, trees, x[stand], z[stand], height, rng.uniform(6, 18, int(stand.sum())))
    return scene.develop(0.95)


def dunes(rng: Rng, size: int) -> Field:
    """Desert dunes with wind ripples, low sun."""
    light = skylight.golden(rng) if rng.random() < 0.75 else skylight.day(rng)
    scene = Scene(rng, size, rng.uniform(0.3, 0.42), rng.uniform(9, 20), light)
    warp, swell = spectral(rng, 256, 2.6, coarsest=2.0), rolling(rng, 2400, 9, 3.0)
    turn, length = rng.uniform(-0.9, 0.9), rng.uniform(160, 330)
    sand = mix(linear("d9b184"), linear("c98f66"), float(rng.random()))

    def phase(x: Field, z: Field) -> Field:
        along = x * np.sin(turn) + z * np.cos(turn)
        return np.asarray(along / length + 0.55 * fetch(warp, z / 4, x / 4), np.float32)

    def relief(x: Field, z: Field) -> Field:
        t = phase(x, z) % 1.0
        crest = np.where(t < 0.72, t / 0.72, (1 - t) / 0.28)
        tall = (
            (0.16 + 0.05 * fetch(warp, z / 5 + 99, x / 5)) * length * (1 - 0.5 * step(700, 2500, z))
        )
        return np.asarray(crest * crest * (1.6 - 0.6 * crest) * tall + swell(x, z), np.float32)

    def height(x: Field, z: Field) -> Field:
        return relief(x, z) - under

    near = np.linspace(1, 60, 40, dtype=np.float32)
    under = float(relief(0 * near, near).max())

    def albedo(x: Field, z: Field, _y: Field, _flat: Field) -> Field:
        bend = 2.2 * fetch(warp, z / 0.35, x / 0.35)
        along = (x * np.sin(turn + 0.5) + z * np.cos(turn + 0.5)) / 0.9 + bend
        seen = np.clip(0.7 / np.maximum(scene.footprint(z), 1e-4), 0, 1)
        ripple = 0.16 * np.sin(along * 2 * np.pi) * seen
        grit = 0.06 * scene.texture(fine, x, z, 0.03) + 0.03 * fetch(fine, z / 2, x / 2)
        return np.asarray(sand * np.exp(ripple + grit)[..., None], np.float32)

    scene.sky()
    fine = spectral(rng, 512, 0.8)
    scene.ground(height, albedo, shadows=True)
    return scene.develop(0.95)
