"""Strips of a photograph of one's own, as the bench draws them of its test photographs.

Of a system for arbitrary paintings, strengths and, with two paintings, mixtures; of an unpaired
one, the round trip, with U-GAT-IT's class activation maps.
"""

from __future__ import annotations

from collections.abc import Iterator

from PIL import Image
from torch import Tensor

from atelier.core import images
from atelier.core.config import UserError
from atelier.methods.base import Extra
from atelier.methods.trained import Arbitrary
from atelier.methods.unpaired import Unpaired
from atelier.reports.image_grid import contact_sheet
from atelier.serving.look import DIRECTIONS, PLAIN, Look, Style
from atelier.serving.stylizer import Applied, memory

CELL = 256
"""Side of a cell in pixels."""
ROW = "photograph"


def has_strip(applied: Applied) -> bool:
    """Return whether a method has strips; one that is adapted to the pair first has not."""
    return applied.has_strength or isinstance(applied.method, Unpaired)


def check_strip(applied: Applied, style: Style, look: Look = PLAIN) -> None:
    """Raise ``UserError`` if a method has no strips, or not with these options."""
    applied.check(style, look)
    if not has_strip(applied):
        raise UserError(f"{applied.name} has no strip: neither a strength nor a way back")
    if look.mask:
        raise UserError("a strip has whole pictures; leave the mask out")


def strip(
    applied: Applied,
    photo: Image.Image,
    style: Style = None,
    look: Look = PLAIN,
    max_side: int | None = None,
) -> Image.Image:
    """Return the strips of a photograph as one sheet, a row each.

    Of ``look`` it takes ``stroke`` and ``direction``; strengths and weights are those of the strip.

    Raises:
        UserError: see ``check_strip``, or memory runs out.
    """
    check_strip(applied, style, look)
    content, styles = applied.tensors(photo, style, look, max_side)
    rows: dict[str, dict[str, Image.Image]] = {}
    height, width = content.shape[2:]
    with memory(int(width), int(height)):
        for extra in _extras(applied, content, styles, look):
            rows.setdefault(extra.title, {})[extra.column] = images.to_image(extra.image)
    columns = list(next(iter(rows.values())))
    return contact_sheet([list(row.values()) for row in rows.values()], columns, list(rows), CELL)


def _extras(applied: Applied, content: Tensor, styles: list[Tensor], look: Look) -> Iterator[Extra]:
    method = applied.method
    if isinstance(method, Arbitrary):
        yield from method.strips(ROW, content, styles)
    elif isinstance(method, Unpaired):
        yield from method.round_trip(ROW, look.direction or DIRECTIONS[0], content)
