"""Trees, grass, flowers and a cottage, scattered over a landscape."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from atelier.datasets.synthetic.noise import Field, linear, pick
from atelier.datasets.synthetic.scene import Heights, Scene

TALL = 220
"""Height of a sprite in pixels; all are twice as high as their half width."""
Sprite = Field
"""(TALL, TALL, 4): colour under the scene's light times cover, then cover."""


def splat(image: Field, rows: Field, cols: Field, radius: Field, colour: Field) -> None:
    """Draw discs in the given order; what leaves the image is dropped."""
    high, wide = image.shape[:2]
    reach = int(np.ceil(radius.max(initial=0.0)))
    span = np.arange(-reach, reach + 1)
    for dy, dx in ((y, x) for y in span for x in span):
        keep = dy * dy + dx * dx <= np.maximum(radius, 0.3) ** 2
        r, c = (rows[keep] + dy).astype(int), (cols[keep] + dx).astype(int)
        inside = (r >= 0) & (r < high) & (c >= 0) & (c < wide)
        image[r[inside], c[inside]] = colour[keep][inside]


def _sprite(points: Field, radius: Field, colour: Field) -> Sprite:
    """Points (N, 3) with x in [-0.5, 0.5], y in [0, 1] up, z away: far ones first."""
    order = np.argsort(-points[:, 2], kind="stable")
    image = np.zeros((TALL, TALL, 4), np.float32)
    rgba = np.concatenate([colour, np.ones_like(colour[:, :1])], axis=1)[order]
    rows, cols = TALL - 2 - points[order, 1] * (TALL - 8), (points[order, 0] + 0.5) * TALL
    splat(image, rows, cols, radius[order], rgba)
    return image


def _limbs(rng: np.random.Generator, ends: Field, girth: float) -> tuple[Field, Field]:
    """Points along bent branches from a trunk to ``ends`` (N, 3), with their radii in pixels."""
    t = np.linspace(0, 1, 60, dtype=np.float32)[None, :, None]
    fork = np.stack([0 * ends[:, 0], ends[:, 1] * rng.uniform(0.3, 0.6, len(ends)), 0 * ends[:, 2]])
    start = fork.T[:, None].astype(np.float32)
    bend = ends[:, None] * np.array([0.35, 0.75, 0.35], np.float32) + start * np.array(
        [0, 0.25, 0], np.float32
    )
    path = (1 - t) ** 2 * start + 2 * t * (1 - t) * bend + t * t * ends[:, None]
    thick = np.broadcast_to(girth * 0.45 * (1 - 0.8 * t), path[..., :1].shape)
    high = np.linspace(0, ends[:, 1].max() * 0.75, 120, dtype=np.float32)
    sway = 0.012 * np.sin(high * 9 + rng.uniform(0, 6))
    trunk = np.stack([sway, high, 0 * high], axis=1)
    radii = girth * (1.0 - 0.75 * high / high.max()) + girth * 0.8 * np.exp(-high / 0.03)
    points = np.concatenate([path.reshape(-1, 3), trunk])
    return points, np.concatenate([thick.reshape(-1), radii]).astype(np.float32)


def broadleaf(scene: Scene, greens: Sequence[Field], slim: float = 1.0, leafy: int = 130) -> Sprite:
    """A leafy tree: clumps of leaves at the ends of branches; ``slim`` < 1 makes a poplar."""
    rng, clumps = scene.rng, int(scene.rng.integers(38, 60))
    way = rng.standard_normal((clumps, 3))
    way /= np.sqrt(np.square(way).sum(1, keepdims=True))
    out = way * rng.uniform(0.45, 1.0, (clumps, 1)) ** 0.5
    low = rng.uniform(0.5, 0.6)
    centres = (out * [0.34 * slim, 0.93 - low, 0.34 * slim] + [0, low, 0]).astype(np.float32)
    swell = rng.uniform(0.05, 0.11, (clumps, 1, 1)) * np.array(
        [slim**0.5, 0.8, slim**0.5], np.float32
    )
    normal = rng.standard_normal((clumps, leafy, 3)).astype(np.float32)
    normal /= np.sqrt(np.square(normal).sum(-1, keepdims=True))
    leaves = centres[:, None] + normal * swell * rng.uniform(0.5, 1.15, (clumps, leafy, 1))
    facing = 0.55 * normal + 0.6 * out[:, None] + 0.35 * rng.standard_normal(normal.shape)
    tint = pick(rng, greens, (clumps, leafy)) * rng.uniform(0.75, 1.25, (clumps, leafy, 1))
    shade = 0.45 + 0.55 * np.clip((leaves[..., 1:2] - 0.25) / 0.6, 0, 1)
    colour = _leaf_light(scene, facing.astype(np.float32)) * tint * shade
    wood, girth = _limbs(rng, centres[::3], 4.2)
    bark = linear("5b4a3a") * rng.uniform(0.5, 1.2, (len(wood), 1)) * flat_light(scene)
    points = np.concatenate([wood, leaves.reshape(-1, 3)])
    radii = np.concatenate([girth, rng.uniform(0.6, 2.0, leaves.size // 3)])
    return _sprite(points, radii, np.concatenate([bark, colour.reshape(-1, 3)]).astype(np.float32))


def conifer(scene: Scene, greens: Sequence[Field], snow: float = 0.0) -> Sprite:
    """A spruce: whorls of drooping branches; ``snow`` is the share of needles it covers."""
    rng, count, along = scene.rng, 230, 44
    level = np.sort(rng.uniform(0.06, 0.98, count)).astype(np.float32)
    width = (0.25 * (1 - level) ** 1.05 + 0.006) * rng.uniform(0.65, 1.15, count)
    angle = rng.uniform(0, 2 * np.pi, count)
    s = rng.uniform(0.05, 1, (count, along)) ** 0.7
    spread = (width[:, None] * s)[..., None]
    side = np.stack([np.cos(angle), 0 * angle, np.sin(angle)], 1)[:, None]
    droop = 0.05 * np.sin(s * 2.6) - 0.075 * s - 0.012 * rng.random(s.shape)
    points = side * spread + 0.008 * rng.standard_normal((count, along, 3))
    points[..., 1] += level[:, None] + droop * (1.15 - level[:, None])
    facing = side * 0.9 + [0, 0.35, 0] + 0.4 * rng.standard_normal(points.shape)
    tint = pick(rng, greens, s.shape) * rng.uniform(0.6, 1.2, (*s.shape, 1))
    white = (rng.random((count, 1)) < snow) & (rng.random(s.shape) < 0.35 + 0.6 * s)
    tint[white] = np.array([0.85, 0.88, 0.93], np.float32)
    colour = _leaf_light(scene, facing.astype(np.float32)) * tint * (0.35 + 0.65 * s[..., None])
    stem = np.stack([np.zeros(80), np.linspace(0, 0.8, 80), np.zeros(80)], 1)
    bark = linear("4a3b30") * rng.uniform(0.5, 1.1, (80, 1)) * flat_light(scene)
    radii = np.concatenate([np.linspace(3, 0.6, 80), rng.uniform(0.5, 1.6, s.size)])
    colours = np.concatenate([bark, colour.reshape(-1, 3)]).astype(np.float32)
    return _sprite(np.concatenate([stem, points.reshape(-1, 3)]).astype(np.float32), radii, colours)


def _leaf_light(scene: Scene, facing: Field) -> Field:
    towards = (facing * scene.light.direction * np.array([1, 1, -1], np.float32)).sum(-1)
    # Leaves let light through: half of what falls on their back comes out in front.
    through = np.where(towards > 0, towards, -0.35 * towards)
    return scene.shine(np.clip(through, 0, 1.3), np.clip(0.55 + 0.3 * facing[..., 1], 0.2, 1.0))


def flat_light(scene: Scene) -> Field:
    """Return the light (3,) on an object without a facing direction."""
    return np.asarray(0.35 * scene.light.sun_colour + 0.6 * scene.light.ambient, np.float32)


def cottage(scene: Scene, wall: Field, roof: Field) -> Sprite:
    """A small house in two-point perspective, plaster and tiles."""
    rng, image = scene.rng, np.zeros((TALL, TALL, 4), np.float32)
    y, x = np.mgrid[0:TALL, 0:TALL].astype(np.float32) / TALL
    rough = rng.uniform(0.82, 1.08, (TALL, TALL, 1)).astype(np.float32)
    tiles = rough * (0.8 + 0.2 * np.sin(y * TALL * 0.9)[..., None])
    gable = (x > 0.12) & (x < 0.4) & (y > 0.62 + np.abs(x - 0.26) * 1.3 - 0.16)
    front = (x >= 0.4) & (x < 0.9) & (y > 0.64)
    slope = (x - 0.26 > (0.66 - y) * 0.02) & (x < 0.92 - (0.66 - y) * 0.3) & (y < 0.66)
    cover = slope & (y > 0.44) & (y > 0.46 + (0.27 - x) * 1.2) & (x > 0.26 + (y - 0.45) * 0.72)
    pane = front & (np.abs((x * 6.2) % 1 - 0.5) < 0.17) & (np.abs(y - 0.78) < 0.06)
    door = front & (np.abs(x - 0.64) < 0.035) & (y > 0.76)
    chimney = (np.abs(x - 0.72) < 0.03) & (y > 0.37) & (y < 0.5)
    sun = scene.light.direction
    bright = [0.55 + 0.5 * max(0.0, -sun[0]), 0.5 + 0.5 * max(0.0, 0.6 - sun[2])]
    for part, tint, light in (
        (chimney, wall * 0.7, 0.8), (gable, wall * rough, bright[0]),
        (front, wall * rough, bright[1]), (cover, roof * tiles, 0.9),
        (pane, linear("2a2c33"), 0.8), (door, linear("5a3824"), 0.7),
    ):  # fmt: skip
        lit = np.broadcast_to(tint * flat_light(scene) * 1.7 * light, (TALL, TALL, 3))
        image[part] = np.concatenate([lit, np.ones_like(lit[..., :1])], -1)[part]
    return image


def plant(
    scene: Scene, sprites: Sequence[Sprite], x: Field, z: Field, height: Heights, metres: Field
) -> None:
    """Stand sprites on the ground, far ones first; hidden by nearer ground."""
    ground = height(x.astype(np.float32), z.astype(np.float32))
    rows, cols, scale = scene.project(x, ground, z)
    choice = scene.rng.integers(len(sprites), size=len(z))
    flip = scene.rng.random(len(z)) < 0.5
    for i in np.argsort(-z, kind="stable"):
        side = int(np.clip(metres[i] * scale[i], 3, 1.6 * scene.size))
        sprite = sprites[choice[i]][:, :: -1 if flip[i] else 1]
        _paste(scene, sprite, int(rows[i]) - side, int(cols[i]) - side // 2, side, float(z[i]))


def _paste(scene: Scene, sprite: Sprite, top: int, left: int, side: int, z: float) -> None:
    size = scene.size
    r0, r1, c0, c1 = max(top, 0), min(top + side, size), max(left, 0), min(left + side, size)
    if r0 >= r1 or c0 >= c1:
        return
    planes = [
        np.asarray(Image.fromarray(np.ascontiguousarray(sprite[..., c])).resize((side, side), 2))
        for c in range(4)
    ]
    part = np.stack(planes, -1)[r0 - top : r1 - top, c0 - left : c1 - left]
    part = part * (scene.depth[r0:r1, c0:c1] > z * 0.985)[..., None]
    cover = np.clip(part[..., 3:], 0, 1)
    haze = np.float32(np.exp(-z / scene.light.haze_m))
    colour = part[..., :3] * haze + scene.light.horizon * 0.92 * (1 - haze) * cover
    scene.canvas[r0:r1, c0:c1] = scene.canvas[r0:r1, c0:c1] * (1 - cover) + colour
    nearer = (cover[..., 0] > 0.5) & (scene.depth[r0:r1, c0:c1] > z)
    scene.depth[r0:r1, c0:c1][nearer] = z
