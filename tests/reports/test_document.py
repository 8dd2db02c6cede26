"""The report: one file with everything in it, whatever is missing."""

from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image

from atelier.core.config import Params, UserError
from atelier.reports.document import SIDE, write_report
from support.projects import finished_project, fresh_project


class Page(HTMLParser):
    """Sources of a page's pictures, its tags and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.sources: dict[str, str] = {}
        self.open: list[str] = []
        self.fetched: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = dict(attrs)
        if tag == "img":
            self.sources[str(known["alt"])] = str(known["src"])
        elif tag != "meta":
            self.open.append(tag)
        self.fetched += [v for k, v in attrs if k in {"src", "href"} and v and v[:5] != "data:"]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def report(root: Path) -> tuple[str, Page]:
    out = root / "out/report.html"
    write_report(root, Params.load(root / "params.yaml"), out)
    text = out.read_text(encoding="utf-8")
    return text, Page(text)


def test_everything_is_in_the_file_and_nothing_is_fetched(tmp_path: Path) -> None:
    text, page = report(finished_project(tmp_path))
    assert page.open == [], "every tag is closed"
    assert page.fetched == []
    assert not re.search(r"https?://|@import|url\(", text)
    for name in ("content", "style", "Colour transfer", "gatys", "cut_x"):
        kind, _, data = page.sources[f"alps: {name}"].partition(";base64,")
        assert kind == "data:image/webp"
        with Image.open(io.BytesIO(base64.b64decode(data))) as picture:
            assert max(picture.size) <= SIDE
    assert "Losses: cut_x, training" in page.sources
    assert "dvc repro" in text
    assert "<dt>Seed</dt><dd>42</dd>" in text
    assert "Paintings pasted" in text


def test_what_is_missing_is_told(tmp_path: Path) -> None:
    root = finished_project(tmp_path)
    (root / "results/stylized/gatys/images/alps.png").write_bytes(b"broken")
    (root / "results/metrics/cut_x.json").write_text("{")
    text, page = report(root)
    assert "alps: gatys" not in page.sources
    assert "no picture" in text
    assert "cannot be read as JSON" in text


def test_names_are_text_and_no_markup(tmp_path: Path) -> None:
    root = finished_project(tmp_path)
    photos = root / "results/prepared/photos/test"
    (photos / "alps.png").rename(photos / "<b>&.png")
    (root / "results/prepared/pairing.json").write_text('{"<b>&": "iris.png"}')
    text, _ = report(root)
    assert "<h3>&lt;b&gt;&amp;</h3>" in text


def test_before_a_run_it_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no method has been scored yet; run dvc repro"):
        report(fresh_project(tmp_path))
    assert not (tmp_path / "out/report.html").exists()
