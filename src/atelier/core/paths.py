"""Names and places below ``results/``; imports no torch."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

from atelier.core.config import UserError
from atelier.core.files import read_record
from atelier.core.records import WEIGHTS, aside, digest_of


def plain(name: Any) -> str:
    """``name``, unless it could lead out of its folder: names come from the address bar too.

    Only the name is judged. The file may well be a link into DVC's cache.
    """
    if not isinstance(name, str) or name in {"", ".", ".."} or set(name) & set("/\\\0"):
        raise UserError(f"{name!r}: is no plain file name")
    return name


def record(root: Path, method: str, name: str) -> dict[str, Any]:
    """Return ``results/models/<method>/<name>.json`` and what was set aside; {} without either.

    ``name`` is ``card``, ``training`` or ``run``; the last is all set aside.
    """
    with suppress(UserError):
        folder = root / "results/models" / plain(method)
        found, card = read_record(folder / f"{plain(name)}.json"), folder / "card.json"
        if not card.is_file():
            return found
        of = digest_of([card]) if name == "run" else read_record(card).get(WEIGHTS)
        return {**aside(root, method, name, of), **found}
    return {}
