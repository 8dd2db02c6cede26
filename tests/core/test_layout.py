"""Which painting goes with which photograph, and what the files are called."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from atelier.core.config import UserError
from atelier.core.filenames import stems, text
from atelier.core.pairing import Pairing, choose, pair

PHOTOS = [f"photo_{n:03d}" for n in range(50)]
PAINTINGS = [f"painting_{n}.png" for n in range(7)]


def test_pairing_uses_every_painting_about_equally() -> None:
    uses = Counter(style for _, style in pair(PHOTOS, PAINTINGS, 0))
    assert len(uses) == 7
    assert max(uses.values()) - min(uses.values()) <= 1


def test_pairing_is_seeded_and_knows_no_order() -> None:
    assert pair(PHOTOS, PAINTINGS, 0) == pair(PHOTOS[::-1], PAINTINGS[::-1], 0)
    assert pair(PHOTOS, PAINTINGS, 0) != pair(PHOTOS, PAINTINGS, 1)


@pytest.mark.parametrize("count", [1, 8, 49, None, 99])
def test_cutting_the_photos_changes_no_pair(count: int | None) -> None:
    whole = dict(pair(PHOTOS, PAINTINGS, 5))
    cut = Pairing.make(PHOTOS, PAINTINGS, 5, count).styles
    assert len(cut) == min(count or 50, 50)
    assert cut.items() <= whole.items()
    assert set(cut) == set(choose(PHOTOS, count, 5))


def test_pairing_errors(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no test photograph"):
        pair([], PAINTINGS, 0)
    with pytest.raises(UserError, match="no painting"):
        pair(PHOTOS, [], 0)
    (tmp_path / "pairing.json").write_text("[1]")
    with pytest.raises(UserError, match=r"pairing\.json: is no pairing"):
        Pairing.read(tmp_path / "pairing.json")


def test_names_depend_on_their_own_path_only() -> None:
    assert stems(["a/b.png", "c.png"]) == ["a__b", "c"]
    clash = stems(["a/b.png", "a/b.jpg"])
    assert clash == stems(["a/b.jpg", "a/b.png"])[::-1]
    assert len(stems(["ü" * 400 + ".png"])[0].encode()) <= 160
    assert text(Path(os.fsdecode(b"caf\xe9.png"))) == "caf\ufffd.png"
