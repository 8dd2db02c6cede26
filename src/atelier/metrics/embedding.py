"""Feature vectors of a folder of pictures, decoded and batched alike for every set."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from atelier import images
from atelier.config import UserError
from atelier.nn.features import Features
from atelier.progress import progress


def embed_files(features: Features, paths: Sequence[Path], *, device: str, batch: int) -> Tensor:
    """(n, d) in the order of ``paths``; pictures of other sizes than their neighbours go alone.

    Raises:
        UserError: there is no picture, or one cannot be read (named).
    """
    if not paths:
        raise UserError("no pictures to measure")
    rows, chunks = [], _chunks(paths, batch)
    for chunk in progress(chunks, len(chunks), f"{features.name} features"):
        loaded = [images.load(path) for path in chunk]
        rows += [features.embed(part.to(device)).cpu() for part in _same_size(loaded)]
    return torch.cat(rows)


def _chunks(paths: Sequence[Path], batch: int) -> list[Sequence[Path]]:
    return [paths[start : start + batch] for start in range(0, len(paths), batch)]


def _same_size(loaded: Sequence[Tensor]) -> list[Tensor]:
    """One batch when all sizes agree, otherwise one batch per picture."""
    if len({image.shape for image in loaded}) == 1:
        return [torch.stack(list(loaded))]
    return [image[None] for image in loaded]
