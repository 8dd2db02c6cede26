"""Feature vectors of sets of pictures, which are decoded and batched uniformly."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

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


class Stack:
    """Pictures of one size, and what networks have seen of them: each looks at them once."""

    def __init__(self, image: Tensor) -> None:
        self.image = image
        """(b, 3, H, W) in [0, 1]."""
        self._seen: dict[str, Any] = {}

    def seen(self, by: str, look: Callable[[Tensor], A]) -> A:
        """Return ``look`` of the pictures; of what ``by`` names only the first is called."""
        if by not in self._seen:
            self._seen[by] = look(self.image)
        found: A = self._seen[by]
        return found


def embed_files(features: Features, paths: Sequence[Path], *, device: str, batch: int) -> Tensor:
    """Return vectors (n, d) in the order of ``paths``; odd sizes are processed one by one.

    Raises:
        UserError: there is no picture, or one cannot be read (named).
    """
    stacks = load_stacks(paths, device=device, batch=batch, what=f"{features.name} features")
    return torch.cat([features.embed(stack.image).cpu() for stack in stacks])


def load_stacks(paths: Sequence[Path], *, device: str, batch: int, what: str) -> Iterator[Stack]:
    """Yield pictures in the order of ``paths``, ``batch`` at a time; see ``embed_files``."""
    chunks = chunked(paths, batch)
    for loaded in progress(ahead(_load, chunks), len(chunks), what):
        for stack in same_size(loaded):
            yield Stack(stack.to(device))


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
