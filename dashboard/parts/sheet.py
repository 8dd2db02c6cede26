"""The pictures one sees as a single PNG with labels, for a slide or a report."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from io import BytesIO
from pathlib import Path

from PIL import Image

from parts.pictures import look

ACROSS = 6
"""Pictures side by side; more would not be legible on a slide."""
CELL = 256
"""Side of a picture in pixels, at least; larger ones keep their size."""


def png(shown: Sequence[tuple[str, Path | None]]) -> bytes:
    """Return labelled pictures, ``ACROSS`` in a row, as the bytes of a PNG; None: a missing one."""
    # Not above: it brings torch along, and with it seconds before the first view.
    from atelier.reports.image_grid import PAPER, contact_sheet  # noqa: PLC0415

    pictures = [(label, _open(path)) for label, path in shown]
    cell = max([CELL, *(max(p.size) for _, p in pictures if p)])
    parts = [pictures[start : start + ACROSS] for start in range(0, len(pictures), ACROSS)]
    strips = [contact_sheet([[p for _, p in part]], [text for text, _ in part], cell=cell)
              for part in parts]  # fmt: skip
    width, height = max(strip.width for strip in strips), sum(strip.height for strip in strips)
    sheet, top = Image.new("RGB", (width, height), PAPER), 0
    for strip in strips:
        sheet.paste(strip, (0, top))
        top += strip.height
    made = BytesIO()
    sheet.save(made, "PNG")
    return made.getvalue()


def _open(path: Path | None) -> Image.Image | None:
    if path is None or look(path).problem:
        return None
    with suppress(OSError), Image.open(path) as picture:  # OSError: it has vanished since
        return picture.convert("RGB")
    return None
