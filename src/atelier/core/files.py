"""Atomic writing: a file never appears under its final name half written."""

from __future__ import annotations

import errno
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from atelier.core.config import UserError

FULL = "the disk is full; make room (`dvc gc -w` drops old results) and run it again"
DENIED = (errno.EROFS, errno.EACCES, errno.EPERM)


@contextmanager
def atomic(path: Path | str) -> Iterator[Path]:
    """Yield an empty temporary file beside ``path`` to write to; rename it on success.

    A missing folder is created. On any error, Ctrl-C included, nothing is left behind and an
    existing file of that name is untouched. The file gets the mode of the process's umask: some
    libraries write for the owner alone.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Hidden, so that nothing lists it as a picture; in the same folder, because a rename is atomic
    # only within one file system.
    part = path.parent / f".{uuid.uuid4().hex}.part"
    try:
        part.touch()
        mode = part.stat().st_mode
        yield part
        if part.stat().st_mode != mode:
            part.chmod(mode)
        part.replace(path)
    except BaseException as error:
        if isinstance(error, OSError) and error.filename == str(part):
            error.filename = str(path)  # the name that a person knows
        with suppress(OSError):  # a read-only folder: the first error says so
            part.unlink(missing_ok=True)
        raise


@contextmanager
def atomic_folder(folder: Path | str) -> Iterator[Path]:
    """Yield an empty hidden folder beside ``folder``; rename it on success.

    An existing folder of that name is replaced as a unit, and untouched on any error. One process
    at a time.
    """
    folder = Path(folder)
    part, old = (folder.parent / f".{folder.name}.{kind}" for kind in ("part", "old"))
    shutil.rmtree(part, ignore_errors=True)  # left by a killed run
    if old.exists() and not folder.exists():
        old.replace(folder)
    shutil.rmtree(old, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        yield part
        with swapped(part, folder, old):
            pass
    finally:
        shutil.rmtree(part, ignore_errors=True)


@contextmanager
def swapped(new: Path, path: Path, old: Path) -> Iterator[None]:
    """Rename ``new`` to ``path``, and what was there to ``old``; remove that at the end.

    Two renames, so that the two are never mixed. On any error, Ctrl-C included, everything is where
    it was. All are in one folder; ``path`` may be missing, a folder, a file or a link.
    """
    had = os.path.lexists(path)
    try:
        if had:
            path.replace(old)
        new.replace(path)
        yield
    except BaseException:
        if (not had or os.path.lexists(old)) and os.path.lexists(path):
            path.replace(new)
        if os.path.lexists(old):
            old.replace(path)
        raise
    if had:
        remove(old)


def remove(path: Path) -> None:
    """Delete a file, a link (not what it leads to) or a folder."""
    if path.is_symlink() or path.is_file():
        path.unlink()
    else:
        shutil.rmtree(path)


def within(folder: Path, name: str | Path) -> Path:
    """Return the path of ``name`` below ``folder``; for names that were read from files.

    Only the name is checked: a file in ``folder`` may be a link into DVC's cache.

    Raises:
        UserError: it leads out of ``folder``.
    """
    root = os.path.normpath(Path(folder).absolute())  # links are not followed
    path = os.path.normpath(Path(root, name))
    if "\0" in str(name) or os.path.commonpath([root, path]) != root or path == root:
        raise UserError(f"{str(name)!r}: leads out of {folder}; only what lies below it is used")
    return folder / os.path.relpath(path, root)


def write_json(path: Path | str, obj: Any) -> None:
    """Write ``obj`` as indented JSON, atomically; key order is kept, NaN is refused."""
    text = json.dumps(obj, indent=2, ensure_ascii=False, allow_nan=False)
    with atomic(path) as part:
        part.write_text(text + "\n", encoding="utf-8")


def read_json(path: Path | str) -> Any:
    """Read a JSON file.

    Raises:
        UserError: naming the file, when it is missing, unreadable or not JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: is missing; run the step that writes it (dvc repro)") from None
    except (OSError, ValueError, RecursionError) as error:
        reason = f"{path}: cannot be read as JSON ({error})"
        raise UserError(f"{reason}; delete it and run the step that writes it again") from None


def read_record(path: Path | str) -> dict[str, Any]:
    """Read a JSON object; return an empty one if the file is missing, broken or not an object."""
    with suppress(UserError):
        found = read_json(path)
        return found if isinstance(found, dict) else {}
    return {}


def how_to_restore(path: Path) -> str:
    """Return the instruction that restores a damaged file of the results, or of what DVC tracks.

    ``dvc checkout`` and ``dvc repro --force`` alone do not: DVC compares times and sizes only, and
    replaces what a stage wrote by what its cache holds under that hash, damaged or not.
    """
    from atelier.core.paths import RESULTS  # noqa: PLC0415 - which imports this file

    first = f"remove {path}, " if path.exists() else ""
    last = "dvc repro" if RESULTS in path.absolute().parts else "dvc pull"
    return f"{first}run `atelier mend --cache`, then `{last}`"


def disk_reason(error: BaseException) -> str:
    """Return why the disk did not take a file, and what to do; "" for any other error."""
    if isinstance(error, shutil.Error):  # of a folder: (from, to, text) of every file
        return FULL if os.strerror(errno.ENOSPC) in str(error) else ""
    if not isinstance(error, OSError):
        return ""
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return FULL
    denied = error.errno in DENIED and error.filename
    return f"{error.filename}: {error.strerror}; check who may write there" if denied else ""
