"""Snapshots: a few test photographs on the way of a training, or of an optimisation.

They show the way and are part of no result: with another number of them all else stays the same.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from atelier.core import images
from atelier.core.pairing import Job
from atelier.core.paths import SNAPSHOTS
from atelier.methods.base import Iterate

SNAPSHOT_PHOTOS = 4
"""Number of test photographs in the snapshots."""

SnapshotCallback = Callable[[str, int, Tensor], None]
"""Callback that takes a photograph's name, the step and a picture (3, H, W) in [0, 1]."""


def snapshot_steps(steps: int, count: int) -> set[int]:
    """Return ``count`` of ``steps``, evenly spread, the last included; fewer if they are fewer."""
    return {round(steps * n / count) for n in range(1, count + 1)}


def write_snapshot(folder: Path, photo: str, step: int, image: Tensor) -> None:
    """Write one below ``folder``, by its step."""
    images.save_png(image, folder / photo / f"step {step:06d}.png")


@dataclass(frozen=True)
class IterateSnapshots:
    """Snapshots of an optimisation: iterates of a few photographs, as the size of their step is."""

    jobs: Sequence[Job]
    """Of these photographs."""
    count: int
    """Number of them per photograph."""
    show: SnapshotCallback
    """Callback for every one."""

    def begin(self, batch: Sequence[Job], kept: Path) -> None:
        """Remove what an interrupted run has left of a batch, below ``kept``."""
        for job in batch:
            shutil.rmtree(kept / SNAPSHOTS / job.photo, ignore_errors=True)

    def take(self, batch: Sequence[Job], iterate: Iterate, kept: Path) -> None:
        """Write an iterate of a batch below ``kept``, where it is one of those that are shown.

        One that is not finite is left out: an optimiser may pass through such a picture.
        """
        if iterate.step not in snapshot_steps(iterate.total, self.count):
            return
        photos = {job.photo for job in self.jobs}
        for job, image in zip(batch, iterate.image, strict=True):
            if job.photo in photos and image.isfinite().all():
                write_snapshot(kept / SNAPSHOTS, job.photo, iterate.step, image)
                self.show(job.photo, iterate.step, image)


def copy_snapshots(kept: Path, out: Path) -> None:
    """Copy the snapshots below ``kept``, if there are any, to a stage's output."""
    if (kept / SNAPSHOTS).is_dir():
        shutil.copytree(kept / SNAPSHOTS, out, dirs_exist_ok=True)
