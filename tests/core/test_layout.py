"""Which painting goes with which photograph, and what the files are called."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from atelier.core.config import UserError
from atelier.core.filenames import readable, stems
from atelier.core.pairing import Pairing, choose, pair, read_pairs

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
    path = tmp_path / "pairing.json"
    for text in ("[1]", "{}", "null", '{"a": 3}'):
        path.write_text(text)
        with pytest.raises(UserError, match=r"pairing\.json: is not a pairing .*; remove "):
            Pairing.read(path)
        for record in (text, f'{{"pairs": {text}}}'):
            path.write_text(record)
            with pytest.raises(UserError, match=r"pairing\.json: is not a pairing"):
                read_pairs(path)
    path.write_text('{"pairs": {"a": "b.png"}}')
    assert read_pairs(path) == {"a": "b.png"}


def test_names_depend_on_their_own_path_only() -> None:
    assert stems(["a/b.png", "c.png"]) == ["a__b", "c"]
    clash = stems(["a/b.png", "a/b.jpg"])
    assert clash == stems(["a/b.jpg", "a/b.png"])[::-1]
    assert len(stems(["ü" * 400 + ".png"])[0].encode()) <= 160


def test_names_that_are_not_utf8_stay_apart_and_readable() -> None:
    names = [os.fsdecode(name) for name in (b"caf\xe8.png", b"caf\xe9.png", "café.png".encode())]
    assert readable(Path(names[0])) == "cafè.png"
    assert readable(os.fsdecode(b"a\x80/b.png")) == "a\ufffd/b.png"
    first, *others = stems(names)
    assert first == "cafè"
    assert len({first, *others}) == 3
    assert all(name.startswith("café-") for name in others)


def test_digits_that_are_taken_are_made_longer() -> None:
    found = stems(["a b.png", "a_b.png", "a_b-47c1591e.png", "A_B.png", "c.png"])
    assert len({name.casefold() for name in found}) == 5
    assert found[0].startswith("a_b-47c1591e")
    assert found[4] == "c"
