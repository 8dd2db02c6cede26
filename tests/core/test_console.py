"""Characters that an output's encoding lacks."""

from __future__ import annotations

import io
import os
import sys

import pytest

from atelier.core.console import use_plain_characters

TEXT = "412 ± 3 × … → café – ﬁ 絵 |"


@pytest.mark.parametrize(
    ("encoding", "expected"),
    [
        ("ascii", "412 +/- 3 x ... -> cafe - fi ? |"),
        ("latin-1", "412 ± 3 × ... -> café - fi ? |"),
        ("cp932", "412 ± 3 × … → cafe - fi 絵 |"),
        ("utf-8", TEXT),
    ],
)
def test_the_nearest_text_is_written(
    monkeypatch: pytest.MonkeyPatch, encoding: str, expected: str
) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding))
    use_plain_characters()
    print(TEXT, flush=True)
    assert raw.getvalue().decode(encoding).strip() == expected


def test_names_that_are_not_utf8_can_be_told(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(raw, encoding="utf-8"))
    use_plain_characters()
    print(os.fsdecode(b"caf\xe9.png"), file=sys.stderr, flush=True)
    assert raw.getvalue().decode() == "café.png\n"
