"""Import of a folder of pictures as the project's data: check, copy, replace, add to DVC."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from atelier.core.config import UserError
from atelier.core.decoders import is_regular
from atelier.core.filenames import is_utf8, readable, stems
from atelier.core.files import remove, swapped
from atelier.core.layout import counts, splits
from atelier.tracking.progress import progress

NEW, OLD = ".data.*.part", ".data.*.old"
"""Folders beside ``data`` while it is replaced; git ignores both."""
LOCK = Path(".dvc/tmp/atelier-data.lock")


def adopt(source: Path, root: Path, *, force: bool = False) -> dict[str, int]:
    """Make the pictures of ``source`` the data of the project at ``root``.

    ``data`` is replaced as a unit, and restored if DVC refuses the new pictures. If the old ones
    had been added, they can be restored from DVC's cache; otherwise nothing is replaced without
    ``force``. If ``source`` is ``data`` itself, nothing is copied: its current state is added.

    Returns:
        Number of pictures in each split.

    Raises:
        UserError: wrong layout, not a DVC project, data that would be lost, or DVC fails.
    """
    found = {split: [*filter(is_regular, paths)] for split, paths in splits(source).items()}
    data = root / "data"
    in_place = data.exists() and data.samefile(source)
    check_replaceable(root, force=force or in_place)
    if in_place:
        _check_names(data)
        _add(root)
        return counts(found)
    old = data.parent / f".data.{uuid.uuid4().hex}.old"
    with _locked(root), _copied(source, found, data) as new, swapped(new, data, old):
        _add(root)
    return counts(found)


def unusable(source: Path) -> list[Path]:
    """Return files with a picture's suffix that are not copied: pipes, devices, broken links."""
    paths = (path for paths in splits(source).values() for path in paths)
    return [path for path in paths if not is_regular(path)]


def check_replaceable(root: Path, *, force: bool = False) -> None:
    """Raise unless ``data`` may be replaced; to be called before a long download.

    Raises:
        UserError: not a DVC project, or (unless ``force``) data that DVC's cache does not have.
    """
    if not (root / ".dvc").is_dir():
        raise UserError(f"{root}: is not a DVC project yet; run `dvc init` there first")
    data = root / "data"
    if force or not data.exists() or (data.is_dir() and not any(data.iterdir())):
        return
    advice = "move them away, or add --force to delete them"
    if not (root / "data.dvc").is_file():
        raise UserError(f"{data}: its files are not tracked by DVC and would be lost; {advice}")
    if _dvc(root, "status", "--quiet", "data.dvc").returncode != 0:
        raise UserError(f"{data}: was changed since `dvc add data`; run that again, or {advice}")


def recover(root: Path) -> list[str]:
    """Repair what a killed ``adopt`` left beside ``data``; yield a line about each repair.

    Between the two renames there is no ``data``: the old pictures are restored. After them the new
    ones are added to DVC. Nothing is changed while another process replaces the data.
    """
    left = [*root.glob(OLD), *root.glob(NEW)]
    if not left:
        return []
    try:
        with _locked(root, wait=0):
            return _recover(root)
    except UserError:
        return []


def _recover(root: Path) -> list[str]:
    data, lines = root / "data", list[str]()
    for old in sorted(root.glob(OLD)):
        if not os.path.lexists(data):
            old.replace(data)
            lines.append(f"{data}: the replacement was interrupted; the old pictures are restored")
        else:
            _add(root)
            remove(old)
            lines.append(f"{data}: the replacement was interrupted; it is finished now")
    for new in root.glob(NEW):
        shutil.rmtree(new, ignore_errors=True)
        lines.append(f"{new}: left by an interrupted copy; removed")
    return lines


@contextmanager
def locked(path: Path, busy: str, wait: float = 0) -> Iterator[None]:
    """Hold a lock that other processes see.

    Raises:
        UserError: another has held it for ``wait`` seconds; ``busy`` says what it does.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(path, timeout=wait):
            yield
    except Timeout:
        raise UserError(busy) from None


def _locked(root: Path, wait: float = 10) -> AbstractContextManager[None]:
    return locked(root / LOCK, f"{root / 'data'}: another process is replacing the pictures", wait)


@contextmanager
def _copied(source: Path, found: dict[str, list[Path]], data: Path) -> Iterator[Path]:
    """Yield a hidden copy of the pictures beside ``data``; removed afterwards, unless moved."""
    part = data.parent / f".data.{uuid.uuid4().hex}.part"
    targets = {
        path: name for split, paths in found.items() for path, name in _names(source, split, paths)
    }
    note = source / "SOURCE.json"
    targets |= {note: note.name} if note.is_file() else {}
    try:
        for path, name in progress(targets.items(), len(targets), "copy"):
            target = part / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
        yield part
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _names(source: Path, split: str, paths: list[Path]) -> list[tuple[Path, str]]:
    """Return each picture's path in the data folder; names DVC cannot write are converted."""
    inner = [path.relative_to(source / split).as_posix() for path in paths]
    kept = {name for name, path in zip(inner, paths, strict=True) if is_utf8(path)}
    unique = stems(inner)
    return [
        (path, f"{split}/{name if name in kept else f'{stem}{readable(path.suffix)}'}")
        for path, name, stem in zip(paths, inner, unique, strict=True)
    ]


def _check_names(data: Path) -> None:
    """Refuse names that DVC cannot write to its JSON file.

    Raises:
        UserError: a file whose name is not UTF-8.
    """
    wrong = [path for path in sorted(data.rglob("*")) if not is_utf8(path)]
    if wrong:
        named = ", ".join(readable(path) for path in wrong[:3])
        raise UserError(f"{named}: the name is not UTF-8, which DVC cannot track; rename the file")


def _add(root: Path) -> None:
    done = _dvc(root, "add", "--quiet", "data")
    if done.returncode != 0:
        told = (done.stderr or done.stdout).strip()
        raise UserError(f"{root / 'data'}: `dvc add data` failed and nothing was changed:\n{told}")


def _dvc(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dvc", *arguments]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)  # noqa: S603
