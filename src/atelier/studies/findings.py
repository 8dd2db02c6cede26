"""Findings of a study: a figure and a table, and the files that show them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from atelier.core import images
from atelier.core.files import atomic
from atelier.reports.image_grid import PAPER, contact_sheet
from atelier.reports.plots import drawn
from atelier.reports.tables import pipes
from atelier.studies.catalogue import FIGURE, NUMBERS, TABLE

INCHES, DPI = (7.5, 3.2), 110
LARGE = 1e4
"""Numbers from here on have no digits behind the point, and no exponent."""


@dataclass(frozen=True)
class Findings:
    """Result of a study."""

    table: pd.DataFrame
    figure: Image.Image
    notes: Sequence[str] = ()
    """Sentences below the table: what to read in it, and what it must not be compared with."""


def write(findings: Findings, folder: Path, heading: str) -> list[Path]:
    """Write figure and table, and return their paths."""
    images.save_png(findings.figure, folder / FIGURE)
    words = {str(name) for name in findings.table.select_dtypes(exclude="number")}
    parts = [f"# {heading}", pipes(shown(findings.table), words), *findings.notes]
    for name, text in ((TABLE, "\n\n".join(parts) + "\n"), (NUMBERS, _csv(findings.table))):
        with atomic(folder / name) as part:
            part.write_text(text, encoding="utf-8")
    return [folder / name for name in (FIGURE, TABLE, NUMBERS)]


def _csv(table: pd.DataFrame) -> str:
    return str(table.to_csv(index=False, lineterminator="\n"))


def shown(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table as text: four significant digits, or all before the point; "-": no value."""
    return table.map(_text)


def _text(value: Any) -> str:
    if pd.isna(value):
        return "-"
    if not isinstance(value, float):
        return str(value)
    return f"{value:.4g}" if abs(value) < LARGE else f"{value:.0f}"


def sheet(
    rows: Sequence[Sequence[Path | Image.Image | None]],
    columns: Sequence[str],
    names: Sequence[str] | None = None,
    cell: int = 128,
) -> Image.Image:
    """Return a contact sheet of files or pictures; None is left blank. See ``image_grid``."""
    blank = Image.new("RGB", (cell, 1), PAPER)  # makes no row higher
    loaded = [[blank if one is None else _loaded(one) for one in row] for row in rows]
    return contact_sheet(loaded, columns, names, cell)


def _loaded(one: Path | Image.Image) -> Image.Image:
    return images.read(one) if isinstance(one, Path) else one


def plot(
    draw: Callable[[Axes], None], across: str, up: str, inches: tuple[float, float] = INCHES
) -> Image.Image:
    """Return a plot that ``draw`` fills, with labelled axes."""
    figure = Figure(inches, DPI, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    draw(axes)
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=8)
    return drawn(figure)


def stacked(*parts: Image.Image) -> Image.Image:
    """Return pictures below each other, on white."""
    whole = Image.new("RGB", (max(p.width for p in parts), sum(p.height for p in parts)), PAPER)
    top = 0
    for part in parts:
        whole.paste(part, (0, top))
        top += part.height
    return whole
