"""A stage's pieces of work on a pool of Ray actors, whose files come to the stage's folder."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from atelier.cluster.ray_folders import marked_folder
from atelier.cluster.ray_pictures import on_actors
from atelier.core.config import UserError
from atelier.core.device import out_of_memory
from atelier.core.files import atomic, how_to_restore
from atelier.core.images import ImageError
from atelier.core.workers import Local, Work
from atelier.tracking.stage import MEMORY

RECORD = ".json"
"""Suffix of the file that is written last: it says that a piece is complete."""


@dataclass(frozen=True)
class Home:
    """The stage's working directory, as seen from a worker: a shared one, or another machine's."""

    node: str
    """Id of its node."""
    folder: Path
    mark: str
    """Name of a file there: who sees it shares the folder."""

    @property
    def shared(self) -> bool:
        """Return whether this machine shares the folder."""
        return (self.folder / self.mark).is_file()

    @contextmanager
    def files(self, kept: Path) -> Iterator[tuple[Local, dict[Path, Path], Path]]:
        """Yield how to get files, the names by which the stage knows them, and a folder to write.

        What is written there is in ``kept`` of the stage at the end.
        """
        names = dict[Path, Path]()
        if self.shared:

            def own(paths: Sequence[Path]) -> list[Path]:
                names.update({self.folder / path: path for path in paths})
                return [self.folder / path for path in paths]

            yield own, names, self.folder / kept
            return
        with TemporaryDirectory() as place:
            copies, out = Path(place, "in"), Path(place, "out")
            out.mkdir()

            def fetched(paths: Sequence[Path]) -> list[Path]:
                return self._fetch(paths, copies, names)

            yield fetched, names, out
            files = (path for path in out.rglob("*") if path.is_file())
            made = {str(path.relative_to(out)): path.read_bytes() for path in files}
            ray.get(self._there(_write).remote(self.folder / kept, made))

    def _fetch(self, paths: Sequence[Path], copies: Path, names: dict[Path, Path]) -> list[Path]:
        copies.mkdir(exist_ok=True)
        missing = list(dict.fromkeys(path for path in paths if path not in names.values()))
        found = ray.get(self._there(_read).remote([self.folder / path for path in missing]))
        for path, content in zip(missing, found, strict=True):
            copy = copies / f"{len(names)}{path.suffix}"
            names[copy] = path
            if content is not None:
                copy.write_bytes(content)
        known = {path: copy for copy, path in names.items()}
        return [known[path] for path in paths]

    def _there(self, call: Any) -> Any:
        """Return a function as a task on the stage's node."""
        where = NodeAffinitySchedulingStrategy(self.node, soft=False)
        return ray.remote(call).options(num_cpus=0, scheduling_strategy=where)


@contextmanager
def here() -> Iterator[Home]:
    """Yield the working directory of this process."""
    with marked_folder() as mark:
        yield Home(ray.get_runtime_context().get_node_id(), Path.cwd(), mark)


def _read(paths: Sequence[Path]) -> list[bytes | None]:
    return [path.read_bytes() if path.is_file() else None for path in paths]


def _write(folder: Path, files: dict[str, bytes]) -> None:
    for name in sorted(files, key=lambda name: name.endswith(RECORD)):
        with atomic(folder / name) as part:
            part.write_bytes(files[name])


class PieceWorker:
    """Actor that makes pieces; it loads what it needs once, for its first one."""

    def __init__(self, load: Callable[[], Work], home: Home, kept: Path) -> None:
        self.load, self.home, self.kept = load, home, kept
        self.work: Work | None = None

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Make pieces; return why each failed, or "", and the picture that is to blame, if any."""
        ends = [self.end_of(pickle.loads(piece)) for piece in batch["piece"]]  # noqa: S301 - ours
        errors, pictures = (np.array(column, dtype=object) for column in zip(*ends, strict=True))
        return {"error": errors, "picture": pictures}

    def end_of(self, piece: Any) -> tuple[str, str]:
        """Make one; return why that failed, or "", and the picture that is to blame, or ""."""
        names = dict[Path, Path]()
        try:
            self.work = self.work or self.load()
            with self.home.files(self.kept) as (local, names, out):
                self.work(piece, local, out)
        except ImageError as error:
            return error.reason, str(names.get(error.path, error.path))
        except (UserError, OSError) as error:
            return str(error), ""
        except Exception as error:
            if out_of_memory(error):
                return MEMORY, ""
            raise
        return "", ""


@dataclass(frozen=True)
class RayWorkers:
    """``core.workers.Workers`` on the cluster that this process is connected to."""

    count: int
    home: Home

    def make(self, load: Callable[[], Work], pieces: Sequence[Any], kept: Path) -> Iterator[str]:
        """Make the pieces' files; a lost actor's are made again by another."""
        rows = [{"piece": pickle.dumps(piece)} for piece in pieces]
        for row in on_actors(PieceWorker, (load, self.home, kept), rows, 1, self.count):
            path = Path(row["picture"])
            named = f"{path}: {row['error']}; {how_to_restore(path)}"
            yield named if row["picture"] else row["error"]
