"""Copies of a method's checkpoints at an address that all nodes reach, so that another can resume.

Addresses are fsspec's: a folder on shared storage, ``s3://…`` and others of DVC's.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, suppress
from itertools import chain
from pathlib import Path

from atelier.cluster.periodic import every
from atelier.cluster.storage import PART, open_address, put
from atelier.core.config import UserError
from atelier.reports.parameters import STAGES

CHECKPOINTS = Path(".checkpoints")
ADDRESS = "ATELIER_CHECKPOINTS"
"""Environment variable for the address."""
SECONDS = 0.5
"""Interval between two comparisons with the local folder."""
Stamp = tuple[int, int]
"""Size and time of the last change: files are written once, under their final names."""


class Mirror:
    """Checkpoints of ``method`` in ``workspace`` and their copies below ``address``.

    The folders' names are digests of settings, data and code: projects may share an address.

    Raises:
        UserError: fsspec does not know the address.
    """

    def __init__(self, address: str, workspace: Path, method: str) -> None:
        try:
            self.files, self.base = open_address(address)
        except UserError as error:
            raise UserError(f"{ADDRESS}={error}") from None
        if "://" not in address and not Path(address).is_absolute():
            raise UserError(f"{ADDRESS}={address}: give an absolute path, or an address")
        self.local = workspace / CHECKPOINTS
        names = [f"{stage}-{method}{phase}" for stage in STAGES for phase in ("", "+[1-9]")]
        self.patterns = [f"{name}-{'[0-9a-f]' * 16}" for name in names]
        self.copied: dict[str, Stamp] = {}
        self.own: set[str] = set()

    def fetch(self) -> None:
        """Copy what is there to the workspace.

        Raises:
            OSError: and others of the file system's: it cannot be read.
        """
        self.files.invalidate_cache()
        for pattern in self.patterns:
            for folder in self.files.glob(f"{self.base}/{pattern}"):
                for path in self.files.find(folder):
                    if not path.endswith(PART):
                        self._get(path, folder.rpartition("/")[2] + path[len(folder) :])

    def update(self) -> None:
        """Copy files that are new or have changed, and delete copies of those that are gone.

        Only in folders that this mirror has written to: others may be another project's. While
        files are replaced by newer ones nothing is deleted: the copies are the newest there are.
        """
        there, whole = self._local_files(), True
        for name in sorted(there, key=lambda name: there[name][1]):  # a record after its pictures
            if self.copied.get(name) != there[name]:
                try:
                    self._put(name)
                    self.copied[name] = there[name]
                except FileNotFoundError:
                    whole = False
        for name in set(self.copied) - set(there) if whole else ():
            if name.partition("/")[0] in self.own:
                with suppress(FileNotFoundError):
                    self.files.rm_file(f"{self.base}/{name}")
            del self.copied[name]

    def _local_files(self) -> dict[str, Stamp]:
        found = {}
        for pattern in self.patterns:
            for path in chain.from_iterable(map(_complete, self.local.glob(pattern))):
                with suppress(FileNotFoundError):
                    found[path.relative_to(self.local).as_posix()] = _stamp(path)
        return found

    def _get(self, path: str, name: str) -> None:
        (self.local / name).parent.mkdir(parents=True, exist_ok=True)
        self.files.get_file(path, str(self.local / name))
        self.copied[name] = _stamp(self.local / name)

    def _put(self, name: str) -> None:
        self.own.add(name.partition("/")[0])
        put(self.files, self.local / name, f"{self.base}/{name}")

    def following(self) -> AbstractContextManager[None]:
        """Update every ``SECONDS``, and once more at the end."""
        return every(SECONDS, self._try)

    def _try(self) -> None:
        """Update; storage that is away for a while must not end a training."""
        try:
            self.update()
        except Exception as error:  # noqa: BLE001 - each file system has errors of its own
            logging.getLogger(__name__).warning("%s: %s; tries again", self.base, error)


def _complete(folder: Path) -> Iterator[Path]:
    """Yield the files below a folder, parts of which may vanish; hidden ones are not complete."""
    for place, folders, names in os.walk(folder):  # unlike rglob it passes over what has vanished
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(place, name) for name in names if not name.startswith("."))


def _stamp(path: Path) -> Stamp:
    state = path.stat()
    return state.st_size, state.st_mtime_ns
