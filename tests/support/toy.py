"""The smallest system that can be trained: one 1×1 convolution, told to give the style's colour."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from atelier.core.batches import Batch, Batches
from atelier.engine.distributed import ALONE, ProcessGroup
from atelier.engine.loop import Trainer
from atelier.methods.base import Kind
from atelier.methods.train_settings import TrainSettings
from atelier.methods.trained import Losses, Trained, seeded
from support.pictures import save


class Toy(Trained):
    """Has dropout, so that the global generator matters too."""

    kind: ClassVar[Kind] = "arbitrary"
    Settings = TrainSettings

    def __init__(self, settings: TrainSettings, seed: int) -> None:
        self.settings, self.seed, self.device = settings, seed, "cpu"
        with seeded(seed):
            layers = nn.Sequential(nn.Conv2d(3, 3, 1), nn.Dropout(0.2), nn.Conv2d(3, 3, 1))
        self.networks = nn.ModuleDict({"net": layers})

    @classmethod
    def build(cls, settings: Any, *, seed: int, device: str) -> Self:  # noqa: ARG003
        return cls(settings, seed)

    def training_losses(self, batch: Batch) -> Iterator[tuple[str, Losses]]:
        noise = torch.randn(batch.content.shape, generator=batch.generator("noise")) / 100
        made = self.networks["net"](batch.content + noise)
        loss = (made - batch.style.mean((2, 3), keepdim=True)).square().mean()
        yield "main", {"total": loss, "mean": made.mean().detach()}

    def generate(self, content: Tensor, style: Tensor) -> Tensor:  # noqa: ARG002
        image: Tensor = self.networks["net"](content).sigmoid()  # never clamped to one colour
        return image


class Even(Toy):
    """Draws nothing, and its loss is a mean over the pictures: a batch can be divided."""

    def __init__(self, settings: TrainSettings, seed: int) -> None:
        super().__init__(settings, seed)
        with seeded(seed):
            layers = nn.Sequential(nn.Conv2d(3, 3, 3), nn.Tanh(), nn.Conv2d(3, 3, 1))
        self.networks = nn.ModuleDict({"net": layers})

    def training_losses(self, batch: Batch) -> Iterator[tuple[str, Losses]]:
        made = self.networks["net"](batch.content)
        yield "main", {"total": (made - batch.style.mean((2, 3), keepdim=True)).square().mean()}


def even(
    root: Path, group: ProcessGroup = ALONE, folder: str = "states", **overrides: Any
) -> Trainer:
    """A training of ``Even`` in batches of 4."""
    method, batches = toy(root / "pictures", Even, **{"batch": 4, **overrides})
    return Trainer(method, batches, root / folder, group)


def toy(folder: Path, kind: type[Toy] = Toy, **overrides: Any) -> tuple[Toy, Batches]:
    """A toy and its batches of 32-pixel crops; ``folder`` gets the pictures."""
    paths = [save(folder / f"{n}.png", n) for n in range(6)]
    known = {"steps": 8, "batch": 2, "crop": 32, "lr": 0.01, "log_every": 3, "snapshots": 2}
    method = kind(TrainSettings(**{**known, **overrides}), seed=3)
    return method, Batches(paths[:4], paths[4:], method.plan(), seed=3)


def training(folder: Path, **overrides: Any) -> Trainer:
    """A training of the toy, its states below ``folder``."""
    method, batches = toy(folder / "pictures", **overrides)
    return Trainer(method, batches, folder / "states")
