"""Losses by step, of a training and of a stylisation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from atelier.core.config import UserError
from atelier.core.paths import Results

TRAINING, STYLISATION = "training", "stylisation"
POINTS = 1000
"""Points of a curve in a chart, which is about as many pixels wide."""


def curves(root: Path, method: str) -> dict[str, pd.DataFrame]:
    """Return ``training`` and ``stylisation`` → losses by step, unless they are empty.

    Raises:
        UserError: a file is not a table of numbers (named).
    """
    results = Results(root)
    paths = {TRAINING: results.curves(method), STYLISATION: results.stylized(method).curves}
    found = {kind: _curve(path) for kind, path in paths.items() if path.is_file()}
    return {kind: frame for kind, frame in found.items() if frame.size}


def thinned(frame: pd.DataFrame, points: int = POINTS) -> pd.DataFrame:
    """Return curves (columns) of at most ``points`` points each, for a chart that looks the same.

    Each keeps its first and last point, and the lowest and highest of every one of equal intervals:
    no peak is lost. Points that only another curve keeps are NaN; shorter curves are unchanged.
    """
    kept = pd.DataFrame({name: _thinned(frame[name].dropna(), points) for name in frame})
    kept.index.name = frame.index.name
    return kept


def _thinned(curve: pd.Series, points: int) -> pd.Series:
    count, stretches = len(curve), (points - 2) // 2
    if count <= points:
        return curve
    by_place = curve.reset_index(drop=True)
    stretch = by_place.groupby(np.arange(count) * stretches // count)
    return curve.iloc[sorted({0, *stretch.idxmin(), *stretch.idxmax(), count - 1})]


def _curve(path: Path) -> pd.DataFrame:
    try:
        frame = pd.read_csv(path, dtype="float64")
        return frame.set_index("step").dropna(axis="columns", how="all")
    except pd.errors.EmptyDataError:
        return pd.DataFrame()
    except (OSError, ValueError, KeyError, pd.errors.ParserError):
        again = "delete it and run the step that writes it again"
        raise UserError(f"{path}: is not a table of numbers by step; {again}") from None
