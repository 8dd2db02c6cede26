"""Pictures to teach an encoder with: a fixed tenth held out, seeded crops, seeded damage.

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
"""Pictures are kept in memory with this short side, 0.2 MB each."""
HELD_OUT = 0.1


def held_out(name: str) -> bool:
    """Return whether a picture is held out: one in ten, decided by its file name alone."""
    first = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4])
    return first < HELD_OUT * 2**32


def split(folder: Path) -> tuple[list[Path], list[Path]]:
    """The pictures below ``folder`` to train on, and the ones held out.

    Raises:
        UserError: no picture on one of the two sides.
    """
    found = images.find(folder)
    kept = [path for path in found if not held_out(path.name)]
    out = [path for path in found if held_out(path.name)]
    if not kept or not out:
        raise UserError(f"{folder}: too few pictures to hold a tenth out ({len(found)} found)")
    return kept, out


def read_small(path: Path) -> NDArray[np.uint8]:
    """A picture as (H, W, 3), its short side ``SHORT_SIDE``; smaller ones are enlarged.

    An array, because tensors sent by a worker process hold a file descriptor each.
    """
    picture = images.read(path)
    scale = SHORT_SIDE / min(picture.size)
    width, height = (max(SHORT_SIDE, round(side * scale)) for side in picture.size)
    return np.array(images.resize(picture, (width, height), "stretch"))


class Corpus:
    """Pictures in memory, out of which seeded crops are drawn."""

    def __init__(self, paths: Sequence[Path], side: int) -> None:
        self.side = side
        found = parallel(read_small, list(paths), "reading pictures")
        self.pictures = [torch.from_numpy(one).permute(2, 0, 1) for one in found]

    def draw(self, count: int, generator: Generator, side: int | None = None) -> Tensor:
        """``count`` crops of random pictures, flipped at random: (count, 3, side, side).

        A crop takes 7/16 of the short side up to all of it, so that a motif comes in many sizes.
        They come in the corpus's ``side`` unless told otherwise.
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
    """Change brightness, contrast and the balance of colours of every picture a little."""
    shape = (len(batch), 3, 1, 1)
    gain = 1 + 0.15 * torch.randn(shape, generator=generator)
    contrast = 1 + 0.2 * torch.randn((len(batch), 1, 1, 1), generator=generator)
    shift = 0.05 * torch.randn((len(batch), 1, 1, 1), generator=generator)
    mean = batch.mean((1, 2, 3), keepdim=True)
    return (((batch - mean) * contrast + mean) * gain + shift).clamp(0, 1)


def damage(batch: Tensor, generator: Generator) -> Tensor:
    """Damage every picture in one of five ways, by a random amount.

    White noise, coarse noise, blur, a checkerboard and a change of colours: what an optimised
    picture may differ in from a photograph, and what an encoder has to answer to as VGG19 does.
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
