"""Names and places below ``results/``; imports no torch."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

from atelier.core.config import UserError
from atelier.core.files import read_record


def plain(name: Any) -> str:
    """``name``, unless it could lead out of its folder: names come from the address bar too.

    Only the name is judged. The file may well be a link into DVC's cache.
    """
    if not isinstance(name, str) or name in {"", ".", ".."} or set(name) & set("/\\\0"):
        raise UserError(f"{name!r}: is no plain file name")
    return name


def record(root: Path, method: str, name: str) -> dict[str, Any]:
    """``results/models/<method>/<name>.json``: ``card``, ``training`` or ``run``; {} without it."""
    with suppress(UserError):
        return read_record(root / "results/models" / plain(method) / f"{plain(name)}.json")
    return {}
