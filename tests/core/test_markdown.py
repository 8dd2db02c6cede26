"""What text from files may do in a page of Markdown."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
from markdown_it import MarkdownIt

from atelier.core.markdown import code, escaped
from support.hostile import TEXTS, brought_in


class Words(HTMLParser):
    """The words of a page, as people see them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found = ""
        self.feed(page)

    def handle_data(self, data: str) -> None:
        self.found += data


@pytest.mark.parametrize("text", TEXTS)
def test_nothing_is_brought_in_and_every_sign_is_seen(text: str) -> None:
    line = " ".join(text.split())
    page = f"**{escaped(line)}**\n\n| a | b |\n|---|---|\n| {escaped(line)} | 1 |\n"
    assert brought_in(text) or "&lt;" in text or text.startswith(("a`", "\\", "`"))
    assert brought_in(page) == []
    seen = Words(MarkdownIt("commonmark", {"html": True}).enable("table").render(page)).found
    assert seen.count(line) == 2


@pytest.mark.parametrize("text", TEXTS)
def test_code_stays_code(text: str) -> None:
    assert brought_in(f"kind {code(text)} · features {code(text)}") == []


def test_plain_words_stay_as_they_are() -> None:
    assert escaped("metanet_original: 12 ± 3 (× 1000), 95 %") == (
        "metanet_original: 12 ± 3 (× 1000), 95 %"
    )
    assert code("to_art") == "`to_art`"
    assert code("") == code(" ") == ""
    assert escaped("a.b", ".") == r"a\.b"
