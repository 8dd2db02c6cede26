"""Apply a method to the test photographs, batch by batch, so that a stopped run goes on.

A finished batch is kept below ``.checkpoints``, outside DVC's outputs (which DVC deletes before a
stage runs): its PNGs first, its record last. Only a batch with a record counts.
"""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from PIL import Image

from atelier.core import images
from atelier.core.config import UserError
from atelier.core.pairing import Pairing
from atelier.core.files import atomic, read_json, write_json
from atelier.methods.base import Iterate, Method
from atelier.tracking.progress import progress

CHECKPOINTS = Path(".checkpoints")
CODE = (
    "atelier.methods",
    "atelier.nn",
    "atelier.nn.losses",
    "atelier.engine.loop",
    "atelier.core.batches",
    "atelier.methods.zsn2n",
    "atelier.nn.zsn2n",
)
"""Modules whose text decides what a picture looks like."""

EXTRA_PHOTOS = 2
"""Photographs that a method draws extra pictures of, such as strips of strengths."""

Watch = Callable[[int, Iterate], None]
"""Called with the batch's number and each of its iterates."""


@dataclass(frozen=True)
class Job:
    """One test photograph and the painting it is paired with."""

    photo: str
    content: Path
    style: Path


@dataclass(frozen=True)
class BatchRecord:
    """What is known of a finished batch."""

    photos: list[str]
    seconds: float
    curves: dict[str, list[float]]
    """Loss → its mean over the batch at every step."""


def list_jobs(prepared: Path) -> list[Job]:
    """One job per pair written by ``prepare``, in the order of the photographs."""
    pairs = Pairing.read(prepared / "pairing.json").styles
    photos, paintings = prepared / "photos/test", prepared / "paintings"
    return [Job(p, photos / f"{p}.png", paintings / s) for p, s in sorted(pairs.items())]


def batches(jobs: Sequence[Job], size: int) -> list[list[Job]]:
    """Jobs in batches of at most ``size`` whose pictures have one size (fit keeps the aspect)."""

    def shape(job: Job) -> tuple[int, ...]:
        return (*size_of(job.content), *size_of(job.style))

    groups = [list(group) for _, group in groupby(sorted(jobs, key=shape), key=shape)]
    return [group[i : i + size] for group in groups for i in range(0, len(group), size)]


def size_of(path: Path) -> tuple[int, int]:
    """Width and height of a picture, without decoding it."""
    with Image.open(path) as image:  # the header only
        return image.size


def stylize(
    method: Method, jobs: Sequence[Job], kept: Path, watch: Watch, what: str
) -> list[BatchRecord]:
    """Stylise ``jobs`` into ``kept``; what lies there finished is not done again.

    Args:
        method: any method of the bench.
        jobs: see ``list_jobs``.
        kept: folder of ``checkpoint_folder``: the pictures as ``<photo>.png``.
        watch: sees every iterate of the batches done now.
        what: the name shown with the progress.
    """
    plan = batches(jobs, method.batch)
    left = [n for n in range(len(plan)) if not _record(kept, n).is_file()]
    if len(left) < len(plan):
        print(f"{what}: {len(plan) - len(left)} of {len(plan)} batches are there already")
    total = sum(method.steps(*size_of(plan[n][0].content)[::-1]) for n in left)
    for n, iterate in progress(_run(method, plan, left, kept), total, what):
        watch(n, iterate)
    return [BatchRecord(**read_json(_record(kept, n))) for n in range(len(plan))]


def _run(
    method: Method, plan: Sequence[Sequence[Job]], left: Sequence[int], kept: Path
) -> Iterator[tuple[int, Iterate]]:
    for n in left:
        for iterate in _run_batch(method, plan[n], kept, _record(kept, n)):
            yield n, iterate


def _run_batch(method: Method, jobs: Sequence[Job], kept: Path, record: Path) -> Iterator[Iterate]:
    """Pass the iterates through, then write the batch's pictures and, last, its record."""
    began, curves = time.monotonic(), dict[str, list[float]]()
    content = images.load_batch([job.content for job in jobs])
    style = images.load_batch([job.style for job in jobs])
    try:
        for iterate in method.iterates(content, style):
            for name, loss in iterate.losses.items():
                curves.setdefault(name, []).append(loss.mean().item())
            yield iterate
    except UserError as error:  # a method knows places in the batch, not names
        names = ", ".join(f"{n} {job.photo}" for n, job in enumerate(jobs))
        raise UserError(f"{error} (the batch: {names})") from None
    for job, image in zip(jobs, iterate.image, strict=True):
        if not image.isfinite().all():
            raise UserError(f"{job.photo}: its last step is not finite; lower the learning rate")
        images.save_png(image, kept / f"{job.photo}.png")
    done = BatchRecord([job.photo for job in jobs], time.monotonic() - began, curves)
    write_json(record, asdict(done))


def _record(kept: Path, number: int) -> Path:
    return kept / f"batch-{number:05d}.json"


def deliver(jobs: Sequence[Job], kept: Path, out: Path) -> None:
    """Copy the finished pictures to the stage's output; ``kept`` stays until all is written."""
    out.mkdir(parents=True, exist_ok=True)
    for job in jobs:
        shutil.copyfile(kept / f"{job.photo}.png", out / f"{job.photo}.png")


def write_extras(method: Method, jobs: Sequence[Job], out: Path) -> None:
    """Write the method's extra pictures of a few photographs: ``<title>/<row>/<column>.png``.

    The folder is there even when the method has none.
    """
    out.mkdir(parents=True, exist_ok=True)
    few = batches(jobs, EXTRA_PHOTOS)[0]  # of one size
    content = images.load_batch([job.content for job in few])
    style = images.load_batch([job.style for job in few])
    for extra in method.extras([job.photo for job in few], content, style):
        images.save_png(extra.image, out / extra.title / extra.row / f"{extra.column}.png")


def drop(kept: Path) -> None:
    """Remove a checkpoint whose result is written."""
    shutil.rmtree(kept, ignore_errors=True)


def checkpoint_folder(name: str, key: Mapping[str, Any]) -> Path:
    """Folder for the resumable state of ``name`` under the parameters, data and code in ``key``.

    State of the same name under another key is dropped: it can never be continued.
    """
    text = json.dumps({**key, "code": code_digest()}, sort_keys=True, default=str)
    folder = CHECKPOINTS / f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    for old in CHECKPOINTS.glob(f"{name}-{'?' * 16}"):
        if old != folder:
            shutil.rmtree(old, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def code_digest() -> str:
    """SHA-256 over the loaded modules that decide what a picture looks like."""
    total = hashlib.sha256()
    for name in sorted(name for name in sys.modules if name.startswith(CODE)):
        source = sys.modules[name].__file__
        if source:
            total.update(Path(source).read_bytes())
    return total.hexdigest()


def mean_curves(records: Sequence[BatchRecord]) -> dict[str, list[float]]:
    """Curves averaged over all pictures; a shorter one (another size) ends the average."""
    names = records[0].curves if records else {}
    weights = [len(record.photos) for record in records]
    return {
        name: [
            sum(w * v for w, v in zip(weights, values, strict=True)) / sum(weights)
            for values in zip(*(record.curves[name] for record in records), strict=False)
        ]
        for name in names
    }


def write_curves(
    curves: Mapping[str, Sequence[float]], path: Path, steps: Sequence[int] | None = None
) -> None:
    """Losses by step as CSV, for ``dvc plots``; a feed-forward method has none, only the header.

    ``steps`` are the places of the points; 1, 2, … by default.
    """
    steps = steps or range(1, len(next(iter(curves.values()), [])) + 1)
    rows = [[step, *(curve[n] for curve in curves.values())] for n, step in enumerate(steps)]
    with atomic(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["step", *curves], *rows])
