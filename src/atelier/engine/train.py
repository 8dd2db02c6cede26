"""The work of the ``train`` stage: pictures in, weights, curves and snapshots out."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from atelier.core import images
from atelier.core.batches import Batches
from atelier.core.checkpoints import save_weights
from atelier.core.files import write_json
from atelier.core.images import size_of
from atelier.core.pairing import Job, choose, list_jobs
from atelier.engine.curves import write_history
from atelier.engine.distributed import ALONE, Team
from atelier.engine.loop import Tick, Training
from atelier.methods.trained import WEIGHTS, Trained
from atelier.tracking.progress import progress

SNAPSHOT_PHOTOS = 4
"""Test photographs whose pictures are kept as they change in the training."""
SNAPSHOTS = "snapshots"

Watch = Callable[[Tick], None]
Show = Callable[[str, int, Tensor], None]
"""Called with a photograph's name, the step and its picture (3, H, W) in [0, 1]."""


def start(method: Trained, prepared: Path, folder: Path, team: Team = ALONE) -> Training:
    """A training of ``method`` on the prepared pictures, continued if ``folder`` has a state."""
    s = method.settings
    photos = images.find(prepared / "photos/train")
    paintings = [*images.find(prepared / "paintings"), *images.find(prepared / "styles")]
    contents = _chosen(photos, s.photos, method.seed)
    styles = method.training_styles(_chosen(paintings, s.styles, method.seed))
    return Training(method, Batches(contents, styles, method.plan(), method.seed), folder, team)


def _chosen(paths: Sequence[Path], count: int | None, seed: int) -> list[Path]:
    kept = set(choose([path.name for path in paths], count, seed))
    return [path for path in paths if path.name in kept]


def train(training: Training, prepared: Path, name: str, watch: Watch, show: Show) -> None:
    """Run ``training`` to its end; draw the snapshots on the way, below its folder."""
    jobs, s = list_jobs(prepared)[:SNAPSHOT_PHOTOS], training.settings
    if training.step:
        print(f"train {name}: goes on after step {training.step} of {s.steps}")
    training.method.check(*size_of(jobs[0].content)[::-1])
    due = {round(s.steps * n / s.snapshots) for n in range(1, s.snapshots + 1)}
    for tick in progress(training.run(), s.steps - training.step, f"train {name}"):
        watch(tick)
        if tick.step in due:
            for photo, image in draw_snapshot(training, jobs):
                show(photo, tick.step, image)


def follow(training: Training | None) -> None:
    """Take part in a training that another process of the team leads, if there is one."""
    for _ in training.run() if training else ():
        pass


def draw_snapshot(training: Training, jobs: Sequence[Job]) -> Iterator[tuple[str, Tensor]]:
    """Stylise a few test photographs with the weights of now; keeps and yields the pictures."""
    folder = training.folder / SNAPSHOTS
    with training.delivering():
        for job in jobs:
            content, style = images.load_batch([job.content]), images.load_batch([job.style])
            image = training.method.stylize(content, style)[0]
            images.save_png(image, folder / job.photo / f"step {training.step:06d}.png")
            yield job.photo, image


def deliver(training: Training, name: str, results: Path) -> dict[str, Any]:
    """Write weights, figures, curves and snapshots below ``results``; returns the figures."""
    out = results / "models" / name
    save_weights(training.delivered(), out / WEIGHTS)
    found = figures(training, out / WEIGHTS)
    write_json(out / "training.json", found)
    write_history(training.history, results / "curves" / f"{name}.csv")
    pictures = results / SNAPSHOTS / name
    pictures.mkdir(parents=True, exist_ok=True)
    if (training.folder / SNAPSHOTS).is_dir():
        shutil.copytree(training.folder / SNAPSHOTS, pictures, dirs_exist_ok=True)
    return found


def deliver_nothing(name: str, results: Path) -> None:
    """The files that every method has, for one that is not trained."""
    write_history({"step": []}, results / "curves" / f"{name}.csv")
    (results / SNAPSHOTS / name).mkdir(parents=True, exist_ok=True)


def figures(training: Training, weights: Path) -> dict[str, Any]:
    """What the training took, and how large its result is."""
    s, photos = training.settings, len(training.batches.contents)
    seconds = sum(training.seconds.values())
    return {
        "steps": s.steps,
        "training_seconds": seconds,
        "data_seconds_per_step": training.seconds["data"] / s.steps,
        "seconds_per_step": seconds / s.steps,
        "seconds_per_epoch": seconds / s.steps * photos / s.batch,
        "photos": photos,
        "styles": len(training.batches.styles),
        "parameters_trained": sum(p.numel() for p in training.method.networks.parameters()),
        "file_mb": weights.stat().st_size / 1e6,
        "last_losses": {k: v[-1] for k, v in training.history.items() if k != "step"},
    }
