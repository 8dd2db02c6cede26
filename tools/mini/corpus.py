"""Training pictures of an encoder: a fixed held-out tenth, seeded crops, seeded corruptions.

Shapes: a crop is (3, s, s), a batch (B, 3, s, s), both in [0, 1].
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Generator, Tensor

from atelier.core import images
from atelier.core.config import UserError
from atelier.datasets.parallel import parallel

SHORT_SIDE = 256
"""Short side of the pictures in memory, 0.2 MB each."""
HELD_OUT = 0.1


def held_out(name: str) -> bool:
    """Return whether a picture is held out: one in ten, by its file name alone."""
    first = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4])
    return first < HELD_OUT * 2**32


def split(folder: Path) -> tuple[list[Path], list[Path]]:
    """Return the pictures below ``folder`` to train on, and those held out.

    Raises:
        UserError: one of the two is empty.
    """
    found = images.find(folder)
    kept = [path for path in found if not held_out(path.name)]
    out = [path for path in found if held_out(path.name)]
    if not kept or not out:
        raise UserError(f"{folder}: too few pictures to hold a tenth out ({len(found)} found)")
    return kept, out


def read_small(path: Path) -> NDArray[np.uint8]:
    """Return a picture as (H, W, 3), its short side resized to ``SHORT_SIDE``.

    An array, because tensors sent by a worker process hold a file descriptor each.
    """
    picture = images.read(path)
    scale = SHORT_SIDE / min(picture.size)
    width, height = (max(SHORT_SIDE, round(side * scale)) for side in picture.size)
    return np.array(images.resize(picture, (width, height), "stretch"))


class Corpus:
    """Pictures in memory, from which seeded crops are drawn."""

    def __init__(self, paths: Sequence[Path], side: int) -> None:
        self.side = side
        found = parallel(read_small, list(paths), "reading pictures")
        self.pictures = [torch.from_numpy(one).permute(2, 0, 1) for one in found]

    def draw(self, count: int, generator: Generator, side: int | None = None) -> Tensor:
        """Return ``count`` crops of random pictures, flipped at random: (count, 3, side, side).

        A crop covers 7/16 to all of the short side, so that objects appear at many scales. ``side``
        defaults to that of the corpus.
        """
        return torch.stack([self._crop(generator, side or self.side) for _ in range(count)])

    def _crop(self, generator: Generator, wanted: int) -> Tensor:
        picture = self.pictures[_whole(len(self.pictures), generator)]
        height, width = picture.shape[1:]
        side = SHORT_SIDE * 7 // 16
        side += _whole(SHORT_SIDE - side + 1, generator)
        top = _whole(height - side + 1, generator)
        left = _whole(width - side + 1, generator)
        part = picture[None, :, top : top + side, left : left + side].float().div(255)
        part = F.interpolate(part, wanted, mode="bilinear", antialias=True)[0]
        return part.flip(2) if _whole(2, generator) else part


def _whole(limit: int, generator: Generator) -> int:
    return int(torch.randint(limit, (), generator=generator))


def jitter(batch: Tensor, generator: Generator) -> Tensor:
    """Jitter brightness, contrast and colour balance of every picture."""
    shape = (len(batch), 3, 1, 1)
    gain = 1 + 0.15 * torch.randn(shape, generator=generator)
    contrast = 1 + 0.2 * torch.randn((len(batch), 1, 1, 1), generator=generator)
    shift = 0.05 * torch.randn((len(batch), 1, 1, 1), generator=generator)
    mean = batch.mean((1, 2, 3), keepdim=True)
    return (((batch - mean) * contrast + mean) * gain + shift).clamp(0, 1)


def damage(batch: Tensor, generator: Generator) -> Tensor:
    """Corrupt every picture in one of five ways, by a random amount.

    White noise, coarse noise, blur, a checkerboard and a change of colours: typical differences
    between optimised pictures and photographs, on which the encoder has to match VGG19.
    """
    return torch.cat([_damage(picture[None], generator) for picture in batch]).clamp(0, 1)


def _damage(picture: Tensor, generator: Generator) -> Tensor:
    kind, amount = _whole(5, generator), float(torch.rand((), generator=generator)) ** 2
    side = picture.shape[-1]
    if kind == 0:
        return picture + 0.3 * amount * torch.randn(picture.shape, generator=generator)
    if kind == 1:
        coarse = torch.randn((1, 3, side // 4, side // 4), generator=generator)
        return picture + 0.3 * amount * F.interpolate(coarse, side, mode="bicubic")
    if kind == 2:
        small = F.interpolate(picture, round(side / (1 + 5 * amount)), mode="area")
        return F.interpolate(small, side, mode="bicubic")
    if kind == 3:
        rows = torch.arange(side)
        board = 1 - 2.0 * ((rows[:, None] + rows) % 2)
        tint = torch.randn((1, 3, 1, 1), generator=generator)
        return picture + 0.3 * amount * tint * board
    return jitter(picture, generator)
