"""Files at fsspec's addresses: folders, ``s3://…`` and others of DVC's."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from atelier.core.config import UserError
from atelier.core.decoders import SUFFIXES

PART = ".part"
"""Suffix of copies under way."""


def open_address(address: str) -> tuple[Any, str]:
    """Return the file system and the path of an address; local paths become absolute.

    Raises:
        UserError: the protocol is unknown, or its package is not installed.
    """
    try:
        files, path = fsspec.core.url_to_fs(address)
    except (ValueError, ImportError) as error:
        raise UserError(f"{address}: {error}") from None
    return files, path


def find_pictures(address: str) -> tuple[Any, dict[str, dict[str, Any]]]:
    """Return the file system, and the details of every picture by its name, sorted.

    Args:
        address: of a folder, whose hidden files are left out; or of one picture, whose name is "".

    Raises:
        UserError: there is no picture, or the address cannot be read.
    """
    files, base = open_address(address)
    try:
        if files.isfile(base):
            return files, {"": files.info(base)}
        if not files.exists(base):
            raise UserError(f"{base}: no such file or folder")
        found = files.find(base, detail=True)
    except OSError as error:
        raise UserError(f"{address}: cannot be read: {error}") from None
    named = {path.removeprefix(base).lstrip("/"): facts for path, facts in found.items()}
    pictures = {name: facts for name, facts in sorted(named.items()) if _is_picture(name)}
    if not pictures:
        raise UserError(f"{address}: holds no picture")
    return files, pictures


def _is_picture(name: str) -> bool:
    hidden = any(part.startswith(".") for part in name.split("/"))
    return not hidden and PurePosixPath(name).suffix.lower() in SUFFIXES


def find_files(address: str) -> tuple[Any, str, set[str]]:
    """Return the file system, the path of a folder and those of all files in it, if it exists.

    Raises:
        UserError: the address cannot be read.
    """
    files, folder = open_address(address)
    try:
        return files, folder, set(files.find(folder)) if files.exists(folder) else set()
    except OSError as error:
        raise UserError(f"{address}: cannot be read: {error}") from None


def local_copy(files: Any, path: str, folder: Path) -> Path:
    """Return a local file with the content of ``path``: itself if it is one, or a copy in a folder.

    Raises:
        OSError: it cannot be fetched.
    """
    if isinstance(files, LocalFileSystem):
        return Path(path)
    local = folder / PurePosixPath(path).name
    files.get_file(path, str(local))
    return local


def put(files: Any, local: Path, target: str) -> None:
    """Copy a local file; it never appears under its final name half written.

    In a folder, it is renamed at the end; objects in a store appear complete by themselves.
    """
    files.makedirs(target.rpartition("/")[0], exist_ok=True)
    part = target + PART if isinstance(files, LocalFileSystem) else target
    files.put_file(str(local), part)
    if part != target:
        files.mv(part, target)
