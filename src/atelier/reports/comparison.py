"""Comparison of all methods: a table, grids of pictures, and a JSON that DVC can diff."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image

from atelier.core import images
from atelier.core.config import Params, UserError
from atelier.core.files import atomic, write_json
from atelier.core.markdown import escaped
from atelier.core.paths import Results
from atelier.metrics.catalogue import AFTER, HEADLINE, HELD_OUT_METRICS, METRICS, PREFERENCES
from atelier.reports import leaderboard, outputs, preferences, protocol, tables
from atelier.reports.image_grid import contact_sheet
from atelier.reports.outputs import INPUT, columns, strips
from atelier.reports.plots import pareto
from atelier.reports.repeats import pooled

GRID_ROWS = 6
"""Number of test photographs in the grid; more would not be legible on a page."""
SHOWN = (
    *(HEADLINE, AFTER + HEADLINE),
    *(m.key for m in METRICS if m.name and not m.combined and m.key != HEADLINE),
    *(m.key for m in (*HELD_OUT_METRICS, *PREFERENCES)),
    *("n_generated", "n_reference", "features", "pretrained"),
)
"""Columns in ``comparison.json``: the measured metrics, people's preferences, the protocol."""


def write_comparison(root: Path, params: Params, out: Path) -> str:
    """Write tables, ``comparison.json``, ``pareto.png``, ``grid.png``, ``sheets`` below ``out``.

    A method without results has a row that states why. Returns the table for the terminal.
    """
    known = leaderboard.comparison(root, params)
    frame = leaderboard.without_cost(known)
    setting = protocol.setting(root, params)
    texts = {
        "table.csv": leaderboard.to_csv(frame),
        "table.md": tables.to_markdown(pooled(frame, params), setting)
        + _people(root, params, frame),
    }
    for name, text in texts.items():
        with atomic(out / name) as part:
            part.write_text(text, encoding="utf-8")
    images.save_png(pareto(frame), out / "pareto.png")
    write_json(out / "comparison.json", as_metrics(frame))
    names = params.method_names
    images.save_png(comparison_grid(root, names), out / "grid.png")
    (out / "sheets").mkdir(parents=True, exist_ok=True)
    for name, rows, labels in (*_variants(root, params), *_strips(root, names)):
        images.save_png(contact_sheet(rows, labels), out / "sheets" / f"{name}.png")
    return tables.to_text(pooled(known, params), setting)


def _people(root: Path, params: Params, frame: pd.DataFrame) -> str:
    """Return what people's votes say, as a chapter in Markdown; "" without votes."""
    known = preferences.study(root, params.method_names)
    lines = [escaped(line) for line in known.summary(params.method_names)]
    agreement = preferences.table(known, frame)
    if len(agreement):
        lines += [preferences.MEANING, tables.pipes(agreement)]
    return "\n\n".join(["\n## People's preferences", *lines]) + "\n" if lines else ""


def as_metrics(frame: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Return row → figures, for ``dvc metrics show`` and ``diff``; without figures, the status."""
    found: dict[str, dict[str, Any]] = {}
    for row in frame.sort_values("method").to_dict("records"):
        name = str(row["method"])
        known = {key: row[key] for key in SHOWN if not pd.isna(row[key]) and row[key] != ""}
        found[name] = {"status": row["status"], **known}
    return dict(sorted(found.items()))


def comparison_grid(root: Path, methods: Sequence[str]) -> Image.Image:
    """Return the grid of content, style and every method's picture for some test photographs."""
    photos = outputs.test_photos(root)[:GRID_ROWS]
    if not photos:
        folder = Results(root).prepared.photos
        raise UserError(f"{folder}: holds no test photograph; run dvc repro")
    rows = [_row(root, photo, methods) for photo in photos]
    return contact_sheet(rows, ["content", "style", *methods])


Sheet = tuple[str, Sequence[Sequence[Image.Image | None]], list[str]]
"""Name, rows of pictures, labels of the columns."""


def _variants(root: Path, params: Params) -> Iterator[Sheet]:
    """Return a sheet per system with several entries: variants and ablations side by side."""
    entries: dict[str, list[str]] = {}
    for name in params.method_names:
        entries.setdefault(params.block("methods", name).get("class", name), []).append(name)
    photos = outputs.test_photos(root)[:GRID_ROWS]
    for system, names in entries.items():
        if len(names) > 1:
            rows = [_row(root, photo, names) for photo in photos]
            yield f"variants_{system}", rows, ["content", "style", *names]


def _strips(root: Path, names: Sequence[str]) -> Iterator[Sheet]:
    """Return a sheet per method and kind of strip, with the photograph as first column."""
    photos = {path.stem: path for path in outputs.test_photos(root)}
    for name in names:
        for title, rows in strips(root, name).items():
            labels = columns(rows)
            if INPUT not in labels:
                labels = ["content", *labels]
            pictures = [
                [_open(photos.get(row) if c == "content" else cells.get(c)) for c in labels]
                for row, cells in rows.items()
            ]
            yield f"{name}_{title}", pictures, labels


def _row(root: Path, photo: Path, methods: Sequence[str]) -> list[Image.Image | None]:
    made = [outputs.stylised(root, method, photo.stem) for method in methods]
    return [_open(path) for path in (photo, outputs.painting_for(root, photo.stem), *made)]


def _open(path: Path | None) -> Image.Image | None:
    """Open a picture; return None for a broken one, which the grid shows as missing."""
    try:
        return images.read(path) if path else None
    except images.ImageError:
        return None
