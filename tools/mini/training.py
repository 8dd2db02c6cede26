"""Training loop of ``mini``: yields losses, saves its full state, resumes bit for bit.

A batch consists of fresh crops, corrupted copies of them, and the adversary's pictures with their
contents and styles; rows of one scene are ``mates``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field
from tools.mini.adversary import Adversary
from tools.mini.corpus import Corpus, damage, jitter
from tools.mini.relations import WEIGHTS, Adapters, relations
from torch import Generator, Tensor
from torch.optim import AdamW

from atelier.core.config import Settings, UserError
from atelier.core.files import atomic
from atelier.core.torch_files import read_torch
from atelier.nn.pretrained.features import Features
from atelier.nn.pretrained.mini import WIDTHS, Mini, initialise

TAPS = tuple(WIDTHS)


class DistillSettings(Settings):
    """Settings of the training."""

    steps: int = Field(4500, ge=1)
    side: int = Field(112, ge=32)
    fresh: int = Field(5, ge=2)
    """New crops per step, plus as many corrupted copies."""
    optimised: int = Field(2, ge=1)
    """Pictures of the adversary, plus their contents and styles."""
    lr: float = Field(2e-3, gt=0)
    warmup: int = Field(100, ge=1)
    seed: int = 0
    precision: Literal["float32", "bfloat16"] = "bfloat16"
    """Precision of both networks' convolutions; all losses are in float32."""


@dataclass(frozen=True)
class Progress:
    """Result of a training step."""

    step: int
    losses: dict[str, float]


class Trainer:
    """Student, adapters, adversary, optimiser and random state: all that resuming needs."""

    def __init__(
        self, settings: DistillSettings, corpus: Corpus, teacher: Features, device: str = "cpu"
    ) -> None:
        self.settings, self.corpus, self.teacher, self.step = settings, corpus, teacher, 0
        self.device = device
        # On the CPU, so that the same pictures are drawn on any device.
        self.generator = Generator().manual_seed(settings.seed)
        self.student = Mini().to(memory_format=torch.channels_last)
        initialise(self.student, settings.seed)  # first: layout affects draws
        self.student.to(device)
        self.adversary = Adversary(corpus, settings.optimised, device)
        self.adapters = self._make_adapters()
        weights = [*self.student.parameters(), *self.adapters.parameters()]
        self.optimizer = AdamW(weights, lr=settings.lr, weight_decay=1e-4)

    @torch.no_grad()
    def _make_adapters(self) -> Adapters:
        generator = Generator().manual_seed(self.settings.seed)
        sample = self.corpus.draw(24, generator)
        sample = torch.cat([sample, damage(sample, generator)]).to(self.device)
        return Adapters(self.student(sample), self.teacher(sample)).to(self.device)

    def run(self) -> Iterator[Progress]:
        """Train up to ``steps``; a yielded step is finished and may be saved."""
        while self.step < self.settings.steps:
            losses = self.losses(*self.batch())
            total = torch.stack([WEIGHTS[name] * loss for name, loss in losses.items()]).sum()
            self._update(total)
            self.step += 1
            values = {name: loss.item() for name, loss in losses.items()}
            yield Progress(self.step, {"total": total.item(), **values})

    def batch(self) -> tuple[Tensor, Tensor]:
        """Return pictures (2·fresh + 3·optimised, 3, s, s), and the rows of one scene (P, 2)."""
        fresh = jitter(self.corpus.draw(self.settings.fresh, self.generator), self.generator)
        hurt = damage(fresh, self.generator)
        with self._autocast():
            made, content, style = self.adversary.visit(self.student, self.generator)
        n, k = len(fresh), len(made)
        mates = [(row, n + row) for row in range(n)]
        mates += [(2 * n + row, 2 * n + k + row) for row in range(k)]
        drawn = torch.cat([fresh, hurt]).to(self.device)
        return torch.cat([drawn, made, content, style]), torch.tensor(mates)

    def losses(self, pictures: Tensor, mates: Tensor) -> dict[str, Tensor]:
        """Return the student's losses by name, each a scalar; see ``relations``."""
        pictures = pictures.to(self.device).contiguous(memory_format=torch.channels_last)
        with self._autocast():
            with torch.no_grad():
                theirs = self.teacher(pictures)
            ours = self.student(pictures)
            found = self.adapters(ours, theirs)
        return {**found, **relations(ours, theirs, mates)}

    def _autocast(self) -> torch.autocast:
        low = self.settings.precision == "bfloat16"
        return torch.autocast(torch.device(self.device).type, torch.bfloat16, enabled=low)

    def _update(self, total: Tensor) -> None:
        if not bool(total.isfinite()):
            raise UserError(f"the loss is not finite at step {self.step + 1}: lower lr")
        self.optimizer.zero_grad()
        torch.autograd.backward(total)
        torch.nn.utils.clip_grad_norm_(self.student.parameters(), 1.0)
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.lr * self._schedule()
        self.optimizer.step()

    def _schedule(self) -> float:
        """Return the learning-rate factor: linear warm-up, then cosine decay to 0.01."""
        s = self.settings
        rise = min(1.0, (self.step + 1) / s.warmup)
        return rise * (0.505 + 0.495 * math.cos(math.pi * self.step / s.steps))

    def save(self, path: Path) -> None:
        """Write the full state, atomically."""
        state = {
            "settings": self.settings.model_dump(),
            "step": self.step,
            "pupil": self.student.state_dict(),
            "adapters": self.adapters.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "adversary": self.adversary.state(),
            "generator": self.generator.get_state(),
        }
        with atomic(path) as part:
            torch.save(state, part)

    def restore(self, path: Path) -> None:
        """Resume from what ``save`` wrote.

        Raises:
            UserError: the file is of a training with other settings or of another network.
        """
        state: dict[str, Any] = read_torch(path)
        if state["settings"] != self.settings.model_dump():
            raise UserError(f"{path}: was written with other settings; delete it to start again")
        try:
            self.student.load_state_dict(state["pupil"])
            self.adapters.load_state_dict(state["adapters"])
            self.optimizer.load_state_dict(state["optimizer"])
        except (RuntimeError, ValueError) as error:
            raise UserError(f"{path}: is of another network; delete it to start again") from error
        self.step = state["step"]
        self.adversary.restore(state["adversary"])
        self.generator.set_state(state["generator"])
