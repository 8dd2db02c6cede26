"""``atelier mend``: repair of what a killed run or a bad disk leaves behind."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path

from atelier.core.process import dvc_at_work

RWLOCK, CACHE = Path(".dvc/tmp/rwlock"), Path(".dvc/cache/files/md5")
PARTS = ".*.tmp"
"""Names of files that DVC has not finished copying into its cache."""


def mend(root: Path) -> list[str]:
    """Repair what would stop DVC; yield a line about each repair.

    Quick, so that make and fan-out run it first: DVC's list of files in use, if truncated by a
    kill, and data whose replacement was interrupted.
    """
    from atelier.datasets.importer import recover  # noqa: PLC0415 - imports the code for pictures

    return [line for line in (_mend_rwlock(root), *recover(root)) if line]


def broken_rwlock(root: Path) -> str:
    """Return why DVC would refuse its list of files in use; "" if it is valid or missing.

    DVC itself drops the entries of processes that have ended, unless another process has got the
    number of one in the meantime, as after a restart: it would wait for that one.
    """
    path = root / RWLOCK
    try:
        text = path.read_text(encoding="utf-8")
        valid = isinstance(json.loads(text), dict)
    except FileNotFoundError:
        return ""
    except (OSError, ValueError):
        valid = False
    if not valid:
        return f"{path}: was truncated when DVC was killed"
    named = {int(number) for number in re.findall(r'"pid": (\d+)', text)}
    alive = {pid for pid in named if Path(f"/proc/{pid}").exists()}
    if others := alive - set(dvc_at_work(root) if alive else ()):
        return f"{path}: names process {min(others)}, which is not DVC any more"
    return ""


def _mend_rwlock(root: Path) -> str:
    reason = broken_rwlock(root)
    if not reason:
        return ""
    if running := dvc_at_work(root):
        numbers = ", ".join(map(str, running))
        return f"{reason}; left unchanged while DVC runs (process {numbers})"
    (root / RWLOCK).unlink()
    return f"{reason}; removed, as no DVC is running"


def mend_cache(root: Path) -> Iterator[str]:
    """Remove objects in DVC's cache that do not match their hash; yield a line about each.

    DVC trusts its cache: it would keep restoring a damaged object as up to date. What it was
    copying when it was killed or the disk was full has another name, and nothing else removes it.
    """
    if not dvc_at_work(root):
        for path in sorted((root / CACHE.parents[1]).rglob(PARTS)):
            path.unlink()
            yield f"{path}: left by an interrupted copy; removed"
    for path in sorted((root / CACHE).glob("??/*")):
        name = path.parent.name + path.name.removesuffix(".dir")
        if not re.fullmatch(r"[0-9a-f]{32}", name) or not path.is_file():
            continue
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "md5").hexdigest()
        if found != name:
            path.unlink()
            yield f"{path}: has changed since DVC stored it; removed"
