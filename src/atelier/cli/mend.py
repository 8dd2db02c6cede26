"""``atelier mend``: what a killed run or a bad disk leaves and nobody else puts right."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path

from atelier.core.process import dvc_at_work

RWLOCK, CACHE = Path(".dvc/tmp/rwlock"), Path(".dvc/cache/files/md5")


def mend(root: Path) -> list[str]:
    """Put right what stands in DVC's way; a line about each thing done.

    Quick, and done before every run: DVC's list of files in use that was cut off by a kill, and
    data whose replacement was.
    """
    from atelier.datasets.importer import recover  # noqa: PLC0415 - brings the pictures' code

    return [line for line in (_mend_rwlock(root), *recover(root)) if line]


def broken_rwlock(root: Path) -> str:
    """Return why DVC would refuse its list of files in use; "" when it is sound or not there."""
    path = root / RWLOCK
    try:
        if isinstance(json.loads(path.read_text(encoding="utf-8")), dict):
            return ""
    except FileNotFoundError:
        return ""
    except (OSError, ValueError):
        pass
    return f"{path}: was cut off when DVC was killed"


def _mend_rwlock(root: Path) -> str:
    reason = broken_rwlock(root)
    if not reason:
        return ""
    if running := dvc_at_work(root):
        numbers = ", ".join(map(str, running))
        return f"{reason}; it is left alone while DVC runs (process {numbers})"
    (root / RWLOCK).unlink()
    return f"{reason}; removed, no DVC runs here"


def mend_cache(root: Path) -> Iterator[str]:
    """Remove what in DVC's cache is not what its name says; a line about each.

    DVC believes its cache: it would go on handing out a changed object as up to date.
    """
    for path in sorted((root / CACHE).glob("??/*")):
        name = path.parent.name + path.name.removesuffix(".dir")
        if not re.fullmatch(r"[0-9a-f]{32}", name) or not path.is_file():
            continue
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "md5").hexdigest()
        if found != name:
            path.unlink()
            yield f"{path}: has changed since DVC kept it; removed"
