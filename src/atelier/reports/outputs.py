"""Read-only view of the pictures below ``results/``, for the comparison and the dashboard."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from atelier.core.config import UserError
from atelier.core.files import read_json, read_record

# Nothing here may import torch, not even by the way of ``core.data``: that takes longer than the
# dashboard has for its first view.


def test_photos(root: Path) -> list[Path]:
    """Prepared test photographs, sorted; only the paired ones once there is a pairing."""
    found = sorted((root / "results/prepared/photos/test").glob("*.png"))
    paired = _pairs(root)
    return [path for path in found if path.stem in paired] or found


def _pairs(root: Path) -> dict[str, str]:
    try:
        found = read_json(root / "results/prepared/pairing.json")
    except UserError:
        return {}
    if not isinstance(found, dict) or not all(isinstance(v, str) for v in found.values()):
        return {}
    return found


def paintings(root: Path) -> list[Path]:
    """Every picture that can give a style, sorted: the paintings, then those by others."""
    folders = (root / "results/prepared/paintings", root / "results/prepared/styles")
    return [path for folder in folders for path in sorted(folder.glob("*.png"))]


def painting_for(root: Path, photo: str) -> Path | None:
    """The painting that the test photograph with this stem is stylised with, if known."""
    name = _pairs(root).get(photo)
    return _existing(root / "results/prepared/paintings", name)


def stylised(root: Path, method: str, photo: str) -> Path | None:
    """The picture a method made of the test photograph with this stem, if there is one."""
    return _made(root / "results/stylized", method, photo)


def denoised(root: Path, method: str, photo: str) -> Path | None:
    """The same picture after the denoising step, if there is one."""
    return _made(root / "results/denoised", method, photo)


def _made(folder: Path, method: str, photo: str) -> Path | None:
    try:
        return _existing(folder / plain(method) / "images", f"{photo}.png")
    except UserError:
        return None


def digest(root: Path) -> str | None:
    """Name of the prepared data set, from its manifest."""
    name = read_record(root / "results/prepared/manifest.json").get("digest")
    return name if isinstance(name, str) else None


def _existing(folder: Path, name: Any) -> Path | None:
    try:
        path = folder / plain(name)
        return path if path.is_file() else None
    except (UserError, OSError, ValueError):  # a name too long, or with a NUL
        return None


def plain(name: Any) -> str:
    """``name``, unless it could lead out of its folder: names come from the address bar too.

    Only the name is judged. The file may well be a link into DVC's cache.
    """
    if not isinstance(name, str) or name in {"", ".", ".."} or set(name) & set("/\\\0"):
        raise UserError(f"{name!r}: is no plain file name")
    return name
