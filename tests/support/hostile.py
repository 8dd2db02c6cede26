"""Texts that would bring something from elsewhere into a page of Markdown."""

from __future__ import annotations

import re

from markdown_it import MarkdownIt

TEXTS = (
    "![x](https://evil.example/a.png)",
    "![x][y]\n\n[y]: https://evil.example/a.png",
    '<img src="https://evil.example/a.png">',
    "<iframe src=//evil.example></iframe>",
    "`](x)![x](https://evil.example/a.png)",
    "a` <img src=//evil.example/a.png> `b",
    r"\![x](https://evil.example/a.png)",
    "| ![x](https://evil.example/a.png) |",
    "[click](https://evil.example)",
    "&lt;img src=//evil.example/a.png&gt;",
)


def brought_in(markdown: str) -> list[str]:
    """Return the tags of a rendered page that load or lead to something."""
    page = MarkdownIt("commonmark", {"html": True}).enable("table").render(markdown)
    return re.findall(r"<(?:img|iframe|a|script|video|object)\b", page)
