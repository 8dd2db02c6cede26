"""Blades of grass, ears of wheat and flower heads near the camera."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from atelier.datasets.synthetic.noise import Field
from atelier.datasets.synthetic.plants import flat_light, splat
from atelier.datasets.synthetic.scene import Scene

Tints = Callable[[Field, Field], Field]
"""Colour (N, 3) of what grows at x, z (N,) in metres; NaN where nothing does."""


def grass(
    scene: Scene,
    tints: Tints,
    metres: float,
    count: int = 60000,
    reach: float = 120.0,
    tip: Field | None = None,
) -> None:
    """Blades over the ground nearer than ``reach`` metres, each lit and bent on its own.

    Args:
        scene: the picture; its depth says where ground is.
        tints: colour (N, 3) of blades rooted at x, z (N,); NaN where none grows.
        metres: their length.
        count: blades on the whole picture.
        reach: distance beyond which the ground alone stands for them.
        tip: colour of an ear or flower at the end, ``None`` for none.
    """
    rng, size = scene.rng, scene.size
    rows, cols = rng.integers(0, size, (2, count))
    z = scene.depth[rows, cols]
    keep = (z < reach) & (scene.v[rows, cols] < 0)
    rows, cols, z = rows[keep], cols[keep], z[keep]
    colour = tints(scene.u[0, cols] * z, z) * rng.uniform(0.55, 1.3, (len(z), 1))
    order = np.argsort(-z, kind="stable")
    order = order[np.isfinite(colour[order, 0])]
    lit = scene.fog(colour * (flat_light(scene) * 1.5), z)[order].astype(np.float32)
    length = metres * scene.focal * size / z[order] * rng.uniform(0.5, 1.25, len(order))
    lean = rng.normal(0.12, 0.3, len(order))
    for band in np.array_split(np.arange(len(order)), 28):
        root = rows[order][band], cols[order][band]
        _blades(scene.canvas, root, np.minimum(length[band], size / 5), lean[band], lit[band], tip)


def _blades(
    canvas: Field,
    root: tuple[Field, Field],
    length: Field,
    lean: Field,
    colour: Field,
    tip: Field | None,
) -> None:
    size = len(canvas)
    for k in range(int(length.max(initial=0)) + 1):
        on = length >= k
        part = k / np.maximum(length[on], 1)
        r = root[0][on] - k
        c = (root[1][on] + lean[on] * part * k).astype(int)
        inside = (r >= 0) & (c >= 0) & (c < size)
        shade = (0.5 + 0.65 * part)[:, None]
        ear = (part > 0.75)[:, None] & (tip is not None)
        tint = np.where(ear, colour[on] * (1.0 if tip is None else tip), colour[on])
        canvas[r[inside], c[inside]] = (tint * shade)[inside]


def blossoms(
    scene: Scene, tints: Tints, petal: Field, heart: Field, metres: float, count: int
) -> None:
    """Flower heads of radius ``metres`` among the blades, 3.5 to 70 m away, far ones first."""
    rng, size = scene.rng, scene.size
    rows, cols = rng.integers(0, size, (2, count))
    z = scene.depth[rows, cols]
    grown = np.isfinite(tints(scene.u[0, cols] * np.minimum(z, 99), np.minimum(z, 99))[:, 0])
    keep = np.flatnonzero((z > 3.5) & (z < 70.0) & (scene.v[rows, cols] < 0) & grown)
    keep = keep[np.argsort(-z[keep], kind="stable")]
    z, scale = z[keep], scene.focal * size / z[keep]
    radius = np.minimum(metres * scale * rng.uniform(0.7, 1.2, len(z)), size / 30)
    top = rows[keep] - 2.6 * metres * scale
    light = flat_light(scene) * 1.6 * rng.uniform(0.75, 1.15, (len(z), 1))
    for band in np.array_split(np.arange(len(z)), 40):
        if len(band):
            place = top[band], cols[keep][band]
            splat(scene.canvas, *place, radius[band], (petal * light)[band])
            splat(scene.canvas, *place, radius[band] * 0.42, (heart * light)[band])
