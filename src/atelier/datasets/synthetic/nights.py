"""Painted scenes of sky and weather: stars, moon, river lights, crows, sun."""

from __future__ import annotations

import numpy as np

from atelier.datasets.synthetic import motifs as m
from atelier.datasets.synthetic.design import Design, Rng, paint
from atelier.datasets.synthetic.noise import Field, srgb
from atelier.datasets.synthetic.strokes import Brush

NIGHT = ("0d1b46", "16306e", "24509a", "3f78b8", "7fb0d4", "c4dbe0")
GLOW = ("2f62a5", "6ea4c4", "b9cf9c", "f0d65a", "fbe98a", "fff6c8")
STALK = ("8a5a14", "b57d1c", "d9a520", "ecc338", "f6dd6a")
CYPRESS = ("0c1a18", "17312a", "274a2c", "41602c", "6f7f3a")


def _stars(d: Design, count: int, lowest: float) -> None:
    """Stars at even distances, so that their rings do not merge."""
    places: list[tuple[float, float]] = []
    while len(places) < count:
        x, y = d.rng.uniform(0.05, 0.95), d.rng.uniform(0.06, lowest)
        if all(np.hypot(x - a, y - b) > 0.1 for a, b in places):
            places.append((x, y))
            m.star(d, x, y, d.rng.uniform(0.03, 0.055), GLOW)


def _village(d: Design, y: float) -> None:
    """Small dark houses with lit windows, and a spire."""
    for x in np.sort(d.rng.uniform(0.28, 0.97, 13)):
        top, half = y + d.rng.uniform(-0.02, 0.07), d.rng.uniform(0.018, 0.032)
        wall = (np.abs(d.x - x) < half) & (d.y > top) & (d.y < top + 0.06)
        d.put(wall, 0.5, ("1d2c52", "35507c", "5d7390"), np.pi / 2, 0.3, 1.0)
        roof = (
            (np.abs(d.x - x) < half * 1.2 - (top - d.y) * 0.9) & (d.y <= top) & (d.y > top - 0.04)
        )
        d.put(roof, 0.4, ("1b2240", "4d4560", "7c5a52"), 0.5, 0.3, 1.0)
        lamp = np.array([[[x - 0.006, top + 0.03], [x + 0.006, top + 0.03]]])
        d.touch(Brush(3.2, 1, 0.1), lamp.repeat(4, 1)[:, ::2].repeat(3, 1), "f7d24c")
    spire = (np.abs(d.x - 0.55) < np.clip((d.y - y + 0.17) * 0.1, 0, 0.014)) & (d.y < y + 0.06)
    d.put(spire, 0.3, ("142046", "2f4470", "506a8c"), np.pi / 2, 0.2, 1.0)


def starry_night(rng: Rng, size: int) -> Field:
    """A whirling night sky over hills, a village and a cypress."""
    d = Design(rng, size)
    m.swirling_sky(d, NIGHT, 4)
    _stars(d, 9, 0.46)
    m.star(d, rng.uniform(0.78, 0.88), 0.15, 0.1, GLOW)
    m.hill(d, 0.62, 0.05, ("10244f", "1f4480", "3a6ea3", "6f9bb8"), 1.5)
    m.hill(d, 0.76, 0.025, ("0f2a3c", "1f4a55", "35685c", "6d8f6a"), 3.0)
    _village(d, 0.8)
    m.cypress(d, rng.uniform(0.14, 0.22), 1.08, rng.uniform(0.85, 1.0), CYPRESS)
    return paint(d, "2a3f66", "0a1330", 0.45)


def river_night(rng: Rng, size: int) -> Field:
    """Stars over a river that carries the lamps of the far bank."""
    d = Design(rng, size)
    m.plain_sky(d, ("0e1c4a", "1a3a7c", "2a5a9c", "3f7aa8"), 0.1)
    _stars(d, 8, 0.34)
    water = d.y > 0.5
    level = 0.5 + 0.2 * d.noise(3) - 0.3 * (d.y - 0.5)
    d.put(water, level, ("0c1a40", "173468", "2a5a8c", "4a86a0"), 0.12 * d.noise(4), 0.2, 0.7)
    m.hill(d, 0.46, 0.012, ("0a1436", "14264e", "24406c"), 4.0)
    d.put(d.y > 0.5, level, ("0c1a40", "173468", "2a5a8c", "4a86a0"), 0.12 * d.noise(4), 0.2, 0.7)
    gold = np.stack([srgb(c) for c in ("f7d24c", "f2b632", "fbe890", "e08f2a")])
    for x in np.linspace(0.08, 0.92, 8) + rng.normal(0, 0.02, 8):
        wide = 0.006 + 0.035 * np.clip(d.y - 0.5, 0, 1)
        gleam = (np.abs(d.x - x) < wide) & (d.y > 0.5) & (d.y < rng.uniform(0.72, 0.95))
        m.flicks(d, gleam, 46, 0.0, 0.038, 2.8, gold)
        m.petals(d, x, 0.475, 0.022, 9, srgb("fbe98a"), 2.6, 0.1)
    m.hill(d, 0.93, 0.02, ("1c2a3a", "3a4a44", "5f6a4a"), 2.0, 0.3)
    return paint(d, "20406c", "0a1330", 0.3)


def crows(rng: Rng, size: int) -> Field:
    """A storm-blue sky over ripe wheat, a forked path and black birds."""
    d = Design(rng, size)
    m.swirling_sky(d, ("0f1f4a", "1c3c7c", "2c5ca0", "4d86b4", "9dbcc8"), 2, 0.8)
    m.wheat(d, rng.uniform(0.44, 0.5), STALK, 0.35)
    m.path(d, 0.48, rng.uniform(0.4, 0.6), ("5a3a20", "8a4a2a", "6f8a3a", "4a6a2c"), 0.12)
    ripe = np.stack([srgb(c) for c in STALK])
    m.flicks(d, (d.y > 0.55) & (d.label < 3), 450, -1.3, 0.07, 3.2, ripe)
    for _ in range(15):
        x, y, r = rng.uniform(0.05, 0.95), rng.uniform(0.1, 0.62), rng.uniform(0.015, 0.035)
        wings = np.array([[-1, -0.5], [-0.5, -0.35], [0, 0.2], [0.5, -0.4], [1, -0.3]]) * r + [x, y]
        d.touch(Brush(2.8, 1, 0.1), wings[None], "10101c")
    return paint(d, "6a6a3c", "141a30", 0.3)


def sower_sun(rng: Rng, size: int) -> Field:
    """A huge low sun over a violet ploughed field and a leaning tree."""
    d = Design(rng, size)
    m.plain_sky(d, ("7f9a3c", "b8b33a", "e6c52f", "f5dc5c"), 0.1)
    x, y = rng.uniform(0.35, 0.65), rng.uniform(0.26, 0.32)
    m.sun(d, x, y, 0.13, ("d99a1c", "f2c52a", "fbe26a", "fff2a8"), 0.3)
    m.hill(d, 0.44, 0.01, ("3a4a86", "5a6aa0", "8f86b0", "c0a86a"), 2.0)
    soil = ("3a2c5c", "5c4680", "8464a0", "b8886a", "d9b05a")
    m.furrows(d, 0.5, soil, x)
    trunk = [(0.93, 1.05), (0.84, 0.7), (0.7, 0.42), (0.58, 0.1), (0.5, -0.05)]
    m.limb(d, trunk, 0.05, ("2a1c30", "4f3440", "7f5a4a"))
    m.limb(d, [(0.76, 0.52), (0.86, 0.34), (0.97, 0.22)], 0.022, ("2a1c30", "5f4440"))
    leaf = np.stack([srgb(c) for c in ("c2452a", "e08a2c", "8a9a3c", "f0c24a")])
    m.flicks(d, (d.near(0.6, 0.12) < 0.26) & (d.y < 0.3), 70, 1.0, 0.035, 4.0, leaf)
    return paint(d, "b08a4a", "241a40", 0.4)


def cafe(rng: Rng, size: int) -> Field:
    """A lit terrace at night: yellow wall and awning, blue houses, stars, round tables."""
    d = Design(rng, size)
    m.plain_sky(d, ("0c1a4c", "17348a", "2450a8", "3a6cb8"), -0.8)
    _stars(d, 7, 0.3)
    far = (d.x > 0.5) & (d.y > 0.4 - 0.5 * (d.x - 0.62) + 0.02 * np.sign(np.sin(d.x * 40)))
    d.put(far, 0.4 + 0.2 * d.noise(5), ("101a3c", "24386c", "34508c", "5a6a84"), 1.5, 0.25, 0.7)
    _panes(d, far)
    floor = d.y > 0.62
    lit = 0.95 - 1.1 * d.x - 0.5 * (d.y - 0.62) + 0.12 * d.noise(6)
    stones = ("1c2450", "34447c", "5c6c9c", "a8987c", "e0bc5c", "f4d878")
    d.put(floor, lit, stones, 0.25 * d.noise(5), 0.16, 0.9)
    wall = (d.x < 0.5) & (d.y < 0.62 + 0.25 * (0.5 - d.x)) & (d.y > 0.05 + 0.35 * d.x)
    d.put(
        wall,
        0.75 - d.x * 0.5 + 0.15 * d.noise(4),
        ("a8641c", "d8941c", "f0bc30", "fae27c"),
        1.5,
        0.15,
        0.5,
    )
    for x, top in ((0.1, 0.44), (0.27, 0.46), (0.41, 0.49)):
        door = (np.abs(d.x - x) < 0.045) & (d.y > top) & (d.y < 0.62 + 0.25 * (0.5 - x))
        d.put(door, 0.4, ("3c2418", "7c4424", "b8702c", "2c4c5c"), 1.57, 0.25, 0.9)
    awning = (
        (d.x < 0.6)
        & (d.y > 0.24 + 0.16 * d.x)
        & (d.y < 0.37 + 0.08 * d.x + 0.01 * np.sin(d.x * 90))
    )
    d.put(
        awning,
        1.3 - 2.2 * (d.y - 0.16 * d.x - 0.1),
        ("c89a2c", "ecc83c", "f8e878", "fcf8c0"),
        0.9,
        0.1,
        0.7,
    )
    m.star(d, 0.47, 0.47, 0.05, GLOW[2:])
    for y in (0.7, 0.8, 0.92):
        for x in np.arange(0.08, 0.52 - 0.2 * (y - 0.68), 0.21) + rng.normal(0, 0.012):
            _place(d, float(x), float(y), 0.038 + 0.13 * (y - 0.68))
    m.crown(d, 1.0, 0.16, 0.17, 0.2, ("0c2418", "1f4a28", "3f7034", "6a9048"))
    return paint(d, "3a4468", "10142c", 0.45)


def _panes(d: Design, wall: Field) -> None:
    """Lit windows in dark houses."""
    for x in (0.6, 0.72, 0.84, 0.95):
        for y in (0.36, 0.48):
            pane = (np.abs(d.x - x) < 0.016) & (np.abs(d.y - y - 0.04) < 0.025) & (wall > 0)
            if d.rng.random() < 0.6:
                d.put(pane, 0.6, ("c8861c", "f0bc30", "f8e07c"), 1.57, 0.2, 1.0)


def _place(d: Design, x: float, y: float, r: float) -> None:
    """A round table with a chair."""
    chair = (np.abs(d.x - x - r * 1.5) < r * 0.3) & (np.abs(d.y - y - 0.2 * r) < r * 0.9)
    d.put(chair, 0.4, ("5c2c14", "94501c", "c8822c"), 1.57, 0.25, 1.0)
    leg = (np.abs(d.x - x) < 0.006) & (d.y > y) & (d.y < y + r * 1.4)
    d.put(leg, 0.3, ("1a1c30", "4a3a30"), 1.57, 0.2, 1.0)
    top = np.hypot((d.x - x) / r, (d.y - y) / r / 0.42) < 1
    d.put(top, 0.6, ("b8a064", "e0d49c", "f8f0d0"), 0.0, 0.2, 1.0)
