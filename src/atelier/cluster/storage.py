"""Files at fsspec's addresses: folders, ``s3://…`` and others of DVC's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from atelier.core.config import UserError

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


def put(files: Any, local: Path, target: str) -> None:
    """Copy a local file; it never appears under its final name half written.

    In a folder, it is renamed at the end; objects in a store appear complete by themselves.
    """
    files.makedirs(target.rpartition("/")[0], exist_ok=True)
    part = target + PART if isinstance(files, LocalFileSystem) else target
    files.put_file(str(local), part)
    if part != target:
        files.mv(part, target)
