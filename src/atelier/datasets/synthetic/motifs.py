"""Parts that many paintings share: skies, hills, fields, trees, flowers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from atelier.datasets.synthetic.design import Design, Mask
from atelier.datasets.synthetic.noise import Field
from atelier.datasets.synthetic.strokes import Brush

Palette = Sequence[str]


def swirling_sky(d: Design, palette: Palette, swirls: int, calm: float = 1.0) -> None:
    """A sky that flows sideways and winds up in ``swirls`` spirals; fills the whole design."""
    rng = d.rng
    dx, dy = np.ones_like(d.x) * calm, 0.45 * d.noise(2.0, 3.0)
    level = 0.5 + 0.14 * d.noise(3.0) + 0.12 * np.sin(d.y * 40 + 2.0 * d.noise(2.0, 3.0))
    for _ in range(swirls):
        cx, cy, r = rng.uniform(0.1, 0.9), rng.uniform(0.08, 0.48), rng.uniform(0.1, 0.2)
        away = d.near(cx, cy)
        pull = 3.4 * np.exp(-np.square(away / r)) * rng.choice([-1, 1])
        turn = d.around(cx, cy) + 0.25
        dx, dy = dx + pull * np.cos(turn), dy + pull * np.sin(turn)
        spiral = np.sin(away / r * 9 - np.arctan2(d.y - cy, d.x - cx))
        level = level + 0.28 * spiral * np.exp(-np.square(away / r / 1.1))
    d.put(d.y < 2, level, palette, np.arctan2(dy, dx), 0.14, 0.5)


def plain_sky(d: Design, palette: Palette, tilt: float = 0.0, waves: float = 3.0) -> None:
    """A quieter sky: lighter towards the horizon, strokes along a slanted, wavy flow."""
    level = 0.15 + 1.1 * d.y + 0.16 * d.noise(waves)
    d.put(d.y < 2, level, palette, tilt + 0.35 * d.noise(2.0, 3.0), 0.16, 0.4)


def star(d: Design, x: float, y: float, r: float, palette: Palette) -> None:
    """A star or moon with rings of light around it."""
    away = d.near(x, y)
    rings = 1.05 - away / r * 0.75 + 0.1 * np.cos(away / r * 13)
    d.put(
        away < r * (0.95 + 0.08 * d.noise(5)), rings, palette, d.around(x, y), 0.1, 0.8, area=False
    )
    d.put(away < r * 0.3, 1.0, palette, d.around(x, y), 0.05, 1.0, area=False)


def sun(d: Design, x: float, y: float, r: float, palette: Palette, reach: float = 0.4) -> None:
    """A disc whose rays turn the strokes of the sky around it."""
    away = d.near(x, y)
    lit = d.rng.random(away.shape) < 0.85 * np.exp(-np.square((away - r) / reach))
    d.put(
        lit & (away < 2 * reach),
        0.85 - away / reach * 0.55,
        palette,
        d.around(x, y),
        0.15,
        0.5,
        area=False,
    )
    d.put(away < r, 0.9 - 0.4 * away / r, palette, d.around(x, y), 0.12, 0.9)


def hill(
    d: Design, base: float, bump: float, palette: Palette, waves: float = 2.0, steep: float = 0.0
) -> Mask:
    """Fill the area below a rolling line, strokes along the slope; return its pixels."""
    line = d.noise(waves, 3.0)[0][None] * bump + base
    slope = np.gradient(line[0]) * d.size
    below = d.y > line
    depth = np.clip((d.y - line) / 0.25, 0, 1)
    level = 0.75 - 0.5 * depth + 0.18 * d.noise(5.0)
    flow = np.arctan(slope)[None] * (1 - 0.6 * depth) + steep + 0.3 * d.noise(3.0)
    d.put(below, level, palette, flow, 0.16, 0.45)
    return np.asarray(below)


def wheat(d: Design, top: float, palette: Palette, lean: float = 0.25) -> Mask:
    """Fill a field with upright flicks that lean with the wind; return its pixels."""
    gust = d.noise(2.5, 2.6)
    line = top + 0.02 * d.noise(3.0)[0][None]
    below = d.y > line
    level = 0.5 + 0.2 * gust + 0.2 * np.sin(12 * d.y + 2 * gust)
    d.put(below, level, palette, -np.pi / 2 + lean + 0.45 * gust, 0.24, 0.85)
    return np.asarray(below)


def furrows(d: Design, top: float, palette: Palette, vanish: float = 0.5) -> Mask:
    """Draw rows of crops that run to a point on the horizon; return the field's pixels."""
    below = d.y > top + 0.008 * d.noise(4.0)[0][None]
    dx, dy = d.x - vanish, np.maximum(d.y - top + 0.04, 0.01)
    rows = np.sin(dx / dy * 7.0 + 0.3 * d.noise(3.0))
    level = 0.5 + 0.42 * rows + 0.1 * d.noise(5.0)
    d.put(below, level, palette, np.arctan2(dy, dx), 0.2, 0.6)
    return np.asarray(below)


def path(d: Design, top: float, x: float, palette: Palette, bend: float = 0.1) -> None:
    """A track from the lower edge that narrows towards the horizon."""
    t = np.clip((d.y - top) / (1 - top), 0, 1)
    middle = x + bend * np.sin(t * 4.0) + (0.5 - x) * t * 0.6
    inside = (np.abs(d.x - middle) < 0.015 + 0.15 * t * t) & (d.y > top)
    d.put(inside, 0.5 + 0.2 * d.noise(6.0), palette, 1.2 + 0.5 * np.cos(t * 4.0), 0.25, 0.6)


def cypress(d: Design, x: float, foot: float, tall: float, palette: Palette) -> None:
    """A flame-shaped tree of winding upright strokes."""
    t = np.clip((foot - d.y) / tall, 0, 1.2)
    wave = 0.02 * np.sin(t * 9 + d.rng.uniform(0, 6)) * tall
    taper = np.clip(np.sin(np.clip(t, 0, 1) ** 0.6 * np.pi), 0, 1) ** 0.8
    width = tall * 0.15 * taper * (1.15 - 0.5 * t)
    ragged = width * (1 + 0.2 * d.noise(14.0, 1.6))
    inside = (np.abs(d.x - x - wave) < ragged) & (t > 0) & (t < 1)
    side = (d.x - x - wave) / np.maximum(width, 1e-3)
    flow = -np.pi / 2 + 0.7 * np.sin(t * 22 + 3 * side) * (1 - t) + 0.25 * side
    level = 0.38 + 0.25 * np.sin(side * 5 + t * 14) - 0.12 * side
    d.put(inside, level, palette, flow, 0.2, 0.8)


def crown(d: Design, x: float, y: float, rx: float, ry: float, palette: Palette) -> None:
    """A leafy crown of curled clumps, light on its upper left."""
    away = np.hypot((d.x - x) / rx, (d.y - y) / ry) + 0.16 * d.noise(7.0, 1.8)
    curl = d.noise(6.0, 2.2)
    level = 0.5 - 0.35 * (d.y - y) / ry - 0.15 * (d.x - x) / rx + 0.22 * curl
    d.put(away < 1, level, palette, d.around(x, y) + 1.3 * curl, 0.2, 0.9)


def limb(d: Design, points: Sequence[tuple[float, float]], width: float, palette: Palette) -> None:
    """A trunk or branch through (x, y) points, thinner towards the last; strokes run along it."""
    line = np.array(points, np.float32)
    for k in range(len(line) - 1):
        a, b = line[k], line[k + 1]
        run = b - a
        t = np.clip(((d.x - a[0]) * run[0] + (d.y - a[1]) * run[1]) / (run**2).sum(), 0, 1)
        away = np.hypot(d.x - a[0] - t * run[0], d.y - a[1] - t * run[1])
        thick = width * (1 - 0.75 * (k + t) / (len(line) - 1))
        side = ((d.x - a[0]) * run[1] - (d.y - a[1]) * run[0]) / np.hypot(*run) / thick
        flow = float(np.arctan2(run[1], run[0]))
        d.put(away < thick, 0.5 + 0.4 * side, palette, flow, 0.12, 1.0, area=k == 0)


def petals(
    d: Design,
    x: float,
    y: float,
    r: float,
    count: int,
    code: Field,
    width: float,
    inner: float = 0.35,
) -> None:
    """A ring of single strokes pointing out of a centre."""
    turn = np.arange(count) * 2 * np.pi / count + d.rng.uniform(0, 1) + d.rng.normal(0, 0.12, count)
    s = np.linspace(inner, 1, 8)[None] * d.rng.uniform(0.85, 1.15, (count, 1)) * r
    bend = turn[:, None] + d.rng.normal(0, 0.35, (count, 1)) * np.linspace(0, 1, 8)
    points = np.stack([x + s * np.cos(bend), y + s * np.sin(bend)], -1)
    d.touch(Brush(width, 1.0, 0.1, 0.04, 1.0), points, code)


def flicks(
    d: Design,
    where: Mask,
    count: int,
    lean: Field | float,
    length: float,
    width: float,
    tints: Field,
) -> None:
    """Single strokes of length ``length`` (share of the side) from random pixels of an area."""
    rows, cols = np.nonzero(where)
    if not len(rows):
        return
    pick = d.rng.integers(len(rows), size=count)
    start = np.stack([cols[pick], rows[pick]], -1) / d.size
    flow = np.broadcast_to(np.asarray(lean, np.float32), d.angle.shape)
    way = flow[rows[pick], cols[pick]] + d.rng.normal(0, 0.2, count)
    s = np.linspace(0, 1, 7)[None] * length * d.rng.uniform(0.6, 1.3, (count, 1))
    turn = way[:, None] + d.rng.normal(0, 0.3, (count, 1)) * np.linspace(0, 1, 7)
    points = start[:, None] + np.stack([s * np.cos(turn), s * np.sin(turn)], -1)
    d.touch(
        Brush(width, 1.0, 0.1, 0.04, 1.0), points, tints[d.rng.integers(len(tints), size=count)]
    )
