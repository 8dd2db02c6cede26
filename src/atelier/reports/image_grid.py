"""Contact sheets: labelled grids of pictures, for the README and for samples of the runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

from atelier.core.images import resize

PAPER, INK, GREY, HATCH = "#ffffff", "#1f2328", "#eceef1", "#cfd4da"
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@dataclass(frozen=True)
class _Grid:
    """Measures of a grid in pixels."""

    cell: int
    """Width of a cell."""
    heights: tuple[int, ...]
    """Height of each row: that of its tallest picture."""
    gap: int
    left: int
    """Width of the row labels, margins included."""
    top: int
    """Height of the column labels, margins included."""

    def corner(self, row: int, column: int) -> tuple[int, int]:
        above = sum(self.heights[:row]) + row * self.gap
        return self.left + column * (self.cell + self.gap), self.top + above

    def size(self, rows: int, columns: int) -> tuple[int, int]:
        x, y = self.corner(rows, columns)
        return x, y  # the last gap is the margin


def contact_sheet(
    rows: Sequence[Sequence[Image.Image | None]],
    column_labels: Sequence[str],
    row_labels: Sequence[str] | None = None,
    cell: int = 192,
) -> Image.Image:
    """Return pictures in a grid on white, with labels above and to the left.

    Args:
        rows: pictures of any size, scaled to fit their cell; None, a missing one, gives a hatched
            cell with a dash. A short row is filled with missing ones. A row is no higher than its
            pictures, unless its label is.
        column_labels: one for each column; long ones are wrapped, then truncated.
        row_labels: one for each row, or None for no row labels.
        cell: width of a cell, and its largest height, in pixels; at least 16.

    Raises:
        ValueError: more pictures in a row than labels, another number of row labels than rows,
            or a cell below 16 pixels.
    """
    _check(rows, column_labels, row_labels, cell)
    font = ImageFont.load_default(size=max(10, round(cell * 0.085)))
    heads = [_wrap(label, font, cell) for label in column_labels]
    sides = [_wrap(label, font, cell) for label in row_labels or ()]
    small = [[_fitted(picture, cell) for picture in pictures] for pictures in rows]
    grid = _measure(heads, sides, small, font, cell)
    sheet = Image.new("RGB", grid.size(len(rows), len(heads)), PAPER)
    draw = ImageDraw.Draw(sheet)
    for column, text in enumerate(heads):
        _head(draw, grid, column, text, font)
    for row, text in enumerate(sides):
        _side(draw, grid, row, text, font)
    for row, pictures in enumerate(small):
        for column in range(len(heads)):
            picture = pictures[column] if column < len(pictures) else None
            sheet.paste(_cell(picture, cell, grid.heights[row]), grid.corner(row, column))
    return sheet


def _check(
    rows: Sequence[Sequence[Image.Image | None]],
    columns: Sequence[str],
    labels: Sequence[str] | None,
    cell: int,
) -> None:
    if any(len(row) > len(columns) for row in rows):
        raise ValueError(f"a row holds more pictures than the {len(columns)} column labels")
    if labels is not None and len(labels) != len(rows):
        raise ValueError(f"{len(labels)} row labels for {len(rows)} rows")
    if cell < 16:
        raise ValueError(f"a cell of {cell} pixels is too small; at least 16")


def _fitted(picture: Image.Image | None, cell: int) -> Image.Image | None:
    return picture and resize(picture.convert("RGB"), cell, "fit")


def _measure(
    heads: list[str],
    sides: list[str],
    rows: list[list[Image.Image | None]],
    font: Font,
    cell: int,
) -> _Grid:
    gap = max(4, cell // 24)
    labels = [_extent(text, font)[1] for text in sides] or [0] * len(rows)
    tallest = [max((p.height for p in pictures if p), default=cell) for pictures in rows]
    heights = tuple(map(max, tallest, labels))
    left = max((_extent(text, font)[0] for text in sides), default=0)
    top = max((_extent(text, font)[1] for text in heads), default=0)
    return _Grid(cell, heights, gap, left + 2 * gap if left else gap, top + 2 * gap if top else gap)


def _extent(text: str, font: Font) -> tuple[int, int]:
    """Return width and height of ``text``; the line height does not depend on its letters."""
    draw = ImageDraw.Draw(Image.new("L", (1, 1)))
    lines = text.splitlines()
    width = max((draw.textlength(line, font=font) for line in lines), default=0)
    _, top, _, bottom = draw.multiline_textbbox((0, 0), "\n".join("Ag" for _ in lines), font=font)
    return round(width), round(bottom - min(top, 0)) if text else 0


def _wrap(text: str, font: Font, width: int, most: int = 2) -> str:
    """Return ``text`` in at most ``most`` lines of ``width`` pixels, broken at spaces."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if not lines[-1] or _extent(longer, font)[0] <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    if len(lines) > most:
        lines = [*lines[: most - 1], " ".join(lines[most - 1 :])]
    return "\n".join(_cut(line, font, width) for line in lines)


def _cut(line: str, font: Font, width: int) -> str:
    if _extent(line, font)[0] <= width:
        return line
    while line and _extent(f"{line}...", font)[0] > width:
        line = line[:-1]
    return f"{line.rstrip()}..."


def _head(draw: ImageDraw.ImageDraw, grid: _Grid, column: int, text: str, font: Font) -> None:
    x, y = grid.corner(0, column)
    at = (x + grid.cell / 2, y - grid.gap)
    draw.multiline_text(at, text, fill=INK, font=font, anchor="md", align="center")


def _side(draw: ImageDraw.ImageDraw, grid: _Grid, row: int, text: str, font: Font) -> None:
    x, y = grid.corner(row, 0)
    at = (x - grid.gap, y + grid.heights[row] / 2)
    draw.multiline_text(at, text, fill=INK, font=font, anchor="rm", align="right")


def _cell(picture: Image.Image | None, cell: int, height: int) -> Image.Image:
    """Return a picture that fits, in the middle of its cell."""
    if picture is None:
        return _missing(cell, height)
    tile = Image.new("RGB", (cell, height), PAPER)
    tile.paste(picture, ((cell - picture.width) // 2, (height - picture.height) // 2))
    return tile


def _missing(cell: int, height: int) -> Image.Image:
    """Return a hatched cell, which looks unlike a grey or white picture."""
    tile = Image.new("RGB", (cell, height), GREY)
    draw = ImageDraw.Draw(tile)
    for start in range(-height, cell, max(6, cell // 14)):
        draw.line([(start, height), (start + height, 0)], fill=HATCH, width=1)
    x, y, radius = cell / 2, height / 2, min(cell, height) / 8
    draw.ellipse([x - radius, y - radius, x + radius, y + radius], GREY)
    dash = max(3, cell // 24)  # drawn: Pillow's own font has ASCII only
    draw.line([(x - dash, y), (x + dash, y)], fill=INK, width=max(1, cell // 96))
    return tile
