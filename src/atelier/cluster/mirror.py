"""Copies of a method's checkpoints at an address that all nodes reach, so that another can resume.

Addresses are fsspec's: a folder on shared storage, ``s3://…`` and others of DVC's.
"""

from __future__ import annotations

import logging
from contextlib import AbstractContextManager, suppress
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
            for path in self.files.glob(f"{self.base}/{pattern}/*"):
                if not path.endswith(PART):
                    name = "/".join(path.split("/")[-2:])
                    (self.local / name).parent.mkdir(parents=True, exist_ok=True)
                    self.files.get_file(path, str(self.local / name))
                    self.copied[name] = _stamp(self.local / name)

    def update(self) -> None:
        """Copy files that are new or have changed, and delete copies of those that are gone.

        Only in folders that this mirror has written to: others may be another project's.
        """
        there = self._local_files()
        for name in sorted(there, key=lambda name: there[name][1]):  # a record after its pictures
            if self.copied.get(name) != there[name]:
                with suppress(FileNotFoundError):  # replaced by a newer one meanwhile
                    self._put(name)
                    self.copied[name] = there[name]
        for name in set(self.copied) - set(there):
            if name.partition("/")[0] in self.own:
                with suppress(FileNotFoundError):
                    self.files.rm_file(f"{self.base}/{name}")
            del self.copied[name]

    def _local_files(self) -> dict[str, Stamp]:
        found = {}
        for pattern in self.patterns:
            for path in self.local.glob(f"{pattern}/[!.]*"):  # hidden ones are not complete
                with suppress(FileNotFoundError):
                    found[str(path.relative_to(self.local))] = _stamp(path)
        return found

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


def _stamp(path: Path) -> Stamp:
    state = path.stat()
    return state.st_size, state.st_mtime_ns
