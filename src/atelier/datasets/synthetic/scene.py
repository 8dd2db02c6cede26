"""A small landscape camera: sky, relief, light and film, all in linear light and metres."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from scipy import ndimage

from atelier.datasets.synthetic.noise import Field, fetch, mix, shrink, spectral, step

Heights = Callable[[Field, Field], Field]
"""Height of the ground in metres at (x, z): x to the right of, z in front of the camera."""
Albedo = Callable[[Field, Field, Field, Field], Field]
"""Colour (..., 3) of the ground from x, z, height and flatness (1 level, 0 upright)."""

NEAR, FAR, STEPS = 1.2, 9000.0, 700


@dataclass(frozen=True)
class Light:
    """Time of day: colours are linear light, directions unit-free."""

    sun: tuple[float, float, float]
    """Direction to the sun (right, up, forward)."""
    sun_colour: Field
    zenith: Field
    horizon: Field
    haze_m: float = 9000.0
    """Distance at which 63 % of an object's colour is lost to haze."""
    cover: float = 0.3
    """Clouds: below 0 few, 1 overcast."""
    cloud: Field = field(default_factory=lambda: np.array([1.0, 1.0, 1.0], np.float32))
    cloud_dark: Field = field(default_factory=lambda: np.array([0.35, 0.38, 0.45], np.float32))
    disc: float = 0.0
    """Brightness of a visible sun or moon."""
    disc_size: float = 0.02
    """Radius of that disc, as a tangent."""

    @property
    def direction(self) -> Field:
        """``sun`` at unit length."""
        vector = np.array(self.sun, np.float32)
        return np.asarray(vector / np.sqrt(np.square(vector).sum()), np.float32)

    @property
    def ambient(self) -> Field:
        """Return the light of the sky alone on the ground."""
        return np.asarray(0.55 * self.zenith + 0.35 * self.horizon, np.float32)


class Scene:
    """One picture in progress: canvas (S, S, 3) in linear light, depth (S, S) in metres."""

    def __init__(
        self, rng: np.random.Generator, size: int, horizon: float, eye: float, light: Light
    ) -> None:
        self.rng, self.size, self.horizon, self.eye, self.light = rng, size, horizon, eye, light
        self.focal = 0.95
        grid = (np.arange(size, dtype=np.float32) + 0.5) / size
        self.u = ((grid - 0.5) / self.focal)[None].repeat(size, 0)
        self.v = ((horizon - grid) / self.focal)[:, None].repeat(size, 1)
        self.canvas = np.zeros((size, size, 3), np.float32)
        self.depth = np.full((size, size), np.inf, np.float32)

    def project(self, x: Field, y: Field, z: Field) -> tuple[Field, Field, Field]:
        """Pixel row, pixel column and pixels per metre of world points."""
        scale = self.focal * self.size / z
        rows = self.horizon * self.size + (self.eye - y) * scale
        return rows, 0.5 * self.size + x * scale, scale

    def sky(self) -> None:
        """Fill the canvas with gradient, glow, disc and clouds."""
        light, up = self.light, np.maximum(self.v, 0.0)
        tint = mix(light.horizon, light.zenith, np.clip(up / 0.55, 0, 1) ** 0.55)
        self.canvas = tint + self._glow()
        self._clouds(spectral(self.rng, 512, 1.55, coarsest=2.0), up)

    def _glow(self) -> Field:
        right, upward, forward = self.light.direction
        if forward <= 0.05:
            return np.zeros_like(self.canvas)
        away = np.hypot(self.u - right / forward, self.v - upward / forward)
        halo = 0.55 * np.exp(-away / 0.22) + 0.5 * np.exp(-away / 0.06)
        size = self.light.disc_size
        disc = self.light.disc * step(size * 1.15, size * 0.85, away)
        strength = halo * min(1.0, 0.25 + self.light.disc / 4) + disc
        return np.asarray(strength[..., None] * self.light.sun_colour, np.float32)

    def _clouds(self, noise: Field, up: Field) -> None:
        shift = self.rng.uniform(0, 512, 2)
        far = 1.0 / (up + 0.13)
        y, x = far * 34 + shift[0], self.u * far * 30 + shift[1]
        thick = fetch(noise, y, x)
        # The light reaches a cloud through what lies towards the sun of it.
        sunward = fetch(noise, y + 5 * self.light.direction[2], x + 7 * self.light.direction[0])
        threshold = 1.3 - 2.0 * self.light.cover
        alpha = step(threshold, threshold + 1.5, thick) * step(0.0, 0.14, up) * 0.95
        lit = step(-0.9, 0.9, (thick - sunward) * 1.1 - 0.35 * (thick - threshold) + 0.45)
        tint = mix(self.light.cloud_dark, self.light.cloud, lit)
        self.canvas = mix(self.canvas, tint, alpha)

    def march(self, height: Heights) -> tuple[Field, Field]:
        """Find the ground behind every pixel.

        Returns:
            x and z in metres, both (S, S); z is infinite where the sky shows.
        """
        zs = np.geomspace(NEAR, FAR, STEPS).astype(np.float32)[:, None]
        ground = height(self.u[:1] * zs, zs.repeat(self.size, 1))
        rows = self.project(self.u[:1], ground, zs)[0]
        top = np.minimum.accumulate(rows, axis=0)
        pixel = np.arange(self.size, dtype=np.float32) + 0.5
        hit = np.stack([np.searchsorted(-t, -pixel) for t in top.T], axis=1)
        z = self._between(zs[:, 0], rows, hit, pixel[:, None])
        return self.u * np.where(np.isinf(z), FAR, z), z

    @staticmethod
    def _between(zs: Field, rows: Field, hit: Field, pixel: Field) -> Field:
        after = np.clip(hit, 1, STEPS - 1)
        near = np.take_along_axis(rows, after - 1, 0)
        gap = near - np.take_along_axis(rows, after, 0)
        part = np.clip((near - pixel) / np.maximum(gap, 1e-6), 0.0, 1.0)
        z = zs[after - 1] + part * (zs[after] - zs[after - 1])
        return np.where(hit >= STEPS, np.inf, z).astype(np.float32)

    def ground(self, height: Heights, albedo: Albedo, shadows: bool = False) -> None:
        """Draw the relief: albedo, sun, sky light and haze; fills the depth."""
        x, z = self.march(height)
        seen = np.isfinite(z)
        flat_z = np.where(seen, z, FAR)
        y = height(x, flat_z)
        normal = self._normals(height, x, flat_z, y)
        sunlight = np.clip((normal * self.light.direction).sum(-1), 0.0, None) * 1.25
        if shadows:
            sunlight = sunlight * self._shadows(height, x, flat_z, y)
        colour = albedo(x, flat_z, y, normal[..., 1])
        lit = colour * self.shine(sunlight, 0.45 + 0.55 * normal[..., 1])
        self.canvas[seen] = self.fog(lit, flat_z)[seen]
        self.depth = z

    def shine(self, sunlight: Field, openness: Field) -> Field:
        """Light (..., 3) on a surface from its share of sun and of sky."""
        direct = sunlight[..., None] * self.light.sun_colour
        return np.asarray(direct + openness[..., None] * self.light.ambient, np.float32)

    def fog(self, colour: Field, z: Field) -> Field:
        """Aerial perspective: the farther, the nearer to the colour of the horizon."""
        return mix(colour, self.light.horizon * 0.92, 1.0 - np.exp(-z / self.light.haze_m))

    @staticmethod
    def _normals(height: Heights, x: Field, z: Field, y: Field) -> Field:
        span = np.maximum(z * 0.004, 0.05)
        dx = (height(x + span, z) - y) / span
        dz = (height(x, z + span) - y) / span
        length = np.sqrt(1.0 + dx * dx + dz * dz)
        return np.stack([-dx, np.ones_like(dx), -dz], axis=-1) / length[..., None]

    def _shadows(self, height: Heights, x: Field, z: Field, y: Field) -> Field:
        right, upward, forward = self.light.direction
        free = np.ones_like(x[::2, ::2])
        for reach in np.geomspace(20.0, 1800.0, 12):
            blocker = height(x[::2, ::2] + right * reach, z[::2, ::2] + forward * reach)
            over = y[::2, ::2] + upward * reach - blocker
            free = np.minimum(free, step(-0.06 * reach, 0.02 * reach, over))
        wide = ndimage.zoom(free, 2, order=1)[: x.shape[0], : x.shape[1]]
        return np.asarray(wide, np.float32)

    def footprint(self, z: Field) -> Field:
        """Depth of ground in metres that one pixel covers at distance z."""
        return np.asarray(z * z / (self.eye * self.focal * self.size), np.float32)

    def texture(self, noise: Field, x: Field, z: Field, cell: float) -> Field:
        """Noise laid on the ground, ``cell`` metres per cell, fading where it would alias."""
        fade = np.clip(2.0 * cell / np.maximum(self.footprint(z), 1e-6), 0.0, 1.0)
        return fetch(noise, z / cell, x / cell) * fade

    def develop(self, exposure: float = 1.0) -> Field:
        """The finished photograph (S/2, S/2, 3) in [0, 1]: lens, film curve, grain."""
        size, rng = self.size // 2, self.rng
        light = self.canvas * exposure * self._vignette()[..., None]
        bloom = ndimage.gaussian_filter(np.clip(light, 0, 4), (self.size / 60, self.size / 60, 0))
        light = shrink(np.clip(0.93 * light + 0.07 * bloom, 0, 30), size).clip(0, None)
        # Film curve: Narkowicz's fit to the ACES reference ("ACES Filmic Tone Mapping Curve").
        film = light * (2.51 * light + 0.03) / (light * (2.43 * light + 0.59) + 0.14)
        print_ = np.clip(film, 0, 1) ** (1 / 2.2)
        print_ = mix(print_, print_.mean(-1, keepdims=True), 0.24)
        grain = ndimage.gaussian_filter(rng.standard_normal((size, size, 3)), (0.5, 0.5, 0))
        grey = ndimage.gaussian_filter(rng.standard_normal((size, size, 1)), (0.45, 0.45, 0))
        return np.asarray(np.clip(print_ + 0.006 * grain + 0.013 * grey, 0, 1), np.float32)

    def _vignette(self) -> Field:
        edge = np.linspace(-1, 1, self.size, dtype=np.float32)
        return 1.0 - 0.16 * (edge[:, None] ** 2 + edge[None] ** 2)
