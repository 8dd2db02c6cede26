"""Read-only view of the pictures below ``results/``, for the comparison and the dashboard."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from atelier.core.baselines import BASELINES
from atelier.core.config import UserError
from atelier.core.files import read_json, read_record
from atelier.core.paths import SNAPSHOTS, Pictures, Prepared, Results, plain

# Nothing here may import torch, not even indirectly: that takes longer than the dashboard's first
# view may.


def test_photos(root: Path) -> list[Path]:
    """Return the prepared test photographs, sorted; only paired ones once there is a pairing."""
    found = sorted(Results(root).prepared.photos.glob("*.png"))
    paired = _pairs(root)
    return [path for path in found if path.stem in paired] or found


def _pairs(root: Path) -> dict[str, str]:
    try:
        found = read_json(Results(root).prepared.pairing)
    except UserError:
        return {}
    if not isinstance(found, dict) or not all(isinstance(v, str) for v in found.values()):
        return {}
    return found


def paintings(root: Path) -> list[Path]:
    """Return every style picture, sorted: the artist's paintings, held-out ones, those by others.

    Before anything has been prepared, the raw ones in formats that browsers display.
    """
    for below in (Results(root).prepared, Prepared(root / "data")):
        found = [
            path
            for folder in (below.paintings, below.test_paintings, below.styles)
            for path in sorted(folder.glob("*.*"))
        ]
        shown = [path for path in found if path.suffix.lower() in {".png", ".jpg", ".jpeg"}]
        if shown:
            return shown
    return []


def painting_for(root: Path, photo: str) -> Path | None:
    """Return the painting paired with the test photograph of this stem, if known."""
    name, below = _pairs(root).get(photo), Results(root).prepared
    return _existing(below.paintings, name) or _existing(below.test_paintings, name)


def stylised(root: Path, method: str, photo: str) -> Path | None:
    """Return a method's stylised picture of the test photograph with this stem, or None."""
    return _made(Results(root).stylized, method, photo)


def denoised(root: Path, method: str, photo: str) -> Path | None:
    """Return the same picture after denoising, or None."""
    return _made(Results(root).denoised, method, photo)


def baseline(root: Path, key: str, photo: Path) -> Path | None:
    """What stands for a baseline beside this test photograph, if there is such a picture."""
    if BASELINES[key].picture == "photo":
        return photo
    if BASELINES[key].picture == "painting":
        return painting_for(root, photo.stem)
    return _made(Results(root).baseline, key, photo.stem)


def _made(pictures: Callable[[str], Pictures], method: str, photo: str) -> Path | None:
    try:
        return _existing(pictures(method).images, f"{photo}.png")
    except UserError:
        return None


def digest(root: Path) -> str | None:
    """Return the digest of the prepared data set, from its manifest."""
    name = read_record(Results(root).prepared.manifest).get("digest")
    return name if isinstance(name, str) else None


def _existing(folder: Path, name: Any) -> Path | None:
    try:
        path = folder / plain(name)
        return path if path.is_file() else None
    except (UserError, OSError, ValueError):  # a name that is too long or has a NUL
        return None


Rows = dict[str, dict[str, Path]]
"""Row → column → picture, in order of display."""
INPUT = "1 input"
"""First column of strips that begin with their input, which may be a painting."""


def strips(root: Path, method: str) -> dict[str, Rows]:
    """Return title → rows of all strips of a method, snapshots first.

    Those of an optimisation are among its extras: a stage has its own outputs.
    """
    found = {SNAPSHOTS: _rows(Results(root).snapshots(method))}
    extras = Results(root).stylized(method).extras
    found |= {folder.name: _rows(folder) for folder in _folders(extras)}
    return {title: rows for title, rows in found.items() if rows}


def _rows(folder: Path) -> Rows:
    found = {
        row.name: {path.stem: path for path in sorted(row.glob("*.png"))}
        for row in _folders(folder)
    }
    return {row: columns for row, columns in found.items() if columns}


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*") if path.is_dir())


def columns(rows: Rows) -> list[str]:
    """Return every column of the rows, sorted."""
    return sorted({name for row in rows.values() for name in row})
