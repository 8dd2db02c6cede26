"""Losses of a training by epoch, beside their curves by step."""

from __future__ import annotations

import math
from collections.abc import Mapping

from atelier.engine.loop import Trainer


class EpochMeans:
    """Means of the losses over every epoch of a training, for the log: part of no result.

    The points of the curves are means over ``log_every`` steps: one that spans two epochs counts in
    each by its share.
    """

    def __init__(self, trainer: Trainer) -> None:
        self.length = math.ceil(len(trainer.batches.contents) / trainer.settings.batch)
        """Steps of an epoch."""
        self.step, self.sums = 0, dict[str, float]()
        history = trainer.history
        for n, step in enumerate(history["step"]):  # of a training that resumes
            self.add(int(step), {k: v[n] for k, v in history.items() if k != "step"})

    def add(self, step: int, losses: Mapping[str, float]) -> dict[int, dict[str, float]]:
        """Add the point of the curves at ``step``; return the means of the epochs that end by it.

        Returns:
            Number of the epoch, from 1 → its means.
        """
        ended = {}
        while self.step < step:
            end = (self.step // self.length + 1) * self.length
            until = min(end, step)
            for name, value in losses.items():
                self.sums[name] = self.sums.get(name, 0.0) + value * (until - self.step)
            self.step = until
            if until == end:
                ended[end // self.length] = {k: v / self.length for k, v in self.sums.items()}
                self.sums = {}
        return ended
