"""Workers of a stage without a cluster: this process, with copies as on another machine."""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from typing import Any

from atelier.core.config import UserError
from atelier.core.workers import Work


class OneWorker:
    """Makes pieces in the order given, and remembers their numbers; may end after ``most``."""

    def __init__(self, most: int = 1000) -> None:
        self.made: list[int] = []
        self.most = most

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def make(self, load: Callable[[], Work], pieces: Sequence[Any], kept: Path) -> Iterator[str]:
        work = _sent(load)()
        for piece in _sent(pieces):
            if len(self.made) == self.most:
                raise KeyboardInterrupt
            with TemporaryDirectory() as folder:
                yield self._one(work, piece, Path(folder), kept)

    def _one(self, work: Work, piece: Any, copies: Path, kept: Path) -> str:
        def local(paths: Sequence[Path]) -> list[Path]:
            own = Path(mkdtemp(dir=copies))
            return [
                Path(shutil.copy(path, own / f"{n}-{path.name}")) for n, path in enumerate(paths)
            ]

        try:
            work(piece, local, kept)
        except UserError as error:
            return str(error)
        self.made.append(piece[0])
        return ""


def _sent(thing: Any) -> Any:
    return pickle.loads(pickle.dumps(thing))  # noqa: S301 - ours
