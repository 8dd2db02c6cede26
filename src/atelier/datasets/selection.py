"""Selection of the pictures that are prepared: copies left out, a seeded part, a held-out split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from atelier.core.config import UserError
from atelier.core.layout import PHOTOGRAPHS
from atelier.core.pairing import choose
from atelier.core.paths import TEST_PAINTINGS

TRAINING, TEST, PAINTINGS = "photos/train", "photos/test", "paintings"
PAINTED = (PAINTINGS, "styles")
"""Splits of paintings that systems are trained on."""
LEAK = "leak"
"""Beginning of the reason for which a picture is left out that belongs to a test split, too."""


@dataclass(frozen=True)
class Picture:
    """A picture of the data folder."""

    split: str
    path: Path
    source: str
    """Path inside the data folder."""
    file: str
    """Path inside the prepared folder."""
    sha256: str = ""
    """Digest of the file; "" if it cannot be read."""


Skipped = dict[str, str]
"""A picture's ``source``, and the ``reason`` why it is left out."""


def sift(
    pictures: Sequence[Picture], *, keep_duplicates: bool
) -> tuple[list[Picture], list[Skipped], list[dict[str, str]]]:
    """Drop training photographs that are also test photographs, and duplicates unless kept.

    Returns:
        The others, what was dropped as a leak, and all duplicates: ``source`` and ``same_as``.
    """
    kept, leaks = _without_copies(
        pictures, [p for p in pictures if p.split == TEST], PHOTOGRAPHS["both"], "test photograph"
    )
    duplicates: list[dict[str, str]] = []
    first: dict[tuple[str, str], str] = {}
    distinct = []
    for picture in kept:
        same = first.setdefault((picture.split, picture.sha256), picture.source)
        repeated = bool(picture.sha256) and same != picture.source
        if repeated:
            duplicates.append({"source": picture.source, "same_as": same})
        else:
            distinct.append(picture)
    return kept if keep_duplicates else distinct, leaks, duplicates


def _without_copies(
    pictures: Sequence[Picture], tests: Sequence[Picture], splits: Sequence[str], what: str
) -> tuple[list[Picture], list[Skipped]]:
    """Drop the pictures of ``splits`` whose files equal one of ``tests``, called ``what``."""
    known = {test.sha256: test.source for test in reversed(tests) if test.sha256}
    leaks = {p.source: known[p.sha256] for p in pictures if p.split in splits and p.sha256 in known}
    reasons = {source: f"{LEAK}: the same file as the {what} {of}" for source, of in leaks.items()}
    kept = [picture for picture in pictures if picture.source not in leaks]
    return kept, [{"source": source, "reason": reason} for source, reason in reasons.items()]


def part_of_training(pictures: Sequence[Picture], count: int | None, seed: int) -> list[Picture]:
    """Return all pictures, but of the training photographs only ``count``, a seeded choice."""
    files = set(choose([p.file for p in pictures if p.split == TRAINING], count, seed))
    return [p for p in pictures if p.split != TRAINING or p.file in files]


def hold_out(
    pictures: Sequence[Picture], count: int | None, seed: int, least: int
) -> tuple[list[Picture], list[Skipped]]:
    """Move ``count`` paintings, a seeded choice, to the split ``TEST_PAINTINGS``; None: none.

    A larger choice contains a smaller one. Copies of a held-out painting are dropped from the
    splits that are trained on, whatever is done with other duplicates.

    Args:
        pictures: those of all splits.
        count: held-out paintings.
        seed: decides the choice.
        least: number of different paintings that have to remain.

    Returns:
        The pictures with the held-out ones last, and the copies that were dropped.

    Raises:
        UserError: too few would remain.
    """
    if count is None:
        return list(pictures), []
    different = _different([p for p in pictures if p.split == PAINTINGS])
    if len(different) < count + least:
        raise UserError(
            f"{PAINTINGS}: holds {len(different)} different pictures, of which {count} are to be "
            f"held out (prepare.test_paintings) and at least {least} have to remain "
            "(prepare.min_pictures); lower test_paintings"
        )
    files = set(choose(list(different), count, seed))
    held = [p for p in pictures if p.file in files]
    rest = [p for p in pictures if p.file not in files]
    kept, leaks = _without_copies(rest, held, PAINTED, "held-out painting")
    return [*kept, *map(_moved, held)], leaks


def _different(paintings: Sequence[Picture]) -> Mapping[str, Picture]:
    """Return file → painting, the first of equal ones."""
    first = {p.sha256 or p.file: p for p in reversed(paintings)}
    return {p.file: p for p in first.values()}


def _moved(painting: Picture) -> Picture:
    file = painting.file.replace(PAINTINGS, TEST_PAINTINGS, 1)
    return replace(painting, split=TEST_PAINTINGS, file=file)
