"""Painted still lifes and a figure: sunflowers, fruit, a bunch of irises, a sitter in a hat."""

from __future__ import annotations

import numpy as np

from atelier.datasets.synthetic import motifs as m
from atelier.datasets.synthetic.design import Design, Rng, paint
from atelier.datasets.synthetic.noise import Field, srgb


def _table(d: Design, wall: m.Palette, top: m.Palette, edge: float) -> None:
    """A wall of basket-woven strokes above a table."""
    weave = np.where(np.sin(d.x * 38) * np.sin(d.y * 38) > 0, 0.1, 1.5)
    d.put(d.y < 2, 0.5 + 0.2 * d.noise(2.5), wall, weave + 0.2 * d.noise(3), 0.2, 0.4)
    d.put(d.y > edge + 0.004 * d.noise(5)[0][None], 0.5 + 0.2 * d.noise(3), top, 0.1, 0.2, 0.4)


def _vase(
    d: Design, foot: float, tall: float, width: float, palette: m.Palette, band: m.Palette
) -> None:
    t = np.clip((foot - d.y) / tall, -0.1, 1.1)
    half = width * (
        0.5 + 0.5 * np.clip(np.sin(np.clip(t * 1.15 + 0.15, 0, 1) * np.pi), 0, 1) ** 0.7 * (t < 0.9)
    )
    inside = (np.abs(d.x - 0.5) < half) & (t >= 0) & (t <= 1)
    side = (d.x - 0.5) / np.maximum(half, 1e-3)
    shade = 0.65 - 0.3 * side - 0.25 * side**2
    d.put(inside & (t > 0.45), shade, palette, 1.57 - 0.5 * side, 0.12, 0.8)
    d.put(inside & (t <= 0.45), shade, band, 1.57 + 0.5 * side, 0.12, 0.8)


def _heads(rng: Rng, count: int, middle: float, gap: float, spread: float) -> Field:
    """Flower heads that fill a bunch without hiding one another; (N, 2), far ones first."""
    kept: list[Field] = []
    for _ in range(3000):
        turn, away = rng.uniform(0, 2 * np.pi), np.sqrt(rng.random()) * spread
        place = np.array([0.5 + 1.15 * away * np.cos(turn), middle + away * np.sin(turn)])
        if len(kept) < count and all(np.hypot(*(place - other)) > gap for other in kept):
            kept.append(place)
    return np.array(sorted(kept, key=lambda p: float(p[1])), np.float32)


def sunflowers(rng: Rng, size: int) -> Field:
    """Sunflowers in an earthen vase."""
    d = Design(rng, size)
    cool = rng.random() < 0.6
    wall = (
        ("5ca8a8", "7cc0b4", "9cd0bc", "c0dcc0")
        if cool
        else ("e0c04c", "ecd46c", "f4e08c", "f8ecb4")
    )
    _table(d, wall, ("a8701c", "c8902c", "dcb04c", "ecc870"), 0.76)
    _vase(
        d, 0.9, 0.32, 0.15, ("9c6424", "cc9434", "ecc45c", "f8e4a4"), ("8c9c5c", "bcc484", "e8e4b4")
    )
    heads = _heads(rng, 12, 0.36, 0.145, 0.29)
    for x, y in heads:
        m.limb(
            d,
            [(0.5 + (x - 0.5) * 0.3, 0.62), (0.5 + (x - 0.5) * 0.7, (y + 0.62) / 2), (x, y)],
            0.01,
            ("2f5428", "5c843c"),
        )
    leaf = np.stack([srgb(c) for c in ("2f5428", "4c7434", "7c9444", "a4ac5c")])
    m.flicks(
        d, (d.near(0.5, 0.45) < 0.26) & (d.y > 0.3), 90, d.around(0.5, 0.5) + 1.57, 0.09, 6.0, leaf
    )
    gold = np.stack([srgb(c) for c in ("c87c14", "e09c1c", "f0b82c", "f8d050", "d88c1c")])
    for x, y in heads:
        r = rng.uniform(0.075, 0.105)
        for reach, count in ((1.0, 17), (0.88, 15), (0.7, 14)):
            m.petals(d, x, y, r * reach, count, gold[rng.integers(5)], 5.0, 0.35)
        for reach, code in ((0.52, "6c3c14"), (0.36, "945c1c"), (0.2, "4c2c1c")):
            m.petals(d, x, y, r * reach, 13, srgb(code), 3.2, 0.1)
    return paint(d, "c8b070", "4c3418", 0.5)


def bunch(rng: Rng, size: int) -> Field:
    """Violet flowers in a white jug before a yellow wall."""
    d = Design(rng, size)
    _table(d, ("dca82c", "ecc444", "f4d868", "f8e894"), ("6c8c4c", "94ac64", "bcc488"), 0.78)
    _vase(
        d,
        0.92,
        0.32,
        0.14,
        ("7c98a4", "b8ccc8", "e8ece0", "fcfcf4"),
        ("6c90a8", "acc4c8", "e4e8dc"),
    )
    leaf = np.stack([srgb(c) for c in ("1c4c40", "2f6c50", "4c8c5c", "7cac74")])
    fan = np.arctan2(d.y - 0.75, d.x - 0.5)
    m.flicks(d, (d.near(0.5, 0.42) < 0.27), 190, fan, 0.13, 5.0, leaf)
    tones = np.stack([srgb(c) for c in ("24287c", "3c40a4", "5c5cbc", "8480d0", "a49cd8")])
    for x, y in _heads(rng, 16, 0.35, 0.115, 0.3):
        for reach, count in ((0.07, 8), (0.055, 7), (0.035, 6)):
            m.petals(d, x, y, reach, count, tones[rng.integers(5)], 6.0, 0.15)
        m.petals(d, x, y, 0.016, 4, srgb("f4d04c"), 2.8, 0.0)
    return paint(d, "d8b850", "1c2c50", 0.5)


def fruit(rng: Rng, size: int) -> Field:
    """Oranges, lemons and apples on a blue cloth."""
    d = Design(rng, size)
    _table(
        d, ("5c8c74", "84b08c", "accca4", "d4e0bc"), ("2c4c8c", "4c74ac", "84a4c4", "c4d4d8"), 0.52
    )
    folds = np.sin(d.x * 14 + 3 * d.noise(2, 3))
    cloth = d.y > 0.52
    d.put(
        cloth,
        0.5 + 0.35 * folds * d.y,
        ("24407c", "4c74ac", "8cacc8", "dce4e4"),
        1.2 + 0.6 * folds,
        0.15,
        0.6,
        area=False,
    )
    plate = np.hypot((d.x - 0.5) / 0.36, (d.y - 0.68) / 0.13)
    d.put(
        plate < 1,
        0.8 - 0.3 * (d.x - 0.3),
        ("8c9c9c", "c8ccb8", "f0ecd8", "fcfaf0"),
        d.around(0.5, 0.68),
        0.15,
        0.8,
    )
    kinds = (
        ("8c3c10", "cc6418", "ec8c24", "f8bc5c"),
        ("8c7c18", "ccac28", "ecd048", "f8ec98"),
        ("6c1c18", "a82c20", "d05434", "e89c68"),
        ("4c6c24", "7c9c38", "acc058", "dce098"),
    )
    places = [
        (0.36, 0.56),
        (0.52, 0.52),
        (0.66, 0.57),
        (0.44, 0.66),
        (0.6, 0.68),
        (0.16, 0.84),
        (0.82, 0.86),
    ]
    for k, (cx, cy) in enumerate(places):
        x, y, r = cx + rng.normal(0, 0.012), cy + rng.normal(0, 0.012), rng.uniform(0.085, 0.105)
        shade = np.hypot((d.x - x - 0.04) / r / 1.15, (d.y - y - r * 0.75) / r / 0.4)
        d.put(
            (shade < 1) & (d.y > y), 0.4, ("1c2c5c", "34508c", "546c8c"), 0.0, 0.2, 0.7, area=False
        )
        away = np.hypot((d.x - x) / r, (d.y - y) / r / 0.94)
        lit = 0.95 - 0.85 * np.hypot(d.x - x + r * 0.4, d.y - y + r * 0.45) / r / 1.3
        d.put(
            away < 1,
            lit,
            kinds[(k + int(rng.integers(4))) % 4],
            d.around(x - r * 0.3, y - r * 0.3),
            0.12,
            1.0,
        )
    return paint(d, "7c9c8c", "1c2440", 0.6)


def sitter(rng: Rng, size: int) -> Field:
    """A figure in a straw hat before a winding background."""
    d = Design(rng, size)
    cold = rng.random() < 0.6
    m.swirling_sky(
        d,
        ("2c6484", "4c8ca0", "7cb4b4", "acd0c0")
        if cold
        else ("3c6c3c", "6c9c54", "a4bc70", "d4d498"),
        5,
        0.4,
    )
    body = np.hypot((d.x - 0.5) / 0.4, (d.y - 1.05) / 0.4)
    coat = 0.45 + 0.2 * d.noise(3) - 0.4 * (d.x - 0.45)
    d.put(
        body < 1, coat, ("1c2c54", "34508c", "5c7cac", "8ca0b4"), 1.57 + 2.2 * (d.x - 0.5), 0.2, 0.7
    )
    collar = (np.abs(d.x - 0.5) < 0.1 - 0.25 * (d.y - 0.68)) & (d.y > 0.66) & (d.y < 0.86)
    d.put(collar, 0.6, ("a8a488", "dcd8b8", "f4f0dc"), 1.2, 0.25, 0.9)
    skin = ("6c3c2c", "a8644c", "d0946c", "e8bc88", "f4dcac")
    neck = (np.abs(d.x - 0.5) < 0.065) & (d.y > 0.58) & (d.y < 0.74)
    d.put(neck, 0.35, skin, 1.57, 0.15, 0.9)
    _face(d, skin)
    _hat(d)
    return paint(d, "6c9494", "1c2034", 0.55)


def _face(d: Design, skin: m.Palette) -> None:
    """Head, beard, eyes, nose and mouth."""
    face = np.hypot((d.x - 0.5) / 0.125, (d.y - 0.5) / 0.17)
    glow = 0.72 - 1.9 * (d.x - 0.46) - 0.3 * face**2 + 0.06 * d.noise(6)
    d.put(face < 1, glow, skin, d.around(0.5, 0.45), 0.12, 1.0)
    beard = (face < 1.08) & (d.y > 0.56 - 0.9 * np.square(d.x - 0.5) * 10 + 0.02) & (d.y > 0.53)
    d.put(
        beard,
        0.5 + 0.2 * d.noise(6),
        ("6c2c14", "a8501c", "cc7c2c", "dca450"),
        1.57 + 3 * (d.x - 0.5),
        0.25,
        1.0,
    )
    for side in (-1, 1):
        x = 0.5 + side * 0.052
        d.put(
            np.hypot((d.x - x) / 0.026, (d.y - 0.478) / 0.012) < 1,
            0.2,
            ("1c2c34", "4c7c74", "c8d4b8"),
            0.0,
            0.2,
            1.0,
        )
        d.put(
            np.hypot((d.x - x) / 0.036, (d.y - 0.45 + 0.004 * side) / 0.008) < 1,
            0.3,
            ("5c2c14", "94502c"),
            0.1 * side,
            0.1,
            1.0,
            area=False,
        )
    nose = (
        np.abs(d.x - 0.508 - 0.1 * (d.y - 0.5)) < 0.012 + 0.1 * np.clip(d.y - 0.49, 0, 0.05)
    ) & (np.abs(d.y - 0.51) < 0.035)
    d.put(nose, 0.45, skin, 1.5, 0.12, 1.0, area=False)
    d.put(
        np.hypot((d.x - 0.5) / 0.038, (d.y - 0.588) / 0.009) < 1,
        0.3,
        ("7c2c24", "b8584c"),
        0.0,
        0.2,
        1.0,
    )


def _hat(d: Design) -> None:
    """A straw hat with a ribbon."""
    straw = ("9c6c1c", "cca034", "e8c450", "f8e48c")
    dome = np.hypot((d.x - 0.5) / 0.125, (d.y - 0.37) / 0.15)
    d.put(
        (dome < 1) & (d.y < 0.38), 0.75 - 1.6 * (d.x - 0.42), straw, d.around(0.5, 0.42), 0.15, 1.0
    )
    ribbon = (np.abs(d.x - 0.5) < 0.127) & (np.abs(d.y - 0.345 + 0.8 * np.square(d.x - 0.5)) < 0.02)
    d.put(ribbon, 0.4, ("1c2444", "34447c", "5c5c8c"), 0.0, 0.2, 1.0)
    brim = np.hypot((d.x - 0.5) / 0.225, (d.y - 0.39) / 0.045)
    d.put(brim < 1, 0.75 - 1.4 * (d.x - 0.38), straw, 0.9 * (d.x - 0.5), 0.2, 1.0)
