"""Making a folder of pictures the project's own data: checked, copied, swapped in, given to DVC."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import uuid
from pathlib import Path

from atelier.core.config import UserError
from atelier.core.layout import counts, splits
from atelier.tracking.progress import progress


def adopt(source: Path, root: Path, *, force: bool = False) -> dict[str, int]:
    """Make the pictures of ``source`` the data of the project at ``root``.

    ``data`` is replaced as a whole. What it held can be had back from DVC's cache when it had been
    added; otherwise nothing is replaced without ``force``. When ``source`` is ``data`` itself,
    nothing is copied: its present state is added.

    Returns:
        How many pictures each split holds.

    Raises:
        UserError: wrong layout, no DVC project, data that would be lost, or a failing DVC.
    """
    found = splits(source)
    data = root / "data"
    in_place = data.exists() and data.samefile(source)
    check_replaceable(root, force=force or in_place)
    if not in_place:
        _copy_over(source, found, data)
    _add(root)
    return counts(found)


def check_replaceable(root: Path, *, force: bool = False) -> None:
    """Whether ``data`` may be replaced; worth asking before a long download.

    Raises:
        UserError: no DVC project, or (unless ``force``) data that DVC's cache does not have.
    """
    if not (root / ".dvc").is_dir():
        raise UserError(f"{root}: is no DVC project yet; run `dvc init` there first")
    data = root / "data"
    if force or not data.exists() or (data.is_dir() and not any(data.iterdir())):
        return
    advice = "move them away, or add --force to delete them"
    if not (root / "data.dvc").is_file():
        raise UserError(f"{data}: its files are not tracked by DVC and would be lost; {advice}")
    if _dvc(root, "status", "--quiet", "data.dvc").returncode != 0:
        raise UserError(f"{data}: was changed since `dvc add data`; run that again, or {advice}")


def _copy_over(source: Path, found: dict[str, list[Path]], data: Path) -> None:
    part = data.parent / f".data.{uuid.uuid4().hex}.part"
    paths = [path for paths in found.values() for path in paths]
    paths += [note for note in [source / "SOURCE.json"] if note.is_file()]
    try:
        for path in progress(paths, len(paths), "copy"):
            target = part / path.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
        _swap(part, data)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _swap(new: Path, data: Path) -> None:
    """Two renames, so that no moment has half of one and half of the other."""
    old = data.parent / f".data.{uuid.uuid4().hex}.old"
    if not os.path.lexists(data):
        new.replace(data)
        return
    data.replace(old)
    try:
        new.replace(data)
    except BaseException:
        old.replace(data)
        raise
    if old.is_symlink() or old.is_file():
        old.unlink()
    else:
        shutil.rmtree(old)


def _add(root: Path) -> None:
    done = _dvc(root, "add", "--quiet", "data")
    if done.returncode != 0:
        told = (done.stderr or done.stdout).strip()
        reason = "the pictures are in place, but `dvc add data` failed"
        raise UserError(f"{root / 'data'}: {reason}; run it by hand to see why:\n{told}")


def _dvc(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dvc", *arguments]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)  # noqa: S603
