"""Apply a method to the test photographs, batch by batch, so that an interrupted run resumes.

A finished batch is stored below ``.checkpoints``, outside DVC's outputs (which DVC deletes before a
stage runs): its PNGs first, its record last. Only a batch with a record counts as finished.
"""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from atelier.core import images
from atelier.core.config import UserError
from atelier.core.device import device_name, peak_memory_mib
from atelier.core.files import read_json, write_json
from atelier.core.images import size_of
from atelier.core.pairing import Job
from atelier.core.paths import SNAPSHOTS
from atelier.engine.snapshots import IterateSnapshots, copy_snapshots
from atelier.methods.base import Iterate, Method
from atelier.tracking.progress import progress

log = logging.getLogger(__name__)
EXTRA_PHOTOS = 2
"""Number of photographs for a method's extra pictures, such as strips of strengths."""

IterateCallback = Callable[[int, Iterate], None]
"""Callback that takes the batch's number and each of its iterates."""
MakeBatches = Callable[[Mapping[int, Sequence[Job]], Path, str], None]
"""Makes batches, by number, in other processes: ``Elsewhere.make``, ``Processes.make``."""


@dataclass(frozen=True)
class BatchRecord:
    """Record of a finished batch."""

    photos: list[str]
    seconds: float
    """Of the method alone: without reading and writing of files, and what others do meanwhile."""
    curves: dict[str, list[float]]
    """Loss → mean over the batch at every step."""
    device: str = ""
    """Readable name."""
    peak_memory_mib: float = 0.0
    """Of the process that made it, up to its end."""


def batches(jobs: Sequence[Job], size: int) -> list[list[Job]]:
    """Return jobs in batches of at most ``size``, each of one picture size."""

    def shape(job: Job) -> tuple[int, ...]:
        return (*size_of(job.content), *size_of(job.style))

    groups = [list(group) for _, group in groupby(sorted(jobs, key=shape), key=shape)]
    return [group[i : i + size] for group in groups for i in range(0, len(group), size)]


def stylize(
    method: Method[Any],
    jobs: Sequence[Job],
    kept: Path,
    watch: IterateCallback,
    what: str,
    snapshots: IterateSnapshots | None = None,
    elsewhere: MakeBatches | None = None,
) -> list[BatchRecord]:
    """Stylise ``jobs`` into ``kept``; batches already finished there are skipped.

    Args:
        method: any method of the bench.
        jobs: see ``list_jobs``.
        kept: folder of ``checkpoint_folder``: the pictures as ``<photo>.png``.
        watch: callback for every iterate of the batches processed now, in this process.
        what: label of the progress.
        snapshots: of an optimisation, written below ``kept`` as well.
        elsewhere: makes the batches, and their snapshots; None: this process.
    """
    plan = batches(jobs, method.batch)
    left = [n for n in range(len(plan)) if not _record(kept, n).is_file()]
    if len(left) < len(plan):
        done = len(plan) - len(left)
        log.info("%s: resumes, %d of %d batches are finished", what, done, len(plan))
    if not elsewhere:
        total = sum(method.steps(*size_of(plan[n][0].content)[::-1]) for n in left)
        for n, iterate in progress(_run(method, plan, left, kept, snapshots), total, what):
            watch(n, iterate)
    elif left:
        elsewhere({n: plan[n] for n in left}, kept, what)
    return [BatchRecord(**read_json(_record(kept, n))) for n in range(len(plan))]


def _run(
    method: Method[Any],
    plan: Sequence[Sequence[Job]],
    left: Sequence[int],
    kept: Path,
    snapshots: IterateSnapshots | None,
) -> Iterator[tuple[int, Iterate]]:
    for n in left:
        for iterate in run_batch(method, n, plan[n], kept, snapshots=snapshots):
            yield n, iterate


def run_batch(
    method: Method[Any],
    number: int,
    jobs: Sequence[Job],
    kept: Path,
    whose: str = "",
    snapshots: IterateSnapshots | None = None,
) -> Iterator[Iterate]:
    """Yield the iterates, then write the batch's pictures and, last, its record.

    ``whose`` is added to the device's name.
    """
    if snapshots:
        snapshots.begin(jobs, kept)
    curves = dict[str, list[float]]()
    content = images.load_batch([job.content for job in jobs])
    style = images.load_batch([job.style for job in jobs])
    seconds, began = 0.0, time.monotonic()
    try:
        for iterate in method.iterates(content, style):
            for name, loss in iterate.losses.items():
                curves.setdefault(name, []).append(loss.mean().item())
            seconds += time.monotonic() - began
            if snapshots:
                snapshots.take(jobs, iterate, kept)
            yield iterate
            began = time.monotonic()
    except UserError as error:  # a method knows indices in the batch, not names
        names = ", ".join(f"{n} {job.photo}" for n, job in enumerate(jobs))
        raise UserError(f"{error} (the batch: {names})") from None
    made = iterate.image.cpu()  # a GPU has finished only now
    seconds += time.monotonic() - began
    for job, image in zip(jobs, made, strict=True):
        if not image.isfinite().all():
            raise UserError(f"{job.photo}: its last step is not finite; lower the learning rate")
        images.save_png(image, kept / f"{job.photo}.png")
    device = device_name(str(iterate.image.device)) + whose
    photos = [job.photo for job in jobs]
    done = BatchRecord(photos, seconds, curves, device, peak_memory_mib())
    write_json(_record(kept, number), asdict(done))


def _record(kept: Path, number: int) -> Path:
    return kept / f"batch-{number:05d}.json"


def cost(records: Sequence[BatchRecord]) -> dict[str, Any]:
    """Return seconds per picture, peak memory and device of those who made the batches.

    Of several processes, seconds are one's and memory is the largest.
    """
    return {
        "seconds_per_picture": seconds_per_picture(records),
        "peak_memory_mib": max(record.peak_memory_mib for record in records),
        "device": "; ".join(sorted({record.device for record in records})),
    }


def write_outputs(jobs: Sequence[Job], kept: Path, out: Path) -> None:
    """Copy the finished pictures to the stage's output; ``kept`` remains until all is written."""
    out.mkdir(parents=True, exist_ok=True)
    for job in jobs:
        shutil.copyfile(kept / f"{job.photo}.png", out / f"{job.photo}.png")


def write_extras(method: Method[Any], jobs: Sequence[Job], kept: Path, out: Path) -> None:
    """Write the method's extra pictures of a few photographs: ``<title>/<row>/<column>.png``.

    The snapshots of an optimisation below ``kept`` are among them. The folder exists even when the
    method has none.
    """
    out.mkdir(parents=True, exist_ok=True)
    copy_snapshots(kept, out / SNAPSHOTS)
    few = batches(jobs, EXTRA_PHOTOS)[0]  # of one size
    content = images.load_batch([job.content for job in few])
    style = images.load_batch([job.style for job in few])
    for extra in method.extras([job.photo for job in few], content, style):
        images.save_png(extra.image, out / extra.title / extra.row / f"{extra.column}.png")


def seconds_per_picture(records: Sequence[BatchRecord]) -> float:
    """Return the mean over all batches but the first, which warms up, unless there is no other."""
    counted = records[1:] or records
    return sum(one.seconds for one in counted) / sum(len(one.photos) for one in counted)


def mean_curves(records: Sequence[BatchRecord]) -> dict[str, list[float]]:
    """Return curves averaged over all pictures, truncated to the shortest."""
    names = records[0].curves if records else {}
    weights = [len(record.photos) for record in records]
    return {
        name: [
            sum(w * v for w, v in zip(weights, values, strict=True)) / sum(weights)
            for values in zip(*(record.curves[name] for record in records), strict=False)
        ]
        for name in names
    }
