"""Batches of a stylisation made by the workers of a cluster."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from atelier.core.config import Params, UserError
from atelier.core.device import pick_device
from atelier.core.pairing import Job
from atelier.core.paths import CARD, WEIGHTS
from atelier.core.workers import Local, Work, Workers, localised, refuse_gaps
from atelier.engine.snapshots import IterateSnapshots
from atelier.engine.stylize import run_batch
from atelier.methods.base import Method, make
from atelier.methods.trained import restore
from atelier.tracking.progress import progress

WHOSE = ", each of the cluster's workers"
"""Added to the name of a worker's device, whose are the seconds and the memory beside it."""
Build = Callable[[str], Method[Any]]
"""Returns a method on a device; picklable."""


@dataclass(frozen=True)
class SavedMethod:
    """A method's settings and weights, of which it is built where it is needed."""

    params: Params
    name: str
    block: Mapping[str, Any]
    files: Mapping[str, bytes]

    @classmethod
    def read(cls, params: Params, name: str, block: Mapping[str, Any], model: Path) -> SavedMethod:
        """Read the method ``name`` with the settings ``block`` and the weights below ``model``."""
        paths = [path for path in (model / CARD, model / WEIGHTS) if path.is_file()]
        return cls(params, name, block, {path.name: path.read_bytes() for path in paths})

    def __call__(self, device: str) -> Method[Any]:
        """Build it on ``device``."""
        places, seed = self.params.places(self.name), self.params.seed
        where = f"methods.{self.name}"
        method = make(self.block, where, seed=seed, device=device, places=places)
        with TemporaryDirectory() as folder:
            for file, content in self.files.items():
                Path(folder, file).write_bytes(content)
            restore(method, Path(folder))
        return method


@dataclass(frozen=True)
class Elsewhere:
    """Workers that make batches, each with the method in memory."""

    workers: Workers
    params: Params
    build: Build
    card: Mapping[str, Any]
    """The method's, as it is built here."""
    snapshots: IterateSnapshots | None = None
    """Of an optimisation; the workers write them."""

    def make(self, plan: Mapping[int, Sequence[Job]], kept: Path, what: str) -> None:
        """Make batches by number.

        Raises:
            UserError: some failed; the others are in ``kept``.
        """
        unseen = self.snapshots and replace(self.snapshots, show=_nothing)
        load = replace(self, snapshots=unseen)._load
        made = self.workers.make(load, list(plan.items()), kept)
        refuse_gaps(progress(made, len(plan), f"{what}, batches"), len(plan))

    def _load(self) -> Work:
        method = self.build(pick_device(self.params))
        if (card := method.card()) != dict(self.card):
            raise UserError(
                f"a worker of the cluster differs from this machine: {card}, here {self.card}; "
                "name the precision that `auto` stands for, or use workers of one kind"
            )
        return _Batches(method, self.snapshots)


def _nothing(*_: Any) -> None:
    """Show no snapshot: the run in MLflow is the stage's."""


@dataclass(frozen=True)
class _Batches:
    method: Method[Any]
    snapshots: IterateSnapshots | None

    def __call__(self, piece: tuple[int, Sequence[Job]], local: Local, out: Path) -> None:
        """Make a batch, given by its number and jobs."""
        number, jobs = piece
        own = localised(jobs, local, "content", "style")
        for _ in run_batch(self.method, number, own, out, WHOSE, self.snapshots):
            pass
