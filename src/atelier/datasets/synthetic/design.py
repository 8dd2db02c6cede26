"""Design of a painting before its strokes: areas, their colours and the flow of the strokes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from atelier.datasets.synthetic.noise import Field, spectral, srgb
from atelier.datasets.synthetic.strokes import Brush, Canvas

Rng = np.random.Generator
Mask = Field
"""Truth values (S, S)."""


class Design:
    """Colour (S, S, 3), direction of the strokes (S, S) in radians, number of the area (S, S).

    Coordinates run from 0 to 1, ``x`` to the right and ``y`` down.
    """

    def __init__(self, rng: Rng, size: int) -> None:
        self.rng, self.size = rng, size
        axis = (np.arange(size, dtype=np.float32) + 0.5) / size
        self.y, self.x = axis[:, None].repeat(size, 1), axis[None].repeat(size, 0)
        self.colour = np.zeros((size, size, 3), np.float32)
        self.angle = np.zeros((size, size), np.float32)
        self.label = np.zeros((size, size), np.int64)
        self.fine = np.full((size, size), 0.35, np.float32)
        self.touches: list[tuple[Brush, Field, Field]] = []

    def noise(self, waves: float, slope: float = 2.6) -> Field:
        """Smooth noise of about ``waves`` bumps per side, standard deviation 1."""
        return spectral(self.rng, self.size, slope, coarsest=waves)

    def put(
        self, where: Mask, level: Field | float, palette: Sequence[str], angle: Field | float,
        spread: float = 0.16, fine: float = 0.35, area: bool = True,
    ) -> None:  # fmt: skip
        """Fill an area.

        Args:
            where: its pixels.
            level: 0 for the first colour of the palette, 1 for the last.
            palette: "rrggbb" codes, usually from dark to light.
            angle: direction of the strokes.
            spread: how far a single stroke may leave the level.
            fine: share of small strokes, in [0, 1].
            area: whether a dark contour may surround it.
        """
        tones = np.stack([srgb(code) for code in palette])
        own = level + spread * self.rng.standard_normal((self.size, self.size))
        place = np.clip(own, 0, 0.9999) * (len(tones) - 1)
        low = place.astype(int)
        part = (place - low)[..., None]
        field = tones[low] * (1 - part) + tones[np.minimum(low + 1, len(tones) - 1)] * part
        self.colour[where] = field[where]
        self.angle[where] = np.broadcast_to(np.asarray(angle, np.float32), self.angle.shape)[where]
        self.fine[where] = fine
        if area:
            self.label[where] = self.label.max() + 1

    def touch(self, brush: Brush, points: Field, code: str | Field) -> None:
        """Add strokes through points (N, K, 2) given as (x, y), painted after everything else."""
        tint = srgb(code) if isinstance(code, str) else code
        paths = np.stack([points[..., 1], points[..., 0]], -1).astype(np.float32) * self.size
        self.touches.append((brush, paths, np.broadcast_to(tint, (len(paths), 3))))

    def near(self, x: float, y: float) -> Field:
        """Return the distance of every pixel to a point."""
        return np.asarray(np.hypot(self.x - x, self.y - y), np.float32)

    def around(self, x: float, y: float) -> Field:
        """Return a flow in circles around a point."""
        return np.asarray(np.arctan2(self.y - y, self.x - x) + np.pi / 2, np.float32)

    def contours(self) -> tuple[Field, Field]:
        """Return the borders between areas (S, S) in [0, 1], and the direction along them."""
        value = (self.label * 37 % 101).astype(np.float32)
        dy, dx = np.gradient(ndimage.gaussian_filter(value, self.size / 170))
        edge = ndimage.morphological_gradient(value, size=3) > 0
        return edge.astype(np.float32), np.arctan2(dx, -dy).astype(np.float32)


def paint(design: Design, ground: str, line: str, outline: float = 0.5) -> Field:
    """Paint a design, from broad strokes to fine ones, contours and details.

    Args:
        design: what to paint.
        ground: colour of the primed canvas, which shows between strokes.
        line: colour of the contours.
        outline: share of the borders that get one, in [0, 1].

    Returns:
        (S/2, S/2, 3) in [0, 1].
    """
    canvas = Canvas(design.rng, design.size, srgb(ground))
    everywhere = np.ones_like(design.angle)
    soft = ndimage.gaussian_filter(design.colour, (design.size / 100, design.size / 100, 0))
    canvas.cover(Brush(9.0, 34.0), soft, design.angle, everywhere, 2.2)
    canvas.cover(Brush(6.0, 26.0), design.colour, design.angle, everywhere, 1.5)
    canvas.cover(
        Brush(4.4, 20.0, 0.08), design.colour, design.angle, 0.35 + 0.65 * design.fine, 1.3
    )
    edge, along = design.contours()
    dark = np.broadcast_to(srgb(line), design.colour.shape)
    canvas.cover(Brush(2.2, 17.0, 0.2), dark, along, edge * outline, 5.0)
    canvas.cover(Brush(3.2, 14.0, 0.1), design.colour, design.angle, design.fine, 0.8)
    for brush, paths, tint in design.touches:
        canvas.draw(brush, paths, tint)
    return canvas.finish()
