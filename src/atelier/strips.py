"""Pictures a method left besides its results: snapshots of the training and extra strips.

On disk: ``results/snapshots/<method>/<photograph>/<column>.png`` and
``results/stylized/<method>/extras/<title>/<row>/<column>.png``. Missing ones are no error.
"""

from __future__ import annotations

from pathlib import Path

Rows = dict[str, dict[str, Path]]
"""Row → column → picture, both in the order they are shown."""
SNAPSHOTS = "snapshots"
INPUT = "1 input"
"""Column of strips that begin with what went in, which may be a painting."""


def strips(root: Path, method: str) -> dict[str, Rows]:
    """Title → rows of everything the method left; the snapshots of its training come first."""
    found = {SNAPSHOTS: _rows(root / "results/snapshots" / method)}
    extras = root / "results/stylized" / method / "extras"
    found |= {folder.name: _rows(folder) for folder in _folders(extras)}
    return {title: rows for title, rows in found.items() if rows}


def _rows(folder: Path) -> Rows:
    found = {
        row.name: {path.stem: path for path in sorted(row.glob("*.png"))}
        for row in _folders(folder)
    }
    return {row: columns for row, columns in found.items() if columns}


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*") if path.is_dir())


def columns(rows: Rows) -> list[str]:
    """Every column of the rows, sorted."""
    return sorted({name for row in rows.values() for name in row})
