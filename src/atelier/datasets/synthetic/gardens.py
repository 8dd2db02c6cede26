"""Painted fields, orchards and flowers in daylight, still lifes and a figure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from atelier.datasets.synthetic import motifs as m
from atelier.datasets.synthetic.design import Design, Rng, paint
from atelier.datasets.synthetic.nights import CYPRESS, STALK
from atelier.datasets.synthetic.noise import Field, srgb

TURQUOISE = ("3f8f9c", "62b0b4", "8cc8c0", "b8dccb", "e6efe0")
BLUE_HILLS = ("2c4a80", "4a70a4", "7094b8", "9ab4c0")
OLIVE = ("2f4a34", "4f6e4a", "7a9468", "a4b48a", "c8d0ac")
GRASS = ("24502c", "3f7434", "649440", "94b050", "c4c868")
PINK = ("8a5a5c", "b8806a", "d8a884", "e8cba4")


def _tints(codes: Sequence[str]) -> Field:
    return np.stack([srgb(c) for c in codes])


def wheat_cypress(rng: Rng, size: int) -> Field:
    """Wheat under a turquoise sky of rolling clouds, blue hills and cypresses."""
    d = Design(rng, size)
    m.swirling_sky(d, ("4a8cb4", *TURQUOISE), 4)
    m.hill(d, 0.5, 0.05, BLUE_HILLS, 1.5)
    m.hill(d, 0.61, 0.03, OLIVE, 3.0)
    m.wheat(d, 0.69, STALK, 0.3)
    for x, tall in ((rng.uniform(0.72, 0.82), 0.68), (rng.uniform(0.86, 0.93), 0.46)):
        m.cypress(d, x, 0.76, tall, CYPRESS)
    m.flicks(d, d.y > 0.74, 500, -1.3, 0.06, 3.0, _tints(STALK))
    poppy = (d.y > 0.85) & (d.rng.random(d.x.shape) < 0.2)
    m.flicks(d, poppy, 35, 0.5, 0.015, 4.0, _tints(("c23a24", "d9583a")))
    return paint(d, "a89a68", "1c3048", 0.35)


def harvest(rng: Rng, size: int) -> Field:
    """A wide plain in strips of yellow and green to blue mountains."""
    d = Design(rng, size)
    m.plain_sky(d, ("5c9cb0", "84bcb8", "b0d4c4", "d8e4cc"), 0.05)
    m.hill(d, 0.27, 0.035, BLUE_HILLS, 2.0)
    bands = (STALK, GRASS, ("b8882c", "d9b04a", "ecd07a"), OLIVE, PINK, STALK)
    for k, palette in enumerate(bands):
        m.hill(
            d,
            0.34 + 0.105 * k + rng.uniform(-0.015, 0.015),
            0.012,
            palette,
            1.5,
            rng.uniform(-0.5, 0.5),
        )
    for x, y in zip(rng.uniform(0.05, 0.95, 9), np.sort(rng.uniform(0.36, 0.7, 9)), strict=True):
        m.crown(d, x, y, 0.02 + 0.05 * y, 0.014 + 0.04 * y, OLIVE if rng.random() < 0.5 else GRASS)
    x, y = rng.uniform(0.3, 0.7), 0.52
    house = (np.abs(d.x - x) < 0.05) & (np.abs(d.y - y) < 0.03)
    d.put(house, 0.7, ("b8a88a", "e8dcc0", "f4ecd8"), 1.57, 0.2, 0.9)
    roof = (np.abs(d.x - x) < 0.06 + (d.y - y + 0.03) * 0.7) & (d.y < y - 0.028) & (d.y > y - 0.07)
    d.put(roof, 0.5, ("8a3a24", "c2603a", "d98a5c"), 0.0, 0.25, 0.9)
    m.flicks(d, d.y > 0.9, 350, -1.4, 0.06, 3.2, _tints(STALK))
    return paint(d, "b8a868", "2c3c50", 0.35)


def olives(rng: Rng, size: int) -> Field:
    """Twisted olive trees, silver-green, on ochre ground."""
    d = Design(rng, size)
    m.swirling_sky(d, ("6aa0b8", "94bcc0", "bcd4c4", "e4e2b4", "f0dc90"), 1)
    m.hill(d, 0.4, 0.05, BLUE_HILLS, 2.0)
    ground = ("7a5a34", "a8803c", "c8a050", "b0a860", "dcc488")
    m.hill(d, 0.52, 0.02, ground, 2.5)
    d.angle[d.y > 0.54] += 0.5 * np.sin(d.y * 40 + d.noise(3))[d.y > 0.54]
    for place, foot, tall in ((0.78, 0.66, 0.3), (0.5, 0.74, 0.4), (0.2, 0.86, 0.55)):
        x = place + rng.uniform(-0.06, 0.06)
        bend = rng.uniform(-0.07, 0.07)
        shade = np.hypot((d.x - x - 0.08) / tall / 0.4, (d.y - foot) / 0.035) < 1
        d.put(shade, 0.4, ("3c4a5c", "5c6a6a", "7a7a5c"), 0.1, 0.25, 0.8, area=False)
        fork = (x + bend, foot - tall * 0.45)
        wood = ("2c2a34", "54504c", "8a7f6a")
        m.limb(d, [(x, foot + 0.02), (x - bend, foot - tall * 0.2), fork], 0.09 * tall, wood)
        for side in (-1, 1):
            tip = (fork[0] + side * tall * 0.22, foot - tall * 0.75)
            m.limb(d, [fork, tip], 0.05 * tall, wood)
            m.crown(d, tip[0], tip[1], tall * 0.33, tall * 0.24, OLIVE)
        m.crown(d, fork[0], foot - tall * 0.95, tall * 0.36, tall * 0.24, OLIVE)
    return paint(d, "b09a6c", "2a3438", 0.4)


def vineyard(rng: Rng, size: int) -> Field:
    """Red vines in rows under a yellow evening sky."""
    d = Design(rng, size)
    m.plain_sky(d, ("c8b84a", "e8cc4c", "f4e07c", "f9eeb4"), 0.1)
    m.sun(d, rng.uniform(0.65, 0.85), 0.14, 0.065, ("f2d24a", "fbe98a", "fffbe0"), 0.18)
    m.hill(d, 0.31, 0.012, ("3a5a8a", "5a7a98", "8a9a8a"), 3.0)
    m.furrows(d, 0.36, ("5c1c24", "94301f", "c24a24", "dc7a2c", "4a7a4c"), rng.uniform(0.2, 0.8))
    wet = (d.x > 0.68 + 0.25 * (1 - d.y)) & (d.y > 0.36)
    d.put(
        wet,
        0.4 + d.y * 0.4 + 0.1 * d.noise(5),
        ("6a8a9c", "b0a888", "e8c858", "f6e69c"),
        1.0,
        0.25,
        0.6,
    )
    for x in np.linspace(0.03, 0.6, 7) + rng.normal(0, 0.015, 7):
        m.crown(d, x, 0.31, 0.03, 0.045, ("1c3a4c", "2f5a54", "5a7a4c"))
    leaf = _tints(("7a1c24", "b83a24", "d9622a", "e8a03c", "3c6a44", "5c2a4c"))
    m.flicks(d, (d.y > 0.46) & ~wet, 600, -1.1, 0.04, 3.6, leaf)
    return paint(d, "a8603c", "2c1c3c", 0.35)


def poplars(rng: Rng, size: int) -> Field:
    """An alley of autumn poplars and a strolling path."""
    d = Design(rng, size)
    m.plain_sky(d, ("6a8ca8", "94acb4", "c0c8b8", "ecdcb0"), -0.2)
    m.hill(d, 0.56, 0.02, ("7a5a2c", "b8862c", "d8ac4c", "a8a85c"), 2.0)
    m.path(d, 0.56, 0.5, ("8a6a6a", "b8948a", "dcc0a4"), 0.02)
    fire = ("6a2c1c", "a84c1c", "d8801f", "f0b030", "f8dc70")
    for k in range(6):
        t = (k + 1) / 6
        for side in (-1, 1):
            x, foot = 0.5 + side * (0.05 + 0.36 * t * t), 0.58 + 0.3 * t * t
            tall = 0.24 + 0.72 * t * t
            m.limb(
                d,
                [(x, foot), (x + 0.005, foot - tall * 0.5), (x, foot - tall)],
                0.012 + 0.018 * t,
                ("2c2434", "5c4a4c"),
            )
            m.crown(d, x, foot - tall * 0.62, 0.02 + 0.075 * t, tall * 0.42, fire)
    leaf = _tints(fire)
    m.flicks(d, d.y > 0.66, 260, 0.1, 0.03, 3.2, leaf)
    return paint(d, "a8865c", "2c2438", 0.4)


def ravine(rng: Rng, size: int) -> Field:
    """Blue and green rocks in rhythmic folds, a stream between them."""
    d = Design(rng, size)
    m.plain_sky(d, ("7aa8b8", "a8c8c4", "d4e0cc"), 0.2)
    blues = ("2a3c68", "44649c", "6c90b4", "98b4ac", "c8c89c")
    for k in range(5):
        m.hill(
            d,
            0.2 + 0.13 * k,
            0.07 - 0.006 * k,
            blues if k % 2 else ("3c5a5c", "5c847c", "8cac84", "ccc890"),
            1.2,
            rng.uniform(-0.7, 0.7),
        )
    fold = np.sin(d.noise(2.0, 3.0) * 4 + d.y * 16)
    d.angle[d.y > 0.25] += 0.5 * fold[d.y > 0.25]
    middle = 0.5 + 0.14 * np.sin(d.y * 8 + rng.uniform(0, 6))
    stream = (np.abs(d.x - middle) < 0.02 + 0.16 * np.clip(d.y - 0.5, 0, 1)) & (d.y > 0.5)
    d.put(
        stream,
        0.6 + 0.2 * d.noise(6),
        ("3c74a0", "74acc0", "b4d8d4", "f0f4e8"),
        1.2 + 0.6 * np.cos(d.y * 8),
        0.25,
        0.8,
    )
    for x, y in zip(rng.uniform(0.05, 0.95, 7), np.sort(rng.uniform(0.4, 0.95, 7)), strict=True):
        m.crown(
            d, x, y, 0.08, 0.06, GRASS if rng.random() < 0.5 else ("8a4a2c", "b8743c", "d8a85c")
        )
    return paint(d, "6a8a90", "1c2848", 0.45)


def irises(rng: Rng, size: int) -> Field:
    """Violet irises among sword-shaped leaves on red earth."""
    d = Design(rng, size)
    d.put(
        d.y < 2,
        0.5 + 0.25 * d.noise(4),
        ("6c4a2c", "a86c3c", "c8925c", "d8b880"),
        0.3 * d.noise(3),
        0.25,
        0.5,
    )
    d.put(
        d.y < 0.3 + 0.04 * d.noise(3)[0][None],
        0.5 + 0.2 * d.noise(4),
        ("5c8438", "94b04c", "d8c448", "ecdc7c"),
        0.4,
        0.3,
        0.8,
    )
    blades = _tints(("1c4a3c", "2f6a4c", "4c8a54", "7cac68", "a4c48c"))
    m.flicks(d, d.y > 0.32, 330, -np.pi / 2 + 0.4 * d.noise(2.5), 0.2, 5.5, blades)
    purple = _tints(("2c2c74", "44449c", "6464b8", "8c84cc", "5c4c9c"))
    heads = np.stack([rng.uniform(0.06, 0.94, 60), rng.uniform(0.14, 0.85, 60)], 1)
    kept: list[Field] = []
    for head in heads:
        if all(np.hypot(*(head - other)) > 0.13 for other in kept):
            kept.append(head)
    for x, y in kept:
        for r, count in ((0.075, 8), (0.055, 7), (0.04, 6)):
            m.petals(d, x, y, r, count, purple[rng.integers(5)], 6.5, 0.15)
        m.petals(d, x, y, 0.018, 4, srgb("f0c43c"), 3.0, 0.0)
    return paint(d, "8c6c4c", "1c2c3c", 0.2)


def almond(rng: Rng, size: int) -> Field:
    """White blossom on crooked branches before a turquoise sky."""
    d = Design(rng, size)
    d.put(d.y < 2, 0.5 + 0.22 * d.noise(3), TURQUOISE[:4], 0.6 + 0.5 * d.noise(2, 3), 0.2, 0.4)
    tips: list[tuple[float, float]] = []
    wood = ("3c3c34", "646850", "8c9470", "b0ac84")

    def grow(x: float, y: float, way: float, length: float, width: float) -> None:
        line = [(x, y)]
        for _ in range(4):
            way += rng.normal(0, 0.35)
            x, y = x + length / 4 * np.cos(way), y + length / 4 * np.sin(way)
            line.append((x, y))
            if length < 0.4:
                tips.append((x, y))
        m.limb(d, line, width, wood)
        if length > 0.2:
            for turn in (rng.uniform(-1.0, -0.5), rng.uniform(0.5, 1.0)):
                grow(*line[rng.integers(2, 4)], way + turn, length * 0.6, width * 0.55)
            grow(x, y, way, length * 0.62, width * 0.45)

    grow(-0.03, rng.uniform(0.6, 0.8), -0.45, 0.6, 0.026)
    grow(rng.uniform(0.5, 0.8), 1.05, -1.75, 0.5, 0.022)
    for x, y in tips:
        for _ in range(int(rng.integers(0, 3))):
            px, py, r = x + rng.normal(0, 0.03), y + rng.normal(0, 0.03), rng.uniform(0.02, 0.036)
            m.petals(
                d,
                px,
                py,
                r,
                6,
                _tints(("f4f0e4", "ece0d8", "f4d8d0", "fcfcf4"))[rng.integers(4)],
                5.0,
                0.1,
            )
            m.petals(d, px, py, 0.007, 3, srgb("c8845c"), 2.2, 0.0)
    return paint(d, "84c0bc", "2c4448", 0.6)
