"""Implementation of the ``train`` stage: from pictures to weights, curves and snapshots."""

from __future__ import annotations

import logging
import math
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from atelier.core import images
from atelier.core.batches import Batches, BatchPlan
from atelier.core.checkpoints import save_weights
from atelier.core.config import UserError
from atelier.core.extends import CLASS
from atelier.core.files import read_json, read_record, write_json
from atelier.core.fingerprint import stage_code
from atelier.core.images import size_of
from atelier.core.layout import OPTIONAL, PHOTOGRAPHS, PhotosFrom
from atelier.core.pairing import Job, choose, list_jobs
from atelier.core.paths import RUN, SNAPSHOTS, WEIGHTS, Model, Prepared, Results
from atelier.core.records import set_aside
from atelier.core.resume import checkpoint_folder, drop
from atelier.engine.curves import write_history
from atelier.engine.distributed import ALONE, ProcessGroup
from atelier.engine.loop import StepResult, Trainer
from atelier.engine.schedule import can_grow, why_anew
from atelier.engine.snapshots import (
    SNAPSHOT_PHOTOS,
    SnapshotCallback,
    copy_snapshots,
    write_snapshot,
)
from atelier.methods.trained import Trained, weights_digest
from atelier.tracking.progress import progress

log = logging.getLogger(__name__)
PHASE = "phase.json"
"""Record of a finished phase that others follow."""
DONE = "done.json"
"""Record of a finished training that more steps cannot continue."""

StepCallback = Callable[[StepResult], None]


def start(
    method: Trained[Any],
    prepared: Path,
    folder: Path,
    group: ProcessGroup = ALONE,
    before: Path | None = None,
) -> Trainer:
    """Return a training of ``method`` on the prepared pictures, resumed from ``folder``.

    ``before``: weights of an earlier phase, with which it begins.
    """
    s, plan = method.settings, method.plan()
    below = _pictures_for(plan, Prepared(prepared))
    photos = _photographs(below, s.photos_from)
    paintings = [*images.find(below.paintings), *images.find(below.styles)]
    _refuse_held_out(getattr(s, "style", None), Prepared(prepared))
    contents = _chosen(photos, s.photos, method.seed)
    styles = method.training_styles(_chosen(paintings, s.styles, method.seed))
    method.settings = s.counted(len(contents))
    return Trainer(method, Batches(contents, styles, plan, method.seed), folder, group, before)


def _refuse_held_out(style: str | int | None, prepared: Prepared) -> None:
    """Raise a UserError if the one painting that a system learns is held out."""
    if style in {path.stem for path in images.find(prepared.test_paintings)}:
        reason = "is held out by prepare.test_paintings, so that no training sees it"
        raise UserError(f"style: {style} {reason}; name another painting")


def _photographs(below: Prepared, photos_from: PhotosFrom) -> list[Path]:
    """Return the photographs to train on.

    Raises:
        UserError: they are to be general ones, and there are none.
    """
    found = {split: images.find(below.folder / split) for split in PHOTOGRAPHS[photos_from]}
    if missing := [split for split in found if split in OPTIONAL and not found[split]]:
        reason = f"holds no picture to train on, as photos_from: {photos_from} asks for"
        raise UserError(f"data/{missing[0]}: {reason}; put some there and run dvc repro prepare")
    return [path for paths in found.values() for path in paths]


def _pictures_for(plan: BatchPlan, prepared: Prepared) -> Prepared:
    """Return the larger copies, if there are any and smaller ones would have to be enlarged."""
    if not prepared.larger.folder.is_dir():
        return prepared
    size = read_json(prepared.manifest)["settings"]["size"]
    short = min(size) if isinstance(size, list) else size
    return prepared.larger if plan.needs > short else prepared


def resume_folder(
    name: str, card: Mapping[str, Any], known: Mapping[str, Any], phase: int = 0
) -> Path:
    """Return the folder for the checkpoints of a training; ``known``: seed and data.

    The number of steps is not part of its key: more steps can continue fewer. ``phase``: number of
    a phase that others follow, from 1.
    """
    settings = {key: value for key, value in card["parameters"].items() if key != "steps"}
    code = stage_code("train", settings[CLASS])
    key = {**known, "card": {**card, "parameters": settings}}
    return checkpoint_folder(f"train-{name}+{phase}" if phase else f"train-{name}", key, code)


@dataclass(frozen=True)
class Earlier:
    """Results of the finished phases of a training, for the next one."""

    weights: Path | None = None
    """Final weights of the last one; None: there is none."""
    steps: int = 0
    seconds: float = 0.0
    history: Mapping[str, Sequence[float]] = field(default_factory=dict)
    """Curves of all, by the steps of the whole training."""

    def joined(self, history: Mapping[str, Sequence[float]]) -> dict[str, list[float]]:
        """Return its curves followed by those of the next phase; NaN where one has no such loss."""
        later = {**history, "step": [step + self.steps for step in history["step"]]}
        counts = [len(curves.get("step", ())) for curves in (self.history, later)]
        return {
            name: [
                *self.history.get(name, [math.nan] * counts[0]),
                *later.get(name, [math.nan] * counts[1]),
            ]
            for name in dict.fromkeys([*self.history, *later])
        }


FIRST = Earlier()


def finished_phase(folder: Path, steps: int | None, before: Earlier) -> Earlier | None:
    """Return what ``end_phase`` left in ``folder``, if it was of as many steps."""
    record = read_record(folder / PHASE)
    if not record or steps not in {None, record["own_steps"]}:
        return None
    if record["sha256"] != weights_digest(folder):
        return None
    history = {name: [float(value) for value in curve] for name, curve in record["history"].items()}
    total = before.steps + record["own_steps"]
    return Earlier(
        folder / WEIGHTS, total, before.seconds + record["seconds"], before.joined(history)
    )


def end_phase(trainer: Trainer) -> None:
    """Keep the weights and curves of a finished phase, and nothing else of it."""
    folder, steps = trainer.folder, trainer.settings.steps
    save_weights(trainer.final_weights(), folder / WEIGHTS)
    record = {"own_steps": steps, "seconds": sum(trainer.seconds.values())}
    record |= {"history": trainer.history, "sha256": weights_digest(folder)}
    write_json(folder / PHASE, record)
    for state in folder.glob("*.pt"):
        state.unlink()
    shutil.rmtree(folder / SNAPSHOTS, ignore_errors=True)


def share_phase(folder: Path, group: ProcessGroup) -> None:
    """Give all processes what ``end_phase`` left in the main one."""
    for name in (WEIGHTS, PHASE):
        group.copy(folder / name)


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
        if result.step in trainer.settings.keep_checkpoints:
            save_weights(trainer.final_weights(), _kept(trainer).checkpoint(result.step).weights)
        if result.step in trainer.snapshot_steps:
            for photo, image in draw_snapshot(trainer, jobs):
                show(photo, result.step, image)


def _kept(trainer: Trainer) -> Model:
    """Return the place of the checkpoints that are kept, while it trains."""
    return Model(trainer.folder)


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
            write_snapshot(folder, job.photo, trainer.step, image)
            yield job.photo, image


def write_outputs(
    trainer: Trainer, name: str, results: Results, before: Earlier = FIRST
) -> dict[str, Any]:
    """Write weights, figures, curves and snapshots; return the figures."""
    out = results.model(name)
    save_weights(trainer.final_weights(), out.weights)
    found = figures(trainer, out.weights)
    found["steps"] += before.steps
    found["training_seconds"] += before.seconds
    kept = set_aside(results.root, name, "training", found, weights_digest(out.folder))
    write_json(out.training, kept)
    write_history(before.joined(trainer.history), results.curves(name))
    if _kept(trainer).checkpoints.is_dir():
        shutil.copytree(_kept(trainer).checkpoints, out.checkpoints, dirs_exist_ok=True)
    pictures = results.snapshots(name)
    pictures.mkdir(parents=True, exist_ok=True)
    copy_snapshots(trainer.folder, pictures)
    return found


def write_empty_outputs(name: str, results: Results) -> None:
    """Write the files that every method has, for one that is not trained."""
    write_history({"step": []}, results.curves(name))
    results.snapshots(name).mkdir(parents=True, exist_ok=True)


def per_network(networks: nn.ModuleDict, prefix: str = "") -> Iterator[tuple[str, int]]:
    """Yield name and number of parameters of each network: ``generator.to_art``."""
    for name, part in networks.items():
        if isinstance(part, nn.ModuleDict):
            yield from per_network(part, f"{prefix}{name}.")
        else:
            yield prefix + name, sum(p.numel() for p in part.parameters())


class Pace:
    """Learning rates and times of a training while it runs, for the log: part of no result."""

    def __init__(self, trainer: Trainer) -> None:
        self.trainer = trainer
        self.step, self.seconds = trainer.step, dict(trainer.seconds)

    def point(self) -> dict[str, float]:
        """Return the rates of the last step, and mean seconds of a step since the last point.

        ``lr_<optimiser>``, or ``lr`` if there is one; ``step_seconds`` and ``data_seconds``.
        """
        steps = max(1, self.trainer.step - self.step)
        seconds = self.trainer.seconds
        taken = {f"{k}_seconds": (seconds[k] - self.seconds[k]) / steps for k in seconds}
        self.step, self.seconds = self.trainer.step, dict(seconds)
        optimizers = self.trainer.optimizers
        rates = {
            f"lr_{name}" if len(optimizers) > 1 else "lr": float(one.param_groups[0]["lr"])
            for name, one in optimizers.items()
        }
        return {**rates, **taken}


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
        "parameters_by_network": dict(per_network(trainer.method.networks)),
        "file_mb": weights.stat().st_size / 1e6,
        "last_losses": {k: v[-1] for k, v in trainer.history.items() if k != "step"},
    }
