"""STROTSS and NNST at one size, written like their authors' code, for ``speed.py``.

Whole matrices of distances by torch's products, norms by ``norm``, the network in torch's default
layout, float32. The pyramids, random positions and rotations are ours: they cost next to nothing.
One photograph (1, 3, H, W), one painting (1, 3, h, w); rows of features are (N, D).
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.optim import Adam, RMSprop

from atelier.methods import nnst as neighbours
from atelier.methods import strotss as transport
from atelier.nn.earth_mover import DECORRELATED, SQUARE_EPS, SUM_EPS
from atelier.nn.hypercolumns import random_positions
from atelier.nn.laplacian_pyramid import decompose, detail, reconstruct
from atelier.nn.nearest_neighbours import rotations

if TYPE_CHECKING:  # see speed.py
    from benchmarks.training_step import contiguous
else:
    from training_step import contiguous

Run = Generator[float, None, None]
Size = tuple[int, int]


def descend(
    image: Tensor, levels: int, make: Callable[[list[Tensor]], Any], loss: Callable[[Tensor], Any]
) -> Generator[tuple[Tensor, float], None, None]:
    """Yield the picture after each step on the entries of its pyramid, and the loss before it."""
    pyramid = [level.detach().clone().requires_grad_() for level in decompose(image, levels)]
    optimizer, image = make(pyramid), reconstruct(pyramid)
    while True:
        found = loss(image)
        optimizer.zero_grad()
        torch.autograd.backward(found)
        optimizer.step()
        image = reconstruct(pyramid)
        yield image.detach(), found.item()


def cosines(a: Tensor, b: Tensor) -> Any:
    """Return 1 - cos between all rows."""
    return 1 - unit(a) @ unit(b).T


def unit(rows: Tensor) -> Any:
    return rows / rows.norm(dim=1, keepdim=True).clamp_min(1e-8)


def strotss(method: Any, content: Tensor, style: Tensor) -> Run:
    """Step as nkolkin13/STROTSS, with positions of the painting drawn anew in every step."""
    s, network = method.settings, contiguous(method.features)
    size, style_size = [(picture.shape[2], picture.shape[3]) for picture in (content, style)]
    generator = torch.Generator().manual_seed(method.seed)

    def maps(picture: Tensor) -> list[Tensor]:
        found = network(picture)
        return [picture, *(found[layer] for layer in s.layers)]

    with torch.no_grad():
        wanted, painted = maps(content), maps(style)
        widths = sum(layer.shape[1] for layer in painted[1:])
        mean = sum(layer.abs().mean((2, 3)).sum() for layer in painted[1:]) / widths

    def rows(layers: list[Tensor], places: Tensor, size: Size) -> Tensor:
        colours, *rest = (gathered(layer[0], places, size) for layer in layers)
        return torch.cat([colours, *(part / mean for part in rest)]).T

    def loss(image: Tensor) -> Any:
        places = random_positions(*size, s.samples, generator)
        style_places = random_positions(*style_size, s.samples, generator)
        found, target = rows(maps(image), places, size), rows(wanted, places, size)
        painting, alpha = rows(painted, style_places, style_size), s.content_weight
        kept = (similarity(found) - similarity(target)).abs().sum(0).mean()
        moments = sum(map(apart, spread(found), spread(painting)))
        terms = alpha * kept + earth_mover(cosines(found, painting)) + moments
        colours = (part[:, :3] @ torch.tensor(DECORRELATED).T for part in (found, painting))
        return (terms + colour_distance(*colours) / alpha) / (2 + alpha + 1 / alpha)

    start = style.mean((2, 3), keepdim=True) + detail(content)
    run = descend(start, transport.LEVELS, partial(RMSprop, lr=s.last_lr), loss)
    yield from (found for _, found in run)


def gathered(layer: Tensor, places: Tensor, size: Size) -> Tensor:
    """Return (C, h, w) at positions in pixels, bilinearly between the four cells around: (C, N)."""
    grid, sides = layer.shape[1:], torch.tensor(layer.shape[1:])
    exact = (places + 0.5) * sides / torch.tensor(size) - 0.5
    y, x = (exact[:, n].clamp(0, grid[n] - 1) for n in (0, 1))
    above, left = y.floor().long(), x.floor().long()
    below, right = (above + 1).clamp_max(grid[0] - 1), (left + 1).clamp_max(grid[1] - 1)
    down, across, flat = y - above, x - left, layer.flatten(1)
    top = flat[:, above * grid[1] + left] * (1 - down) * (1 - across)
    top = top + flat[:, above * grid[1] + right] * (1 - down) * across
    bottom = flat[:, below * grid[1] + left] * down * (1 - across)
    return top + bottom + flat[:, below * grid[1] + right] * down * across


def similarity(rows: Tensor) -> Any:
    distances = cosines(rows, rows)
    return distances / (distances.sum(0, keepdim=True) + SUM_EPS)


def earth_mover(costs: Tensor) -> Tensor:
    return torch.maximum(costs.min(1).values.mean(), costs.min(0).values.mean())


def spread(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and covariance."""
    mean = rows.mean(0, keepdim=True)
    return mean, (rows - mean).T @ (rows - mean) / len(rows)


def apart(a: Tensor, b: Tensor) -> Tensor:
    return (a - b).abs().mean()


def colour_distance(a: Tensor, b: Tensor) -> Tensor:
    squares = (a**2).sum(1)[:, None] + (b**2).sum(1)[None] - 2 * a @ b.T
    return earth_mover((squares.clamp_min(SQUARE_EPS) / 3).sqrt() + cosines(a, b))


def nnst(method: Any, content: Tensor, style: Tensor, *, split: bool) -> Run:
    """Step as nkolkin13/NeuralNeighborStyleTransfer; ``split``: layer by layer, as at its end."""
    s, network = method.settings, contiguous(method.features)

    def rows(picture: Tensor) -> Tensor:
        size = [side // s.stride for side in picture.shape[2:]]
        layers = (F.interpolate(v, size, mode="bilinear") / v.shape[1] for v in seen(picture))
        return torch.cat([*layers], 1)[0].flatten(1).T

    def seen(picture: Tensor) -> list[Tensor]:
        return list(network(picture).values())

    def kept(image: Tensor) -> Any:
        return s.content_weight * (colours_apart(image) - colours).abs().mean()

    with torch.no_grad():
        colours = colours_apart(content)
        table = torch.cat([rows(turned) for turned in rotations(style)])
        target = unit(table[cosines(centred(rows(content)), centred(table)).argmin(1)])
        painted = [seen(turned) for turned in rotations(style)] if split else []
    generator = torch.Generator().manual_seed(method.seed)

    def matched(image: Tensor) -> Any:
        return (1 - (unit(rows(image)) * target).sum(1)).mean() + kept(image)

    def layer_by_layer(image: Tensor) -> Any:
        total = kept(image)
        for layer, *of_style in zip(seen(image), *painted, strict=True):
            shift = torch.rand(2, generator=generator)
            table = torch.cat([thinned(part, shift) for part in of_style])
            distances = cosines(centred(thinned(layer, shift)), centred(table))
            total = total + distances.min(1).values.mean()
        return total

    adam = partial(Adam, lr=s.lr)
    run = descend(content, neighbours.LEVELS, adam, matched)
    if split:
        (image, _), *_ = islice(run, s.steps)
        run = descend(image, neighbours.LEVELS, adam, layer_by_layer)
    yield from (found for _, found in run)


def colours_apart(image: Tensor) -> Any:
    """Return the distances between the mean colours of 32 × 32 cells of a square picture."""
    colours = F.adaptive_avg_pool2d(image, neighbours.CELLS)[0].flatten(1).T
    return (colours[:, None] - colours).pow(2).sum(2).clamp_min(1e-8).sqrt()


def centred(rows: Tensor) -> Tensor:
    return rows - rows.mean(0, keepdim=True)


def thinned(layer: Tensor, shift: Tensor) -> Tensor:
    """Return every n-th position of (1, C, h, w) both ways, shifted by a part of n: (N, C)."""
    step = max(1, max(layer.shape[2:]) // neighbours.LONGEST)
    y, x = (shift * step).int().tolist()
    return layer[0, :, y::step, x::step].flatten(1).T
