"""Feature vectors of sets of pictures, which are decoded and batched uniformly."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from atelier.core import images
from atelier.core.config import UserError
from atelier.nn.pretrained.features import Features
from atelier.tracking.progress import progress

A = TypeVar("A")
B = TypeVar("B")

AHEAD = 2
"""Batches decoded ahead while the network processes another."""


def embed_files(features: Features, paths: Sequence[Path], *, device: str, batch: int) -> Tensor:
    """Return vectors (n, d) in the order of ``paths``; odd sizes are processed one by one.

    Raises:
        UserError: there is no picture, or one cannot be read (named).
    """
    what = f"{features.name} features"
    return look_at_files(features.embed, paths, device=device, batch=batch, what=what)


def look_at_files(
    look: Callable[[Tensor], Tensor],
    paths: Sequence[Path],
    *,
    device: str,
    batch: int,
    what: str,
) -> Tensor:
    """Apply ``look`` to stacks (b, 3, H, W) in [0, 1] and concatenate the (b, d): (n, d)."""
    chunks = chunked(paths, batch)
    found = progress(ahead(_load, chunks), len(chunks), what)
    stacks = (stack for loaded in found for stack in same_size(loaded))
    return torch.cat([look(stack.to(device)).cpu() for stack in stacks])


def chunked(items: Sequence[A], size: int) -> list[Sequence[A]]:
    """Yield ``items`` in order, ``size`` at a time.

    Raises:
        UserError: there are none.
    """
    if not items:
        raise UserError("no pictures to measure")
    return [items[start : start + size] for start in range(0, len(items), size)]


def ahead(load: Callable[[A], B], tasks: Sequence[A]) -> Iterator[B]:
    """Yield ``load(task)`` in order; the next tasks are loaded in the background."""
    waiting: deque[Future[B]] = deque()
    with ThreadPoolExecutor(1) as pool:
        for task in tasks:
            waiting.append(pool.submit(load, task))
            if len(waiting) > AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def same_size(loaded: Sequence[Tensor]) -> list[Tensor]:
    """Return one stack if all sizes agree, else one per picture."""
    if len({image.shape for image in loaded}) == 1:
        return [torch.stack(list(loaded))]
    return [image[None] for image in loaded]


def _load(paths: Sequence[Path]) -> list[Tensor]:
    return [images.load(path) for path in paths]
