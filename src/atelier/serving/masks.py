"""Masks: which painting, or which region of one painting, each part of a photograph takes.

A mask is a picture of any size, read as greys from 0 (black) to 255.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from atelier.core.config import UserError
from atelier.core.images import to_tensor
from atelier.nn.hypercolumns import Regions

TOLERANCE = 16
"""Levels within which two greys are one: JPEG changes them."""
LEAST = 0.01
"""Share of a mask that a grey has to cover: smoothed edges hold greys between two."""


def regions(mask: Image.Image, size: tuple[int, int], count: int) -> Tensor:
    """Return the share of each of ``count`` paintings at every pixel: (count, 1, 1, H, W).

    They sum to 1; between two paintings' greys, k / (count - 1), they change linearly.
    """
    grey = to_tensor(mask.convert("L").resize(size, Image.Resampling.BILINEAR))[:1]
    places = torch.arange(count).view(-1, 1, 1, 1, 1)
    return (1 - (grey * (count - 1) - places).abs()).clamp_min(0)


def guidance(
    mask: Image.Image,
    style_mask: Image.Image,
    size: tuple[int, int],
    style_size: tuple[int, int],
) -> Regions:
    """Return a region for every grey of two masks, ascending, as masks of 0 and 1.

    A pixel within ``TOLERANCE`` of no grey is in no region.

    Args:
        mask: of the photograph.
        style_mask: of the painting, with the same greys.
        size: width and height of the photograph, to which a larger mask is shrunk.
        style_size: those of the painting, likewise.

    Raises:
        UserError: see ``paired_greys``.
    """
    own, style = zip(*paired_greys(mask, style_mask), strict=True)
    return Regions(_areas(mask, own, size), _areas(style_mask, style, style_size))


def paired_greys(mask: Image.Image, style_mask: Image.Image) -> list[tuple[int, int]]:
    """Return the greys of the photograph's mask, ascending, each with that of the painting's.

    Raises:
        UserError: one mask lacks a grey of the other, or they have a single one.
    """
    own, style = _greys(mask), _greys(style_mask)
    pairs: list[tuple[int, int]] = []
    lacks: dict[str, list[int]] = {"painting": [], "photograph": []}
    while own and style:
        if abs(own[0] - style[0]) <= TOLERANCE:
            pairs.append((own.pop(0), style.pop(0)))
        elif own[0] < style[0]:
            lacks["painting"].append(own.pop(0))
        else:
            lacks["photograph"].append(style.pop(0))
    lacks["painting"] += own
    lacks["photograph"] += style
    _refuse_unpaired(pairs, lacks)
    return pairs


def _greys(mask: Image.Image) -> list[int]:
    """Return the greys that cover ``LEAST`` of a mask, ascending; the most frequent stand first."""
    counts, levels, found = np.array(mask.convert("L").histogram()), np.arange(256), []
    least = LEAST * counts.sum()
    while counts.any():
        grey = int(counts.argmax())
        same = abs(levels - grey) <= TOLERANCE
        if counts[same].sum() >= least:
            found.append(grey)
        counts[same] = 0
    return sorted(found)


def _refuse_unpaired(pairs: list[tuple[int, int]], lacks: dict[str, list[int]]) -> None:
    named = [
        f"the {whose}'s mask lacks grey {', '.join(map(str, greys))}"
        for whose, greys in lacks.items()
        if greys
    ]
    if named:
        raise UserError(
            f"{' and '.join(named)} (0 black, 255 white), which the other has; paint an area of "
            "each, or take it away in the other"
        )
    if len(pairs) < 2:
        raise UserError(
            f"both masks are of one grey, {pairs[0][0]}, which guides nothing; paint a second "
            "area in both, or leave them out"
        )


def _areas(mask: Image.Image, greys: Sequence[int], size: tuple[int, int]) -> Tensor:
    """Return where a mask has each of R greys: (1, R, H, W) of 0 and 1."""
    grey = mask.convert("L")
    if grey.width > size[0] or grey.height > size[1]:
        # any other filter would make greys between two
        grey = grey.resize(size, Image.Resampling.NEAREST)
    away = (torch.arange(256) - torch.tensor(greys)[:, None]).abs()  # (R, 256)
    label = torch.where(away.amin(0) <= TOLERANCE, away.argmin(0), -1)
    found = label[torch.from_numpy(np.array(grey)).long()]  # (H, W)
    return (found == torch.arange(len(greys))[:, None, None]).float()[None]
