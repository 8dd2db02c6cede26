"""Landscapes of farmland and wood."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from atelier.datasets.synthetic import skylight
from atelier.datasets.synthetic.grass import blossoms, grass
from atelier.datasets.synthetic.ground import (
    AUTUMN,
    DARK_GREENS,
    GREENS,
    Rng,
    meadow,
    rolling,
    scatter,
    underfoot,
)
from atelier.datasets.synthetic.noise import Field, fetch, linear, mix, spectral, step
from atelier.datasets.synthetic.plants import broadleaf, conifer, cottage, plant
from atelier.datasets.synthetic.scene import Albedo, Heights, Scene


def patchwork(rng: Rng, size: int) -> Field:
    """Rolling farmland: fields in many colours, hedges, trees and a cottage."""
    light = skylight.day(rng) if rng.random() < 0.5 else skylight.golden(rng)
    scene = Scene(rng, size, rng.uniform(0.3, 0.42), rng.uniform(22, 40), light)
    hill, far_hill = rolling(rng, 1500, 11), rolling(rng, 6000, 70)

    def height(x: Field, z: Field) -> Field:
        near = hill(x, z) + 30 * step(900, 4000, z)
        return np.asarray(near + far_hill(x, z) * step(500, 2600, z), np.float32)

    scene.sky()
    cells = rng.uniform([-2200, 0], [2200, 3600], (900, 2))
    scene.ground(height, _fields(scene, cells, 95.0), shadows=True)
    greens = DARK_GREENS + GREENS if rng.random() < 0.7 else DARK_GREENS + AUTUMN
    trees = [broadleaf(scene, greens) for _ in range(5)]
    x, z = scatter(rng, 900, 60, 3200)
    edge = _border(cells, x, z) < np.where(rng.random(len(x)) < 0.08, 99, 2.5 + z / 300)
    plant(scene, trees, x[edge], z[edge], height, rng.uniform(6, 15, int(edge.sum())))
    spot = np.array([rng.uniform(-0.3, 0.3) * 210], np.float32), np.array([210.0], np.float32)
    plant(
        scene,
        [cottage(scene, linear("e6dcc8"), linear("a4553a"))],
        *spot,
        height,
        np.array([17], np.float32),
    )
    return scene.develop(1.0)


def _border(cells: Field, x: Field, z: Field) -> Field:
    away = cKDTree(cells).query(np.stack([x, z], -1), k=2)[0]
    return np.asarray((away[..., 1] - away[..., 0]) / 2, np.float32)


def _fields(scene: Scene, cells: Field, reach: float) -> Albedo:
    rng, tree = scene.rng, cKDTree(cells)
    crops = [
        linear(c)
        for c in ("b9a24a", "7f9a3c", "5f8434", "8a6d47", "cdb75e", "9aa84a", "d2c02f", "4f7431")
    ]
    crop, angle = (
        np.stack(crops)[rng.integers(len(crops), size=len(cells))],
        rng.uniform(0, np.pi, len(cells)),
    )
    fine, broad = spectral(rng, 512, 0.7), spectral(rng, 512, 1.8)

    def albedo(x: Field, z: Field, _y: Field, _flat: Field) -> Field:
        bend = 6 * fetch(broad, z / 1.1, x / 1.1)
        away, which = tree.query(np.stack([x + bend, z + bend], -1), k=2)
        own = which[..., 0]
        across = x * np.cos(angle[own]) + z * np.sin(angle[own])
        seen = np.clip(7.0 / np.maximum(scene.footprint(z), 1e-3), 0, 1)
        rows = 0.1 * np.sin(across * 2 * np.pi / 5.5 + 0.1 * bend) * seen
        grit = 0.16 * scene.texture(fine, x, z, 0.4) + 0.1 * fetch(broad, z / 0.7, x / 0.7)
        grit = grit + 0.08 * fetch(fine, z / 12, x / 12)
        hedge = step(1.0 + z / 500, 0.4, (away[..., 1] - away[..., 0]) / 2)
        wood = step(reach * 20, reach * 26, z) * 0.5
        ground = crop[own] * np.exp(rows + grit)[..., None]
        return mix(ground, linear("2f4426") * np.exp(2 * grit)[..., None], np.maximum(hedge, wood))

    return albedo


def forest_edge(rng: Rng, size: int) -> Field:
    """A flowering meadow before a wood, in summer or autumn, sometimes with a path."""
    light = [skylight.day, skylight.golden, skylight.overcast][rng.integers(3)](rng)
    scene = Scene(rng, size, rng.uniform(0.5, 0.6), rng.uniform(2.0, 3.2), light)
    height, autumn = underfoot(rolling(rng, 420, 1.6)), rng.random() < 0.45
    path = rng.uniform(-2.5, 2.5), rng.uniform(2, 6), rng.uniform(14, 30), rng.random() < 0.6
    leaves = AUTUMN if autumn else GREENS + DARK_GREENS
    dry = [linear(c) for c in ("8f8a3c", "a3924a", "7d8238")]

    def off_path(x: Field, z: Field) -> Field:
        middle = path[0] + path[1] * np.sin(z / path[2])
        return np.abs(x - middle) - 1.1 if path[3] else np.full_like(x, 9.0)

    def albedo(x: Field, z: Field, y: Field, flat: Field) -> Field:
        track = step(0.35, -0.35, off_path(x, z) + 0.25 * scene.texture(fine, x, z, 0.1))
        dirt = linear("9a8264") * np.exp(0.2 * scene.texture(fine, x, z, 0.04))[..., None]
        return mix(turf(x, z, y, flat), dirt, track)

    def tints(x: Field, z: Field) -> Field:
        tint = np.stack(dry if autumn else GREENS)[rng.integers(3, size=len(x))]
        bloom = (rng.random(len(x)) < 0.12) & (fetch(drift, z * 6, x * 6) > 0.3)
        tint[bloom] = np.stack(flowers)[rng.integers(len(flowers), size=int(bloom.sum()))]
        return np.where((off_path(x, z) > 0)[:, None], tint, np.nan).astype(np.float32)

    scene.sky()
    fine, drift = spectral(rng, 512, 0.8), spectral(rng, 512, 1.6)
    flowers = [
        linear(c)
        for c in rng.choice(["f2e24a", "e8e4e0", "c2372f", "8a6bc0", "e58fb0"], 2, replace=False)
    ]
    turf = meadow(scene, dry if autumn else [linear(c) for c in ("557a30", "6b8a38", "7d9440")])
    scene.ground(height, albedo)
    trees = [
        broadleaf(
            scene, [leaves[i] for i in rng.integers(len(leaves), size=3)], rng.uniform(0.75, 1.15)
        )
        for _ in range(6)
    ]
    trees += [conifer(scene, DARK_GREENS) for _ in range(rng.integers(0, 3))]
    x, z = _wood(rng, int(rng.integers(140, 220)))
    clear = off_path(x, z) > 1.5
    plant(scene, trees, x[clear], z[clear], height, rng.uniform(9, 19, int(clear.sum())))
    grass(scene, tints, 0.42, 70000)
    if not autumn:
        for petal in flowers:
            blossoms(scene, tints, petal, petal * 0.8, 0.045, 700)
    return scene.develop(1.0)


def _wood(rng: Rng, count: int) -> tuple[Field, Field]:
    """A wood whose edge comes nearer on one side, and a few lone trees."""
    x, z = scatter(rng, count, 38, 150)
    z = z * (1 + 0.7 * rng.choice([-1, 1]) * np.clip(x / z, -0.6, 0.6))
    lone = scatter(rng, 3, 22, 40)
    return np.concatenate([x, lone[0]]).astype(np.float32), np.concatenate([z, lone[1]]).astype(
        np.float32
    )


def crops(rng: Rng, size: int) -> Field:
    """Ripe wheat, lavender or sunflowers up to a row of trees."""
    light = [skylight.day, skylight.golden, skylight.sunset][rng.choice(3, p=[0.45, 0.35, 0.2])](
        rng
    )
    scene = Scene(rng, size, rng.uniform(0.4, 0.52), rng.uniform(2.4, 3.6), light)
    height, hills = underfoot(rolling(rng, 500, 1.4)), rolling(rng, 7000, 130)
    kind, turn = int(rng.integers(3)), rng.uniform(-0.35, 0.35)
    stem = [
        linear(c)
        for c in (
            ("c9a347", "d8b75a", "b58f3a"),
            ("6f5d98", "8676ae", "5c5078"),
            ("5f7f2f", "6f8f38", "4f6f28"),
        )[kind]
    ]
    gap = (0.0, 1.7, 1.2)[kind]

    def land(x: Field, z: Field) -> Field:
        return np.asarray(height(x, z) + (hills(x, z) + 90) * step(350, 2500, z), np.float32)

    def between(x: Field, z: Field) -> Field:
        wave = np.cos(2 * np.pi * (x * np.cos(turn) + z * np.sin(turn)) / max(gap, 0.1))
        seen = np.clip(1.5 - z / 70, 0, 1)
        return np.asarray(wave * seen - (1 - seen), np.float32) if gap else np.full_like(x, -1)

    def albedo(x: Field, z: Field, y: Field, flat: Field) -> Field:
        row = step(0.2, 0.75, between(x, z))
        field = mix(
            crop(x, z, y, flat),
            linear("8a6f4e") * np.exp(0.2 * scene.texture(broad, x, z, 0.01))[..., None],
            row * (kind > 0),
        )
        return mix(field, wild(x, z, y, flat), step(230, 260, z + 15 * fetch(broad, z / 5, x / 5)))

    def tints(x: Field, z: Field) -> Field:
        tint = np.stack(stem)[rng.integers(3, size=len(x))]
        if kind == 2:
            tint[rng.random(len(x)) < 0.1] = linear("e8b51c")
        sparse = (rng.random(len(x)) < 0.006)[:, None] & (kind == 0)
        tint = np.where(sparse, linear("b8281e"), tint)
        return np.where((between(x, z) < 0.35)[:, None], tint, np.nan).astype(np.float32)

    scene.sky()
    broad = spectral(rng, 512, 1.7)
    crop = meadow(scene, stem)
    wild = meadow(scene, [linear(c) for c in ("4f6a30", "7a8a40", "3c5228")])
    scene.ground(land, albedo)
    _skyline(scene, land, broad)
    grass(
        scene,
        tints,
        (0.5, 0.42, 0.55)[kind],
        90000,
        160.0,
        tip=np.array([1.25, 1.2, 1.1], np.float32),
    )
    if kind == 2:
        blossoms(scene, tints, linear("e8a90c"), linear("3a2413"), 0.16, 2600)
    return scene.develop(1.0)


def _skyline(scene: Scene, land: Heights, broad: Field) -> None:
    """Trees behind the field, and in half of the pictures a cottage."""
    rng = scene.rng
    trees = [broadleaf(scene, DARK_GREENS + GREENS[:2], slim) for slim in (1.0, 0.9, 0.4, 0.5)]
    x, z = scatter(rng, 130, 140, 420)
    some = fetch(broad, z / 2, x / 2) > -0.3
    plant(scene, trees, x[some], z[some], land, rng.uniform(6, 15, int(some.sum())))
    if rng.random() < 0.5:
        spot = np.array([rng.uniform(-35, 35)], np.float32), np.array([135.0], np.float32)
        plant(
            scene,
            [cottage(scene, linear("e0d2b8"), linear("9c5238"))],
            *spot,
            land,
            np.array([13], np.float32),
        )
