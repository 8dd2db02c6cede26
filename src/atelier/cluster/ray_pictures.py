"""Any number of pictures through a pool of Ray actors, from and to folders or object stores.

Ray Data hands out names and collects errors; the pictures themselves never pass through Ray.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import ray
import ray.data

from atelier.cluster.storage import open_address, put
from atelier.core import filenames, images
from atelier.core.config import UserError
from atelier.core.decoders import SUFFIXES

BATCH = 8
"""Pictures that an actor takes at once: the work that is lost with it."""
BLOCK = 1024 * 1024
"""Bytes of Ray's blocks: they hold names only."""

Make = Callable[[Path, Path], None]
"""Makes a picture from a picture; both are local files."""


@dataclass(frozen=True)
class Job:
    """A picture and its result, as paths of their file systems."""

    source: str
    target: str


def find_jobs(source: str, out: str, label: str) -> tuple[list[Job], int]:
    """Return the pictures without a result, and the number of all.

    Results are called ``<name>-<label>.png``, as without Ray.

    Args:
        source: address of a folder, or of one picture.
        out: address of the folder for the results.
        label: name of the method.

    Raises:
        UserError: there is no picture, or an address cannot be read.
    """
    files, base = open_address(source)
    there, folder = open_address(out)
    try:
        names = _pictures(files, base)
        done = set(there.find(folder)) if there.exists(folder) else set()
    except OSError as error:
        raise UserError(f"{source}: cannot be read: {error}") from None
    if not names:
        raise UserError(f"{source}: holds no picture")
    stems = filenames.stems([name or PurePosixPath(base).name for name in names])
    jobs = [
        Job(f"{base}/{name}" if name else base, f"{folder}/{stem}-{label}.png")
        for name, stem in zip(names, stems, strict=True)
    ]
    return [job for job in jobs if job.target not in done], len(jobs)


def _pictures(files: Any, base: str) -> list[str]:
    """Return the names below ``base``, sorted; "" where it is a file itself."""
    if files.isfile(base):
        return [""]
    if not files.exists(base):
        raise UserError(f"{base}: no such file or folder")
    found = (path.removeprefix(base).lstrip("/") for path in files.find(base))
    return sorted(
        name
        for name in found
        if PurePosixPath(name).suffix.lower() in SUFFIXES
        and not any(part.startswith(".") for part in name.split("/"))
    )


class Worker:
    """Actor that makes pictures."""

    def __init__(self, load: Callable[[], Make], source: Any, out: Any) -> None:
        self.make, self.source, self.out = load(), source, out

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Make the pictures of jobs; return their sources, and what failed: "" if nothing."""
        pairs = zip(batch["source"], batch["target"], strict=True)
        errors = [self._one(str(source), str(target)) for source, target in pairs]
        return {"source": batch["source"], "error": np.array(errors, dtype=object)}

    def _one(self, source: str, target: str) -> str:
        with TemporaryDirectory() as folder:
            local, made = Path(folder, PurePosixPath(source).name), Path(folder, ".made.png")
            try:
                self.source.get_file(source, str(local))
                self.make(local, made)
                put(self.out, made, target)
            except images.ImageError as error:
                return f"{source}: {error.reason}"
            except (UserError, OSError) as error:
                return f"{source}: {error}"
        return ""


def make_pictures(
    jobs: Sequence[Job], load: Callable[[], Make], source: str, out: str, workers: int | None
) -> Iterator[str]:
    """Make pictures on the cluster; yield for each why it failed, or "".

    A lost actor's pictures are made again by another.

    Args:
        jobs: of ``find_jobs``.
        load: returns what makes a picture, in the actor; picklable.
        source: address of the pictures.
        out: address of the results.
        workers: number of actors; default: one per GPU, or one per core. With more actors than
            GPUs, they share them.
    """
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.target_max_block_size = BLOCK
    size, share = pool(ray.cluster_resources(), workers)
    files = (open_address(source)[0], open_address(out)[0])
    rows = ray.data.from_items([asdict(job) for job in jobs]).map_batches(
        Worker,
        fn_constructor_args=(load, *files),
        batch_size=BATCH,
        compute=ray.data.ActorPoolStrategy(size=min(size, -(-len(jobs) // BATCH))),
        **share,
    )
    for row in rows.iter_rows():
        yield row["error"]


def pool(resources: dict[str, float], workers: int | None) -> tuple[int, dict[str, float]]:
    """Return the number of actors, and the share of a GPU or the core that each asks for.

    Raises:
        UserError: the cluster has fewer cores than ``workers``, or none.
    """
    gpus, cores = resources.get("GPU", 0), int(resources.get("CPU", 0))
    size = workers or int(gpus) or cores
    if gpus:
        return size, {"num_gpus": min(1.0, gpus / size)}
    if size > cores or not cores:
        raise UserError(f"{size} workers: the cluster has {cores} cores and no GPU")
    return size, {"num_cpus": 1}
