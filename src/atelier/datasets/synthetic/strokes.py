"""A brush: oriented, curved strokes of thick paint, laid over one another and lit from the side."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from atelier.datasets.synthetic.noise import Field, shrink, spectral

BRISTLES = 9
"""Random thicknesses across a brush; between them the paint is interpolated."""


@dataclass(frozen=True)
class Brush:
    """Sizes in pixels of the finished picture at 256 x 256."""

    width: float
    length: float
    jitter: float = 0.06
    """Standard deviation of the brightness from stroke to stroke."""
    hue: float = 0.035
    """The same for every channel on its own."""
    load: float = 0.85
    """Paint on the brush: below 1 the strokes run dry towards their end."""


class Canvas:
    """A painting in progress: colour (S, S, 3) and height of the paint (S, S)."""

    def __init__(self, rng: np.random.Generator, size: int, ground: Field) -> None:
        self.rng, self.size, self.unit = rng, size, size / 256
        self.colour = np.broadcast_to(ground, (size, size, 3)).astype(np.float32)
        self.height = np.zeros((size, size), np.float32)

    def cover(self, brush: Brush, colour: Field, angle: Field, where: Field, dense: float) -> None:
        """Scatter strokes of the colours of a design along its flow.

        Args:
            brush: their size.
            colour: the design (S, S, 3) in [0, 1].
            angle: direction of the brush (S, S), radians from +x towards +y (down).
            where: (S, S), how likely a stroke starts there, in [0, 1].
            dense: paint laid per area; 1 would cover everything once without overlap.
        """
        area = brush.width * brush.length * self.unit**2
        count = int(dense * self.size**2 / area)
        start = self.rng.uniform(0, self.size - 1, (count, 2)).astype(np.float32)
        keep = self.rng.random(count) < where[start[:, 0].astype(int), start[:, 1].astype(int)]
        start = start[keep]
        tint = colour[start[:, 0].astype(int), start[:, 1].astype(int)]
        self.draw(brush, self.paths(brush, start, angle), tint)

    def paths(self, brush: Brush, start: Field, angle: Field) -> Field:
        """Follow the flow from the middle of every stroke both ways: (N, K, 2) rows and columns."""
        points = int(max(6, brush.length * self.unit / 2.2))
        stretch = self.rng.uniform(0.6, 1.3, (len(start), 1)).astype(np.float32)
        pace = brush.length * self.unit / points * stretch
        halves = [self._follow(start, angle, sign * pace, points // 2) for sign in (-1.0, 1.0)]
        return np.concatenate([halves[0][:, ::-1], halves[1][:, 1:]], axis=1)

    def _follow(self, start: Field, angle: Field, pace: Field, count: int) -> Field:
        track, here = [start], start
        wobble = self.rng.normal(0, 0.12, (len(start),)).astype(np.float32)
        bend = self.rng.normal(0, 0.012, (len(start),)).astype(np.float32)
        heading = np.zeros((len(start), 2), np.float32)
        for k in range(count):
            r, c = np.clip(here, 0, self.size - 1).astype(int).T
            way = angle[r, c] + wobble + bend * k
            ahead = np.stack([np.sin(way), np.cos(way)], 1)
            # A direction and its opposite paint the same stroke: never turn round within one.
            back = (ahead * heading).sum(1, keepdims=True) < 0
            heading = np.where(back, -ahead, ahead)
            here = (here + heading * pace).astype(np.float32)
            track.append(here)
        return np.stack(track, axis=1)

    def draw(self, brush: Brush, paths: Field, tint: Field) -> None:
        """Lay strokes (N, K, 2) of the colours (N, 3), later ones over earlier ones."""
        if not len(paths):
            return
        light = self.rng.normal(0, brush.jitter, (len(tint), 1))
        own = self.rng.normal(0, brush.hue, tint.shape)
        tint = np.clip(tint * (1 + light) + own * (0.3 + tint), 0, 1).astype(np.float32)
        for part in np.array_split(np.arange(len(paths)), 1 + len(paths) // 150):
            self._lay(brush, paths[part], tint[part])

    def _lay(self, brush: Brush, paths: Field, tint: Field) -> None:
        n, k = paths.shape[:2]
        far = float(np.hypot(*np.moveaxis(np.diff(paths, axis=1), -1, 0)).sum(1).max())
        along, across = max(4 * k, int(1.6 * far)), int(max(5, 2 * brush.width * self.unit))
        s, t = np.linspace(0, 1, along), np.linspace(-1, 1, across)
        path = _resample(paths, along)
        way = np.gradient(path, axis=1)
        way /= np.sqrt(np.square(way).sum(-1, keepdims=True)) + 1e-6
        half = brush.width * self.unit / 2 * self.rng.uniform(0.75, 1.25, (n, 1, 1))
        half = half * (1 - 0.75 * np.abs(2 * s - 1) ** 5)[None, :, None]
        rows = path[..., :1] + way[..., 1:] * half * t
        cols = path[..., 1:] - way[..., :1] * half * t
        streak = self._streaks(n, s, t)
        dry = streak - 1.4 * np.clip(s - brush.load, 0, 1)[None, :, None] * 4 < -1.5
        inside = (rows >= 0) & (rows < self.size) & (cols >= 0) & (cols < self.size) & ~dry
        r, c = rows[inside].astype(int), cols[inside].astype(int)
        paint = tint[:, None, None] * (1 + 0.085 * streak[..., None])
        self.colour[r, c] = paint[inside]
        ridge = 0.55 + 0.5 * np.abs(t) ** 3 - 0.6 * np.abs(t) ** 12
        body = (ridge + 0.22 * streak) * (0.6 + 0.5 * s[None, :, None] ** 2)
        base = self.height[r, c] * 0.35
        self.height[r, c] = base + body[inside].astype(np.float32) * min(1.0, brush.width / 5)

    def _streaks(self, n: int, s: Field, t: Field) -> Field:
        """Marks of the bristles (n, s, t): lines along the stroke that waver a little."""
        hair = self.rng.standard_normal((n, 2, BRISTLES))
        place = (t + 1) / 2 * (BRISTLES - 1)
        low = np.minimum(place.astype(int), BRISTLES - 2)
        lines = hair[..., low] * (low + 1 - place) + hair[..., low + 1] * (place - low)
        fade = s[None, :, None]
        return np.asarray(
            lines[:, :1] * (1 - fade) + lines[:, 1:] * fade + 0.3 * lines[:, :1], np.float32
        )

    def finish(self) -> Field:
        """The painting (S/2, S/2, 3) in [0, 1], its relief lit from the upper left."""
        weave = spectral(self.rng, self.size, 0.3) * 0.05
        relief = ndimage.gaussian_filter(self.height + weave, 0.8 * self.unit / 2)
        slope = np.gradient(relief * self.unit / 2)
        shade = np.tanh(1.5 * (0.75 * slope[0] + 0.65 * slope[1]))
        gloss = np.clip(shade - 0.35, 0, 1) ** 2
        lit = self.colour * (1 + 0.34 * shade)[..., None] + 0.16 * gloss[..., None]
        return np.clip(shrink(lit.astype(np.float32), self.size // 2), 0, 1)


def _resample(paths: Field, count: int) -> Field:
    """Paths (N, K, 2) with ``count`` points each, by linear interpolation."""
    place = np.linspace(0, paths.shape[1] - 1, count)
    low = np.minimum(place.astype(int), paths.shape[1] - 2)
    part = (place - low)[None, :, None]
    return np.asarray(paths[:, low] * (1 - part) + paths[:, low + 1] * part, np.float32)
