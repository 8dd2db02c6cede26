"""Sets of pictures as shards of vectors, made and read on this machine or on others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial, reduce
from operator import add
from typing import Any

import torch
from torch import Tensor

from atelier.cluster.storage import find_files
from atelier.cluster.vector_shards import (
    Arguments,
    Embedder,
    Embedding,
    Shard,
    name_of,
    read_shard,
)
from atelier.core.config import UserError
from atelier.metrics.embeddings import chunked
from atelier.metrics.statistics import Statistics
from atelier.tracking.progress import progress

SHARD = 256
"""Pictures of a shard: the work that is lost with a process."""
GROUP = 128
"""Shards whose statistics are added up in one task, so that the sum does not depend on workers."""
OnMessage = Callable[[str], None]
Pictures = tuple[Any, dict[str, dict[str, Any]]]
"""File system, and the details of every picture by its name."""


@dataclass(frozen=True)
class Machines:
    """Where work is done; ``ray_pictures.machines`` is a cluster."""

    embed: Callable[[Arguments, Sequence[Shard]], Iterator[str]]
    """Makes shards by ``Embedder``; yields for each why it failed, or ""."""
    map: Callable[[Callable[[Any], Any], Sequence[Any]], Iterator[Any]]
    """Calls a function with every item; yields the results in order."""


def _embed_here(arguments: Arguments, shards: Sequence[Shard]) -> Iterator[str]:
    embedder = Embedder(*arguments)
    for shard in shards:
        yield embedder({"pictures": [shard.pictures], "target": [shard.target]})["error"][0]


HERE = Machines(_embed_here, map)


@dataclass(frozen=True)
class EmbeddedSet:
    """A set of pictures whose vectors are in files."""

    store: Any
    targets: list[str]
    statistics: Statistics
    counts: list[int]
    """Numbers of vectors of the files."""

    def rows(self, wanted: Tensor, machines: Machines) -> Tensor:
        """Return the vectors of sorted row numbers of the whole set, (len(wanted), d)."""
        ends = torch.tensor(self.counts).cumsum(0)
        places = torch.searchsorted(ends, wanted, right=True)
        sizes = torch.bincount(places, minlength=len(ends)).tolist()
        starts = (ends - torch.tensor(self.counts)).tolist()
        tasks = [
            (target, part - start)
            for target, start, part in zip(
                self.targets, starts, torch.split(wanted, sizes), strict=True
            )
            if len(part)
        ]
        return torch.cat(list(machines.map(partial(_pick, self.store), tasks)))


def embed_set(
    pictures: Pictures, store: str, embedding: Embedding, machines: Machines, on_message: OnMessage
) -> EmbeddedSet:
    """Embed pictures but for the shards that are there already.

    Args:
        pictures: of ``find_pictures``.
        store: address of the folder for the vectors.
        embedding: of every picture.
        machines: where the work is done.
        on_message: callback for a message about every picture that cannot be read.

    Raises:
        UserError: the address cannot be read, or a shard failed; the others are there when the
            command is repeated.
    """
    files, found = pictures
    there, folder, done = find_files(store)
    parts = chunked(list(found.values()), SHARD)
    shards = [
        Shard([facts["name"] for facts in part], f"{folder}/{name_of(embedding, part)}")
        for part in parts
    ]
    missing = [shard for shard in shards if shard.target not in done]
    if missing:
        made = machines.embed((embedding, files, there), missing)
        errors = [error for error in progress(made, len(missing), "shards of vectors") if error]
        if errors:
            failed = f"{len(errors)} of {len(shards)} shards failed; repeat the command for them"
            raise UserError("\n".join([*errors, failed]))
    return _summed(there, [shard.target for shard in shards], machines, on_message)


def _summed(
    store: Any, targets: list[str], machines: Machines, on_message: OnMessage
) -> EmbeddedSet:
    counts = list[int]()

    def groups() -> Iterator[Statistics]:
        parts = chunked(targets, GROUP)
        for statistics, numbers, skipped in machines.map(partial(_sum, store), parts):
            counts.extend(numbers)
            for message in skipped:
                on_message(message)
            yield statistics

    return EmbeddedSet(store, targets, reduce(add, groups()), counts)


def _sum(store: Any, targets: Sequence[str]) -> tuple[Statistics, list[int], list[str]]:
    """Return statistics, numbers of vectors and messages about pictures of some shards."""
    counts, skipped = list[int](), list[str]()

    def each() -> Iterator[Statistics]:
        for target in targets:
            vectors, messages = read_shard(store, target)
            counts.append(len(vectors))
            skipped.extend(messages)
            yield Statistics.of(vectors)

    return reduce(add, each()), counts, skipped


def _pick(store: Any, task: tuple[str, Tensor]) -> Tensor:
    target, rows = task
    return read_shard(store, target)[0][rows]
