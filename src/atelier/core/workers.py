"""Workers of a cluster that share a stage's pictures: ``cluster_workers`` in ``params.yaml``.

The work falls into pieces, each a function of its number and inputs that leaves files. No result
depends on who makes them, so the part of the package that knows clusters is found by name: it is
none of the code that DVC's stages depend on.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, TypeVar

from atelier.core.config import Params, UserError, limited

CONNECTION = "atelier.cluster.stage_workers"
"""Module whose ``connect`` yields the workers."""
ON_ONE_NODE = "ATELIER_ON_ONE_NODE"
"""Environment variable of stages that have no workers: other methods' occupy the cluster."""
Local = Callable[[Sequence[Path]], list[Path]]
"""Returns files on this machine with the content of files of the stage, which may be themselves."""
Work = Callable[[Any, Local, Path], None]
"""Makes a piece: takes the piece, ``Local`` and the folder for its files, of which the ``.json`` is
the last."""


T = TypeVar("T")


def localised(items: Sequence[T], local: Local, *fields: str) -> list[T]:
    """Return dataclasses whose ``fields``, files, are on this machine."""
    places = [local([getattr(item, field) for item in items]) for field in fields]
    return [
        replace(item, **dict(zip(fields, files, strict=True)))
        for item, *files in zip(items, *places, strict=True)
    ]


class Workers(Protocol):
    """Workers for the pieces of a stage."""

    def make(self, load: Callable[[], Work], pieces: Sequence[Any], kept: Path) -> Iterator[str]:
        """Make the files of pieces in ``kept``, in any order; yield for each why it failed, or "".

        Args:
            load: returns the work, in the worker; picklable.
            pieces: picklable.
            kept: folder below the working directory.
        """


@contextmanager
def workers_of(params: Params) -> Iterator[Workers | None]:
    """Yield the workers that the settings ask for, or None.

    Raises:
        UserError: there is no such cluster.
    """
    if not params.cluster_workers or ON_ONE_NODE in os.environ:
        yield None
        return
    with import_module(CONNECTION).connect(params.cluster_workers) as found:
        yield found


def refuse_gaps(ends: Iterator[str], pieces: int) -> None:
    """Take what ``Workers.make`` yields.

    Raises:
        UserError: some failed; the others are there when the stage is run again.
    """
    if errors := [error for error in ends if error]:
        known = list(dict.fromkeys(errors))
        missing = f"{len(errors)} of {pieces} parts are missing; the others are kept"
        raise UserError(limited([*known, missing]))
