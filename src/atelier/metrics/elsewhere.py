"""Evaluation of one method's pictures by the workers of a cluster, in shards that are kept.

A shard is a run of consecutive batches. Its values and vectors are those of one process, so that
everything that is computed of all of them together is the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from atelier.core.config import Params
from atelier.core.device import pick_device
from atelier.core.fingerprint import closure, code_digest
from atelier.core.records import digest_of
from atelier.core.resume import checkpoint_folder
from atelier.core.workers import Local, Work, Workers, localised, refuse_gaps
from atelier.metrics.embeddings import chunked
from atelier.metrics.evaluator import Evaluator, Reference
from atelier.metrics.pairwise import Pair
from atelier.metrics.tensor_file import load_with_digest, save_with_digest
from atelier.tracking.progress import progress

BATCHES = 16
"""Batches of a shard."""
VECTORS = "vectors"
"""Name of the vectors in a shard's file, beside those of the values."""


@dataclass(frozen=True)
class Elsewhere:
    """Workers that measure, each with the networks in memory."""

    workers: Workers
    params: Params
    evaluator: Evaluator
    """On the CPU: a worker moves it to its device."""
    reference: Reference

    def measure(self, pairs: Sequence[Pair], kept: Path) -> tuple[dict[str, Tensor], Tensor]:
        """Return what ``pairwise.set_values`` does of one set; shards in ``kept`` are used.

        Raises:
            UserError: some shards failed; the others are in ``kept``.
        """
        shards = chunked(pairs, BATCHES * self.evaluator.batch)
        paths = [kept / _name(number) for number in range(len(shards))]
        missing = [one for one in enumerate(shards) if not paths[one[0]].is_file()]
        made = self.workers.make(self._load, missing, kept)
        if missing:
            refuse_gaps(progress(made, len(missing), "content and style, shards"), len(shards))
        found = [load_with_digest(path, f"remove it and run again: {path}")[0] for path in paths]
        common = set(found[0]).intersection(*found)
        joined = {key: torch.cat([one[key] for one in found]) for key in sorted(common)}
        return joined, joined.pop(VECTORS)

    def _load(self) -> Work:
        device = pick_device(self.params)
        return _Shards(self.evaluator.to(device), self.reference)


@dataclass(frozen=True)
class _Shards:
    evaluator: Evaluator
    reference: Reference

    def __call__(self, piece: tuple[int, Sequence[Pair]], local: Local, out: Path) -> None:
        """Measure a shard, given by its number and pairs."""
        number, pairs = piece
        own = localised(pairs, local, "picture", "photo")
        ((values, vectors),) = self.evaluator.measure(self.reference, [own])
        save_with_digest({**values, VECTORS: vectors}, out / _name(number), {})


def _name(number: int) -> str:
    return f"shard-{number:05d}.safetensors"


def shards_folder(what: str, evaluator: Evaluator, pairs: Sequence[Pair], reference: Path) -> Path:
    """Return the folder for the shards of a method's pictures.

    Args:
        what: kind of the pictures and name of the method.
        evaluator: the networks.
        pairs: the pictures.
        reference: file of what they are compared with.
    """
    files = [path for pair in pairs for path in (pair.picture, pair.photo)]
    key = {
        "networks": evaluator.names(),
        "batch": [evaluator.batch, BATCHES],
        "pairs": [(pair.picture.name, pair.painting) for pair in pairs],
        "files": digest_of(path for path in (*files, reference) if path.is_file()),
    }
    code = code_digest(closure(*Path(__file__).parent.glob("*.py")))
    return checkpoint_folder(f"evaluate-{what}", key, code)
