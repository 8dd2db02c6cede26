"""The denoiser in the shape of a method, so that pictures go through it as through the others."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar, Self

from torch import Tensor

from atelier.methods.zsn2n import DenoiseSettings, denoise
from atelier.core.pairing import Job
from atelier.methods.base import Iterate, Kind, Method

LOOKS = 5
"""Iterates on the way, for progress and curves."""


class Denoiser(Method):
    """Zero-Shot Noise2Noise: a network for every picture; looks at no painting."""

    kind: ClassVar[Kind] = "optimise"
    Settings = DenoiseSettings

    def __init__(self, settings: DenoiseSettings, seed: int, device: str) -> None:
        self.settings, self.seed, self.device = settings, seed, device
        self.batch, self.every = settings.batch, max(1, settings.steps // LOOKS)

    @classmethod
    def build(cls, settings: DenoiseSettings, *, seed: int, device: str) -> Self:
        """See the base class."""
        return cls(settings, seed, device)

    def steps(self, height: int, width: int) -> int:  # noqa: ARG002 - the same for every size
        """Iterates, the result included; fewer where ``patience`` ends them."""
        return -(-self.settings.steps // self.every) + 1

    def places(self, count: int) -> list[int]:
        """Steps of the first ``count`` iterates."""
        return [min(n * self.every, self.settings.steps) for n in range(count)]

    def iterates(self, content: Tensor, style: Tensor) -> Iterator[Iterate]:  # noqa: ARG002
        """Denoise ``content`` (B, 3, H, W) in [0, 1].

        All networks begin with the same weights: those of a picture alone with this seed.
        """
        seeds = [self.seed] * len(content)
        yield from denoise(content.to(self.device), self.settings, seeds, self.every)


def denoise_jobs(pictures: Sequence[Path]) -> list[Job]:
    """One for each picture, by its name."""
    return [Job(path.stem, path, path) for path in pictures]


def pictures_digest(pictures: Sequence[Path]) -> str:
    """SHA-256 over names and bytes."""
    total = hashlib.sha256()
    for path in pictures:
        total.update(path.name.encode() + b"\0" + path.read_bytes())
    return total.hexdigest()
