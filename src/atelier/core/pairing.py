"""Pairing of test photographs with paintings: seeded, the same for every method."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from atelier.core.config import UserError
from atelier.core.files import how_to_restore, read_json, within, write_json
from atelier.core.paths import Prepared


def _order(names: Sequence[str], seed: int, purpose: str) -> list[str]:
    """Shuffle ``names`` so that the relative order of any two depends on these two alone."""

    def key(name: str) -> tuple[bytes, str]:
        text = f"{seed}\0{purpose}\0{name}"
        return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest(), name

    return sorted(set(names), key=key)


def choose(contents: Sequence[str], count: int | None, seed: int) -> list[str]:
    """Return at most ``count`` contents (None: all); a smaller choice is a subset of a larger."""
    return _order(contents, seed, "content")[:count]


def pair(contents: Sequence[str], styles: Sequence[str], seed: int) -> list[tuple[str, str]]:
    """Give every content a style, seeded; sorted by content.

    Styles are dealt in rounds, so the numbers of uses of any two differ by at most one. Limiting
    the contents with ``choose`` and the same seed leaves the remaining pairs unchanged.

    Raises:
        UserError: no contents or no styles.
    """
    if not contents:
        raise UserError("no test photograph to pair with a painting; put some in photos/test")
    if not styles:
        raise UserError("no painting to pair the photographs with; put some in paintings")
    contents = choose(contents, None, seed)
    rounds = -(-len(contents) // len(set(styles)))
    dealt = [style for n in range(rounds) for style in _order(styles, seed, f"style {n}")]
    return sorted(zip(contents, dealt, strict=False))


@dataclass(frozen=True)
class Pairing:
    """The painting each test photograph is stylised with; ``pairing.json``."""

    styles: dict[str, str]
    """Stem of the photograph's file → file name of the painting."""

    @classmethod
    def make(
        cls, contents: Sequence[str], styles: Sequence[str], seed: int, count: int | None = None
    ) -> Pairing:
        """Choose ``count`` contents (None: all) and give each a style; see ``pair``."""
        return cls(dict(pair(choose(contents, count, seed), styles, seed)))

    def write(self, path: Path | str) -> None:
        """Write as one JSON object, atomically."""
        write_json(path, self.styles)

    @classmethod
    def read(cls, path: Path | str) -> Pairing:
        """Read what ``write`` wrote.

        Raises:
            UserError: missing, not JSON, empty, or not a mapping of names to names.
        """
        return cls(_styles(read_json(path), Path(path)))


def read_pairs(record: Path) -> dict[str, str]:
    """Return the pairs in the record of stylised pictures: photograph → file name of its painting.

    Raises:
        UserError: missing, not JSON, or without pairs.
    """
    found = read_json(record)
    return _styles(found.get("pairs") if isinstance(found, dict) else None, record)


def _styles(found: object, path: Path) -> dict[str, str]:
    pairs = found if isinstance(found, dict) else {}
    if not pairs or not all(isinstance(style, str) for style in pairs.values()):
        reason = "is not a pairing of photographs and paintings"
        raise UserError(f"{path}: {reason}; {how_to_restore(path)}")
    return pairs


@dataclass(frozen=True)
class Job:
    """One test photograph and the painting it is paired with."""

    photo: str
    content: Path
    style: Path


def list_jobs(prepared: Path) -> list[Job]:
    """Return one job per pair written by ``prepare``, in the order of the photographs.

    Raises:
        UserError: there is not a pairing, or a name in it leads elsewhere.
    """
    below = Prepared(prepared)
    jobs = sorted(Pairing.read(below.pairing).styles.items())
    return [Job(p, within(below.photos, f"{p}.png"), _painting(below, s)) for p, s in jobs]


def _painting(below: Prepared, name: str) -> Path:
    """Return the path of a painting, held out or not; no two have one name."""
    held_out = within(below.test_paintings, name)
    return held_out if held_out.is_file() else within(below.paintings, name)
