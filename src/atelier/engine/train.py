"""Implementation of the ``train`` stage: from pictures to weights, curves and snapshots."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from atelier.core import images
from atelier.core.batches import Batches, BatchPlan
from atelier.core.checkpoints import save_weights
from atelier.core.extends import CLASS
from atelier.core.files import read_json, read_record, write_json
from atelier.core.fingerprint import stage_code
from atelier.core.images import size_of
from atelier.core.pairing import Job, choose, list_jobs
from atelier.core.paths import RUN, SNAPSHOTS, Prepared, Results
from atelier.core.records import set_aside
from atelier.engine.curves import write_history
from atelier.engine.distributed import ALONE, ProcessGroup
from atelier.engine.loop import StepResult, Trainer
from atelier.engine.resume import checkpoint_folder, drop
from atelier.engine.schedule import can_grow, why_anew
from atelier.methods.trained import Trained, weights_digest
from atelier.tracking.progress import progress

log = logging.getLogger(__name__)
DONE = "done.json"
"""Record of a finished training that more steps cannot continue."""
SNAPSHOT_PHOTOS = 4
"""Number of test photographs in the training snapshots."""

StepCallback = Callable[[StepResult], None]
SnapshotCallback = Callable[[str, int, Tensor], None]
"""Callback that takes a photograph's name, the step and a picture (3, H, W) in [0, 1]."""


def start(
    method: Trained[Any], prepared: Path, folder: Path, group: ProcessGroup = ALONE
) -> Trainer:
    """Return a training of ``method`` on the prepared pictures, resumed from ``folder``."""
    s, plan = method.settings, method.plan()
    below = _pictures_for(plan, Prepared(prepared))
    photos = images.find(below.training_photos)
    paintings = [*images.find(below.paintings), *images.find(below.styles)]
    contents = _chosen(photos, s.photos, method.seed)
    styles = method.training_styles(_chosen(paintings, s.styles, method.seed))
    return Trainer(method, Batches(contents, styles, plan, method.seed), folder, group)


def _pictures_for(plan: BatchPlan, prepared: Prepared) -> Prepared:
    """Return the larger copies, if there are any and smaller ones would have to be enlarged."""
    if not prepared.larger.folder.is_dir():
        return prepared
    size = read_json(prepared.manifest)["settings"]["size"]
    return prepared.larger if plan.needs > size else prepared


def resume_folder(name: str, card: Mapping[str, Any], known: Mapping[str, Any]) -> Path:
    """Return the folder for the checkpoints of a training; ``known``: seed and data.

    The number of steps is not part of its key: more steps can continue fewer.
    """
    settings = {key: value for key, value in card["parameters"].items() if key != "steps"}
    code = stage_code("train", settings[CLASS])
    key = {**known, "card": {**card, "parameters": settings}}
    return checkpoint_folder(f"train-{name}", key, code)


def put_away(folder: Path, trainer: Trainer | None) -> None:
    """Reduce the checkpoints of a finished training to what one of more steps needs.

    That is the full state if its learning rates allow to continue, else a record of the steps. Call
    it after the outputs have been written.
    """
    (folder / RUN).unlink(missing_ok=True)  # a longer training has its own run
    if trainer and can_grow(trainer.method):
        trainer.save_final()
        return
    drop(folder)
    if trainer and trainer.step:
        write_json(folder / DONE, {"steps": trainer.step})


def _tell_how_it_begins(trainer: Trainer, name: str) -> None:
    steps, done = trainer.settings.steps, read_record(trainer.folder / DONE).get("steps", 0)
    if trainer.step:
        log.info("train %s: resumes after step %d of %d", name, trainer.step, steps)
    elif 0 < done < steps and (reason := why_anew(trainer.method, done, done)):
        log.info("train %s: starts again: %s", name, reason)


def _forget_snapshots(trainer: Trainer) -> None:
    """Remove those after the step it resumes from: they would not be made again."""
    for path in (trainer.folder / SNAPSHOTS).glob("*/step *.png"):
        if int(path.stem.removeprefix("step ")) > trainer.step:
            path.unlink()


def _chosen(paths: Sequence[Path], count: int | None, seed: int) -> list[Path]:
    kept = set(choose([path.name for path in paths], count, seed))
    return [path for path in paths if path.name in kept]


def train(
    trainer: Trainer, prepared: Path, name: str, watch: StepCallback, show: SnapshotCallback
) -> None:
    """Run ``trainer`` to its end; draw snapshots meanwhile, below its folder."""
    jobs, steps = list_jobs(prepared)[:SNAPSHOT_PHOTOS], trainer.settings.steps
    _tell_how_it_begins(trainer, name)
    _forget_snapshots(trainer)
    trainer.method.check(*size_of(jobs[0].content)[::-1])
    for result in progress(trainer.run(), steps - trainer.step, f"train {name}"):
        watch(result)
        if result.step in trainer.snapshot_steps:
            for photo, image in draw_snapshot(trainer, jobs):
                show(photo, result.step, image)


def run_worker(trainer: Trainer | None) -> None:
    """Run a training in a process other than the group's main one."""
    for _ in trainer.run() if trainer else ():
        pass


def draw_snapshot(trainer: Trainer, jobs: Sequence[Job]) -> Iterator[tuple[str, Tensor]]:
    """Stylise a few test photographs with the current weights; write and yield the pictures."""
    folder = trainer.folder / SNAPSHOTS
    with trainer.swap_ema_weights():
        for job in jobs:
            content, style = images.load_batch([job.content]), images.load_batch([job.style])
            image = trainer.method.stylize(content, style)[0]
            images.save_png(image, folder / job.photo / f"step {trainer.step:06d}.png")
            yield job.photo, image


def write_outputs(trainer: Trainer, name: str, results: Results) -> dict[str, Any]:
    """Write weights, figures, curves and snapshots; return the figures."""
    out = results.model(name)
    save_weights(trainer.final_weights(), out.weights)
    found = figures(trainer, out.weights)
    kept = set_aside(results.root, name, "training", found, weights_digest(out.folder))
    write_json(out.training, kept)
    write_history(trainer.history, results.curves(name))
    pictures = results.snapshots(name)
    pictures.mkdir(parents=True, exist_ok=True)
    if (trainer.folder / SNAPSHOTS).is_dir():
        shutil.copytree(trainer.folder / SNAPSHOTS, pictures, dirs_exist_ok=True)
    return found


def write_empty_outputs(name: str, results: Results) -> None:
    """Write the files that every method has, for one that is not trained."""
    write_history({"step": []}, results.curves(name))
    results.snapshots(name).mkdir(parents=True, exist_ok=True)


def figures(trainer: Trainer, weights: Path) -> dict[str, Any]:
    """Return time and size of the training and its result."""
    s, photos = trainer.settings, len(trainer.batches.contents)
    seconds, steps = sum(trainer.seconds.values()), max(1, s.steps)
    return {
        "steps": s.steps,
        "training_seconds": seconds,
        "data_seconds_per_step": trainer.seconds["data"] / steps,
        "seconds_per_step": seconds / steps,
        "seconds_per_epoch": seconds / steps * photos / s.batch,
        "photos": photos,
        "styles": len(trainer.batches.styles),
        "parameters_trained": sum(p.numel() for p in trainer.method.networks.parameters()),
        "file_mb": weights.stat().st_size / 1e6,
        "last_losses": {k: v[-1] for k, v in trainer.history.items() if k != "step"},
    }
