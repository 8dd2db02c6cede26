"""Lakes and seas: reflections broken by waves."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from atelier.datasets.synthetic.noise import Field, fetch, mix, spectral, step
from atelier.datasets.synthetic.scene import Heights, Scene


def water(scene: Scene, height: Heights, deep: Field, rough: float, foam: bool = False) -> None:
    """Flood the ground below level 0 of a finished scene.

    Args:
        scene: everything above the water is drawn already; it is what the water mirrors.
        height: the ground, whose negative parts are under water.
        deep: colour of the water looked into from above.
        rough: 0 a mirror, 1 a sea with waves.
        foam: whether waves break where the water is shallow.
    """
    below = np.maximum(-scene.v, 1e-4)
    z = np.where(scene.v < 0, scene.eye / below, np.inf).astype(np.float32)
    wet = (z < scene.depth) & (z < 2.0e4)
    z = np.where(wet, z, 1e4).astype(np.float32)
    x = scene.u * z
    tilt = _tilt(scene, x, z, rough)
    mirrored = _mirror(scene, wet, tilt, rough)
    grazing = np.clip(1.0 - 1.4 * scene.eye / np.hypot(z, scene.eye) - 0.25 * tilt, 0, 1)
    fresnel = np.clip(0.06 + 0.9 * grazing**3, 0, 1)
    body = deep * (0.3 + 0.9 * scene.light.ambient + 0.25 * scene.light.sun_colour)
    surface = mix(body * np.exp(0.35 * tilt)[..., None], mirrored * 0.92, fresnel)
    if foam:
        surface = mix(surface, _foam_light(scene), _foam(scene, x, z, height))
    edge = ndimage.gaussian_filter(wet.astype(np.float32), 0.6)
    scene.canvas = mix(scene.canvas, scene.fog(surface, z * 0.5), edge * wet)


def _tilt(scene: Scene, x: Field, z: Field, rough: float) -> Field:
    """Slope of the waves towards the camera, small ones near, long ones far; about [-2, 2]."""
    chop = spectral(scene.rng, 512, 1.7, stretch=(2.0, 1.0), coarsest=26.0)
    total = np.zeros_like(z)
    for cell, weight in ((0.025, 0.5), (0.07, 0.6), (0.2, 0.6), (0.6, 0.5)):
        part = np.clip(9.0 * cell / np.maximum(scene.footprint(z), 1e-4), 0.0, 1.0)
        total += weight * part * fetch(chop, z / cell, x / cell)
    streaks = fetch(chop, np.log(z) * 90, x / z * 60)
    return (total + 0.5 * streaks).astype(np.float32) * (0.25 + 0.75 * rough)


def _mirror(scene: Scene, wet: Field, tilt: Field, rough: float) -> Field:
    """Return the reflection: the picture upside down below the far shore."""
    size = scene.size
    first = np.where(wet.any(0), wet.argmax(0), int(scene.horizon * size)).astype(np.float32)
    shore = ndimage.gaussian_filter1d(ndimage.minimum_filter1d(first, 9), size / 60)
    rows = np.arange(size, dtype=np.float32)[:, None]
    depth = np.maximum(rows - shore, 0.0)
    swing = tilt * (0.02 + 0.16 * rough) * np.sqrt(depth * size) * 0.45
    source = np.clip(shore - depth - np.abs(swing) * rough - swing, 0, shore - 1)
    cols = np.arange(size, dtype=np.float32)[None] + 0.15 * swing
    dry = ndimage.gaussian_filter(scene.canvas, (2 + 5 * rough, 1.0, 0))
    planes = [
        ndimage.map_coordinates(dry[..., c], [source, cols], order=1, mode="nearest")
        for c in range(3)
    ]
    return np.stack(planes, -1).astype(np.float32)


def _foam(scene: Scene, x: Field, z: Field, height: Heights) -> Field:
    noise = spectral(scene.rng, 512, 1.2, coarsest=2.0)
    shallow = height(x, z)
    lace = fetch(noise, z / 0.05, x / 0.09) + 0.7 * fetch(noise, z / 0.3, x / 0.6)
    line = np.sin(shallow * 9 + 0.5 * fetch(noise, z / 0.6, x / 0.6))
    near = step(-1.6, -0.1, shallow) * step(60, 25, z)
    caps = step(2.1, 3.0, fetch(noise, z / 0.12, x / 0.5) + 0.3) * 0.35
    return np.clip(near * step(-0.2, 1.6, lace + 1.5 * line - 0.6) * 0.85 + caps, 0, 1)


def _foam_light(scene: Scene) -> Field:
    lit = 0.75 * scene.light.ambient + 0.4 * scene.light.sun_colour
    return np.asarray(lit, np.float32)
