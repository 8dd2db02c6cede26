"""Any number of pictures through a pool of Ray actors, from and to folders or object stores.

Ray Data hands out names and collects errors; the pictures themselves never pass through Ray.
"""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import ray
import ray.data
import ray.util.client
from ray.util.annotations import RayDeprecationWarning

from atelier.cluster.embedded_set import Machines
from atelier.cluster.storage import find_files, find_pictures, local_copy, open_address, put
from atelier.cluster.vector_shards import Arguments, Embedder, Shard
from atelier.core import filenames, images
from atelier.core.config import UserError

BATCH = 8
"""Pictures that an actor takes at once: the work that is lost with it."""
BLOCK = 1024 * 1024
"""Bytes of Ray's blocks: they hold names only."""
MOST_BLOCKS = 5000
"""Blocks of rows that are much work each; by default there are 200, whose ends would be seen."""
RETRIES = 3
"""Number of times that rows are begun again whose actor was lost: they may be what kills it."""
HEAD = {"node:__internal_head__": 0.001}
"""The cluster's first node: others may be lost, and an actor that all uses of Ray Data share stays
on the node of the first."""
TAKE = 1.0
"""Seconds of results that a process outside of the cluster fetches at once."""

Row = dict[str, Any]

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
    _, pictures = find_pictures(source)
    _, folder, done = find_files(out)
    paths = [facts["name"] for facts in pictures.values()]
    names = [name or PurePosixPath(path).name for name, path in zip(pictures, paths, strict=True)]
    jobs = [
        Job(path, f"{folder}/{stem}-{label}.png")
        for path, stem in zip(paths, filenames.stems(names), strict=True)
    ]
    return [job for job in jobs if job.target not in done], len(jobs)


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
            made = Path(folder, ".made.png")
            try:
                self.make(local_copy(self.source, source, Path(folder)), made)
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
    files = (open_address(source)[0], open_address(out)[0])
    rows = [asdict(job) for job in jobs]
    for row in on_actors(Worker, (load, *files), rows, BATCH, workers):
        yield row["error"]


def on_actors(
    actor: type, arguments: tuple[Any, ...], rows: list[Row], batch: int, workers: int | None
) -> Iterator[Row]:
    """Yield what a pool of actors returns of rows, ``batch`` at a time; see ``make_pictures``.

    Where the nodes that remain have no room for a lost actor, its rows wait for another to end.

    Raises:
        UserError: the cluster has too few cores, or rows have lost one actor after another.
    """
    size, share = pool(ray.cluster_resources(), workers)
    call = (actor, arguments, rows, batch, min(size, -(-len(rows) // batch)), share)
    try:
        if not ray.util.client.ray.is_connected():
            yield from _mapped(*call)
            return
        inside = ray.remote(Inside).options(num_cpus=0, resources=HEAD).remote(*call)
        while found := ray.get(inside.take.remote()):
            yield from found
    except ray.exceptions.RayActorError:
        raise UserError(
            "workers were lost, perhaps for lack of memory; what is done is kept, and the same "
            "command makes the rest"
        ) from None


def _mapped(
    actor: type,
    arguments: tuple[Any, ...],
    rows: list[Row],
    batch: int,
    size: int,
    share: dict[str, float],
) -> Iterator[Row]:
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # its plan, and errors that it raises
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.target_max_block_size = BLOCK
    blocks = min(len(rows), MOST_BLOCKS) if batch == 1 else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RayDeprecationWarning)  # no other way to limit retries
        made = ray.data.from_items(rows, override_num_blocks=blocks).map_batches(
            actor,
            fn_constructor_args=arguments,
            batch_size=batch,
            compute=ray.data.ActorPoolStrategy(size=size),
            max_task_retries=RETRIES,
            **share,
        )
    yield from made.iter_rows()


class Inside:
    """Actor that uses Ray Data for a process outside of the cluster (``ray://``), which cannot."""

    def __init__(self, *call: Any) -> None:
        self.rows = _mapped(*call)

    def take(self) -> list[Row]:
        """Return the rows of the next seconds, at least one; none at the end."""
        found, end = list[Row](), time.monotonic() + TAKE
        for row in self.rows:
            found.append(row)
            if time.monotonic() > end:
                break
        return found


def machines(workers: int | None) -> Machines:
    """Return the cluster as what embeds sets of pictures; ``workers`` as of ``make_pictures``."""
    return Machines(partial(_embed, workers), _map)


def _embed(workers: int | None, arguments: Arguments, shards: Sequence[Shard]) -> Iterator[str]:
    rows = [asdict(shard) for shard in shards]
    for row in on_actors(Embedder, arguments, rows, 1, workers):
        yield row["error"]


def _map(function: Callable[[Any], Any], items: Sequence[Any]) -> Iterator[Any]:
    task = ray.remote(_call)
    try:
        yield from map(ray.get, [task.remote(function, item) for item in items])
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, UserError | OSError):
            raise UserError(str(error.cause)) from None
        raise


def _call(function: Callable[[Any], Any], item: Any) -> Any:
    return function(item)


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
