"""Layout of a data folder: its splits and their pictures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from atelier.core.config import UserError
from atelier.core.images import find, survey

REQUIRED = ("photos/train", "photos/test", "paintings")
"""Required folders: training photographs, test photographs, paintings."""
OPTIONAL = ("styles", "everyday")
"""Optional folders: paintings by others, general photographs, of any subject."""
PhotosFrom = Literal["train", "everyday", "both"]
PHOTOGRAPHS: Mapping[PhotosFrom, tuple[str, ...]] = {
    "train": ("photos/train",),
    "everyday": ("everyday",),
    "both": ("photos/train", "everyday"),
}
"""Photographs that a system can be trained on, by their name in its settings → their folders."""
LAYOUT = (
    "expected photos/train, photos/test and paintings, each with pictures, "
    "and optionally styles and everyday"
)


def splits(folder: Path | str) -> dict[str, list[Path]]:
    """Return the pictures of every split present, each list sorted by relative path.

    Raises:
        UserError: a missing folder or a required split without pictures; names the layout.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; {LAYOUT}")
    found = {split: find(folder / split) for split in (*REQUIRED, *OPTIONAL)}
    wrong = [_lack(folder, split) for split in REQUIRED if not found[split]]
    if wrong:
        raise UserError(f"{folder}: {' and '.join(wrong)}; {LAYOUT}")
    return {split: paths for split, paths in found.items() if paths}


def left_out(folder: Path | str) -> list[str]:
    """Return a sentence for everything in the splits that is not counted as a picture."""
    found = (survey(Path(folder) / split) for split in (*REQUIRED, *OPTIONAL))
    return [line for part in found for line in part.left_out()]


def counts(found: dict[str, list[Path]]) -> dict[str, int]:
    """Return the number of pictures of each split."""
    return {split: len(paths) for split, paths in found.items()}


def _lack(folder: Path, split: str) -> str:
    return f"{split} {'holds no picture' if (folder / split).is_dir() else 'is missing'}"
