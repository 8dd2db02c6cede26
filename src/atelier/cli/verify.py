"""``atelier verify``: do the results here equal those that were committed, and if not, how nearly.

DVC says which tracked outputs have another hash than the committed ``dvc.lock`` records. What they
were is brought by DVC, too, into a clone of the last commit: from the cache, else from a remote.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from configparser import ConfigParser
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from atelier.core.config import UserError
from atelier.core.difference import BYTES, NUMBERS, PICTURES, TENSORS, Difference, difference
from atelier.core.paths import RESULTS

LOST = "differs; what was recorded is neither in DVC's cache nor in a remote"
GONE = "is missing; `dvc checkout` brings it if the cache has it, else `dvc repro`"
NEW = "is not recorded in the commit"
PLACE, PIPELINE = Path(".checkpoints"), "dvc.yaml"
DVC = (sys.executable, "-m", "dvc")


def verify(root: Path) -> Iterator[str]:
    """Return a line for every tracked output that differs from what the last commit records.

    Raises:
        UserError: DVC or git cannot say.
    """
    changed = _changed(root)
    for path in sorted(path for path, how in changed.items() if how != "modified"):
        yield f"{path}: {GONE if changed[path] == 'deleted' else NEW}"
    names = sorted(path for path, how in changed.items() if how == "modified")
    (root / PLACE).mkdir(exist_ok=True)
    with TemporaryDirectory(dir=root / PLACE, prefix="verify-") as place:
        clone = Path(place, "recorded")
        tracked = _bring(root, names, clone)
        for name in [*names, *tracked]:
            lines = list(_compared(clone / name, root / name, name))
            yield from lines


def _changed(root: Path) -> dict[str, str]:
    """Tracked output → ``modified``, ``added`` or ``deleted`` since the last commit."""
    status = json.loads(_run(root, *DVC, "data", "status", "--json"))
    found: dict[str, str] = {}
    for part in ("committed", "uncommitted"):
        for how, paths in status.get(part, {}).items():
            if how in {"modified", "added", "deleted"}:
                found |= {p.rstrip("/"): how for p in paths if p.startswith(f"{RESULTS}/")}
    return found


def _bring(root: Path, names: Sequence[str], clone: Path) -> list[str]:
    """Put the last commit's outputs into ``clone``; return those that git tracks and differ."""
    _run(root, "git", "clone", "--quiet", "--shared", ".", str(clone))
    if names:
        _share_settings(root, clone, _run(root, *DVC, "cache", "dir").strip())
        if _checkout(clone, names):
            _try(clone, *DVC, "fetch", "--quiet", PIPELINE)  # it fails where one cannot be had
            _checkout(clone, names)
    tracked = _run(root, "git", "diff", "--name-only", "HEAD", "--", RESULTS).splitlines()
    return [name for name in tracked if name not in names and (root / name).is_file()]


def _share_settings(root: Path, clone: Path, cache: str) -> None:
    """Give the clone the project's cache and remotes; DVC's settings name them from their file."""
    settings = ConfigParser(interpolation=None)
    settings.read([root / ".dvc" / name for name in ("config", "config.local")], encoding="utf-8")
    for section in settings.values():
        url = section.get("url")
        if url and "://" not in url and section.name.startswith("'remote "):
            section["url"] = os.path.normpath(root / ".dvc" / url)
    if not settings.has_section("cache"):
        settings.add_section("cache")
    settings["cache"]["dir"] = cache
    with (clone / ".dvc/config.local").open("w", encoding="utf-8") as file:
        settings.write(file)


def _checkout(clone: Path, names: Sequence[str]) -> bool:
    """Bring what the cache has; return whether anything is lacking.

    All of the pipeline: named one by one, a hundred outputs take DVC ten times as long.
    """
    _try(clone, *DVC, "checkout", "--quiet", "--allow-missing", PIPELINE)
    return not all((clone / name).exists() for name in names)


def _run(where: Path, *command: str) -> str:
    done = _try(where, *command)
    if done.returncode:
        program = "dvc" if command[: len(DVC)] == DVC else command[0]
        reason = (done.stderr.strip() or done.stdout.strip() or "no reason").splitlines()[-1]
        raise UserError(f"verify: {program} cannot say what was recorded: {reason}")
    return str(done.stdout)


def _try(where: Path, *command: str) -> Any:
    try:
        return subprocess.run(  # noqa: S603 - no shell
            command, cwd=where, capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        raise UserError(f"verify: {command[0]} is not installed") from None


@dataclass(frozen=True)
class _File:
    name: str
    found: Difference


def _compared(recorded: Path, here: Path, name: str) -> Iterator[str]:
    """A line for each kind of file that differs in an output."""
    if not recorded.exists() or not here.exists():
        yield f"{name}: {GONE if recorded.exists() else LOST}"
        return
    if recorded.is_dir() != here.is_dir():
        yield f"{name}: a folder on one side, a file on the other"
        return
    both = [{path.relative_to(one): path for path in _files(one)} for one in (recorded, here)]
    was, now = (set(one) for one in both)
    yield from (f"{_joined(name, path)}: is missing" for path in sorted(was - now))
    yield from (f"{_joined(name, path)}: is not recorded" for path in sorted(now - was))
    shared = sorted(was & now)
    files = [
        _File(_joined(name, path), found)
        for path in shared
        if (found := difference(both[0][path], both[1][path]))
    ]
    for kind in (PICTURES, TENSORS, NUMBERS, BYTES):
        same_kind = [file for file in files if file.found.kind == kind]
        if same_kind:
            yield told(name, len(shared), same_kind)


def _joined(name: str, path: Path) -> str:
    return name if path == Path() else f"{name}/{path.as_posix()}"


def _files(output: Path) -> list[Path]:
    return [path for path in output.rglob("*") if path.is_file()] if output.is_dir() else [output]


def told(name: str, count: int, files: Sequence[_File]) -> str:
    """Return what differs in the files of one kind of an output, on one line."""
    who = name if len(files) == 1 == count else f"{name}: {len(files)} of {count} files"
    if len(files) == 1 < count:
        who = files[0].name
    worst = max(files, key=lambda file: (file.found.largest, file.found.relative)).found
    parts = []
    if worst.largest:
        parts.append(_amount(worst, sum(file.found.mean for file in files) / len(files)))
    odd = [file for file in files if file.found.other]
    if odd:
        more = f" and {len(odd) - 1} more" if len(odd) > 1 else ""
        place = f"{Path(odd[0].name).name}: " if len(files) > 1 else ""
        parts.append(f"{place}{odd[0].found.other}{more}")
    return f"{who}: {'; '.join(parts)}"


def _amount(worst: Difference, mean: float) -> str:
    if worst.kind == PICTURES:
        return f"at most {worst.largest:g} of 255 levels, {mean:.2g} on average"
    place = f" ({worst.where})" if worst.where else ""
    return f"at most {worst.largest:.3g}, relative {worst.relative:.2g}{place}"
