"""Pictures of a set, decoded alike and batched, and their feature vectors."""

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
"""Batches decoded while the network looks at another one."""


def embed_files(features: Features, paths: Sequence[Path], *, device: str, batch: int) -> Tensor:
    """(n, d) in the order of ``paths``; pictures of other sizes than their neighbours go alone.

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
    """``look`` of stacks (b, 3, H, W) in [0, 1], (b, d) each, put together: (n, d)."""
    chunks = chunked(paths, batch)
    found = progress(ahead(_load, chunks), len(chunks), what)
    stacks = (stack for loaded in found for stack in same_size(loaded))
    return torch.cat([look(stack.to(device)).cpu() for stack in stacks])


def chunked(items: Sequence[A], size: int) -> list[Sequence[A]]:
    """``items`` in their order, ``size`` at a time.

    Raises:
        UserError: there are none.
    """
    if not items:
        raise UserError("no pictures to measure")
    return [items[start : start + size] for start in range(0, len(items), size)]


def ahead(load: Callable[[A], B], tasks: Sequence[A]) -> Iterator[B]:
    """``load`` of every task in their order; the next ones are loaded in the background."""
    waiting: deque[Future[B]] = deque()
    with ThreadPoolExecutor(1) as pool:
        for task in tasks:
            waiting.append(pool.submit(load, task))
            if len(waiting) > AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def same_size(loaded: Sequence[Tensor]) -> list[Tensor]:
    """One stack when all sizes agree, otherwise one for each."""
    if len({image.shape for image in loaded}) == 1:
        return [torch.stack(list(loaded))]
    return [image[None] for image in loaded]


def _load(paths: Sequence[Path]) -> list[Tensor]:
    return [images.load(path) for path in paths]
