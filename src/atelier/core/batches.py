"""Training batches: a pure function of the seed and the step's number.

Because nothing else decides the pictures of a step, an interrupted training resumes with exactly
those it would have drawn, with any number of worker processes, and no loader state has to be saved.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from math import ceil
from pathlib import Path

import torch
from PIL import Image
from torch import Generator, Tensor
from torch.utils.data import DataLoader, Dataset

from atelier.core import images
from atelier.core.config import UserError


@dataclass(frozen=True)
class BatchPlan:
    """Batch sizes, and how pictures are scaled, cropped and mirrored."""

    batch: int
    """Contents per step."""
    style_batch: int = 1
    """Styles per step."""
    style_every: int = 1
    """Number of consecutive steps that share their styles."""
    crop: int | None = 256
    """Side of the content crops in pixels; None uses uncropped pictures (all must have one
    size)."""
    style_crop: int | None = 256
    """The same for the styles."""
    load_size: int | None = None
    """Short side before cropping (aspect kept); None leaves pictures that are large enough."""
    smallest_side: float = 1.0
    """Smallest side of a crop as a fraction of the short side; the crop is then resized to
    ``crop``. At 1, crops are not resized."""
    flip: bool = True
    """Whether contents and styles are mirrored at random."""
    enlarge: bool = True
    """Whether pictures are enlarged to ``load_size``, and crops to ``crop``; otherwise only a
    picture that is smaller than a crop is."""

    @property
    def needs(self) -> int:
        """Return the short side in pixels from which no picture has to be enlarged."""
        return max(self.load_size or 0, ceil((self.crop or 0) / self.smallest_side))


@dataclass(frozen=True)
class Batch:
    """Pictures of one training step; contents and styles are drawn and cropped independently."""

    step: int
    """From 0."""
    seed: int
    content: Tensor
    """(B, 3, H, W) in [0, 1]."""
    style: Tensor
    """(S, 3, h, w) in [0, 1]."""
    names: tuple[str, ...]
    """Files of the contents, then of the styles, for messages."""
    place: int = 0
    """Index of this part of a divided batch; parts draw different random numbers."""

    def to(self, device: str, layout: torch.memory_format = torch.channels_last) -> Batch:
        """Return the batch on ``device``, in the memory format of the networks there."""
        content, style = (
            part.to(device, non_blocking=True, memory_format=layout)
            for part in (self.content, self.style)
        )
        return replace(self, content=content, style=style)

    def part(self, place: int, parts: int) -> Batch:
        """Return one of ``parts`` equal parts of the contents, and of as many styles."""
        if parts == 1:
            return self
        content, style = self.content.chunk(parts)[place], self.style
        if len(style) == len(self.content):
            style = style.chunk(parts)[place]
        return replace(self, content=content, style=style, place=place)

    def pin_memory(self) -> Batch:
        """Return a copy that a GPU can read while it computes; torch's loader asks for it."""
        return replace(self, content=self.content.pin_memory(), style=self.style.pin_memory())

    def generator(self, purpose: str = "method", *, joint: bool = False) -> Generator:
        """Return a CPU generator for the method's random draws in this step, never the global one.

        ``joint`` draws are the same in all parts of a divided batch.
        """
        named = f"{purpose} {self.place}" if self.place and not joint else purpose
        return _generator(self.seed, self.step, named)


def seed_of(*parts: object) -> int:
    """Return a seed of 56 bits that depends on all ``parts``."""
    text = "\0".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:7])


def _generator(seed: int, step: int, purpose: str) -> Generator:
    return Generator().manual_seed(seed_of(seed, step, purpose))


class Batches(Dataset[Batch]):
    """Batch by step number; contents are shuffled anew every epoch, styles are drawn at random."""

    def __init__(
        self, contents: Sequence[Path], styles: Sequence[Path], plan: BatchPlan, seed: int
    ) -> None:
        if not contents or not styles:
            raise UserError("no pictures to train on; are all of them prepared? run dvc repro")
        self.contents, self.styles, self.plan, self.seed = contents, styles, plan, seed

    def __getitem__(self, step: int) -> Batch:
        """Return the batch of ``step``."""
        plan, generator = self.plan, _generator(self.seed, step, "contents")
        contents = [self._content(step * plan.batch + n) for n in range(plan.batch)]
        drawn = _generator(self.seed, step // plan.style_every, "styles")
        places = torch.randint(len(self.styles), (plan.style_batch,), generator=drawn)
        styles = [self.styles[int(place)] for place in places]
        return Batch(
            step,
            self.seed,
            self._load(contents, plan.crop, generator),
            self._load(styles, plan.style_crop, drawn),
            tuple(path.name for path in (*contents, *styles)),
        )

    def _content(self, count: int) -> Path:
        """Return the ``count``-th content since the training began."""
        epoch, place = divmod(count, len(self.contents))
        return self.contents[_order(len(self.contents), self.seed, epoch)[place]]

    def _load(self, paths: Sequence[Path], crop: int | None, generator: Generator) -> Tensor:
        if crop is None:
            return images.load_batch(paths)
        return torch.stack([self._crop(path, crop, generator) for path in paths])

    def _crop(self, path: Path, crop: int, generator: Generator) -> Tensor:
        picture = images.read(path)
        short, least = min(picture.size), max(crop, self.plan.load_size or crop)
        if not self.plan.enlarge:
            least = max(crop, min(least, short))
        if short < least or self.plan.load_size:
            size = tuple(max(least, round(side * least / short)) for side in picture.size)
            picture = images.resize(picture, (size[0], size[1]), "stretch")
        side, whole = crop, min(picture.size)
        if self.plan.smallest_side < 1:
            low = max(round(self.plan.smallest_side * whole), 0 if self.plan.enlarge else crop)
            side = low + _whole(whole - low + 1, generator)
        part = _cut(picture, side, generator)
        if side != crop:
            part = images.resize(part, (crop, crop), "stretch")
        value = images.to_tensor(part)
        return value.flip(2) if self.plan.flip and _whole(2, generator) else value


def _cut(picture: Image.Image, side: int, generator: Generator) -> Image.Image:
    left = _whole(picture.width - side + 1, generator)
    top = _whole(picture.height - side + 1, generator)
    return picture.crop((left, top, left + side, top + side))


def _whole(limit: int, generator: Generator) -> int:
    return int(torch.randint(limit, (), generator=generator))


@cache
def _order(count: int, seed: int, epoch: int) -> list[int]:
    found: list[int] = torch.randperm(count, generator=_generator(seed, epoch, "epoch")).tolist()
    return found


class _ErrorsAsValues(Dataset["Batch | UserError"]):
    """Batches that return the error of an unreadable picture instead of raising it.

    An error raised in a worker process would arrive as a page of traceback.
    """

    def __init__(self, batches: Batches) -> None:
        self.batches = batches

    def __getitem__(self, step: int) -> Batch | UserError:
        try:
            return self.batches[step]
        except UserError as error:
            return error


def loader(batches: Batches, first: int, end: int, workers: int) -> Iterator[Batch]:
    """Yield the batches of steps ``first`` … ``end - 1``, prefetched by ``workers`` processes.

    Raises:
        UserError: a picture is missing or broken (named).
    """
    made: DataLoader[Batch | UserError] = DataLoader(
        _ErrorsAsValues(batches),
        batch_size=None,
        sampler=range(first, end),
        num_workers=workers,
        pin_memory=torch.cuda.is_available(),
    )
    for found in made:
        if isinstance(found, UserError):
            raise found
        yield found
