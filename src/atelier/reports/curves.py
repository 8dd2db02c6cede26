"""Losses by step, of a training and of a stylisation."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from atelier.core.config import UserError
from atelier.core.paths import Results

TRAINING, STYLISATION = "training", "stylisation"
DECADES = 4
"""Of a loss below its median that a logarithmic axis shows."""


def curves(root: Path, method: str) -> dict[str, pd.DataFrame]:
    """``training`` and ``stylisation`` to losses by step (index ``step``); empty ones left out.

    Raises:
        UserError: a file that is no table of numbers, named.
    """
    results = Results(root)
    paths = {TRAINING: results.curves(method), STYLISATION: results.stylized(method).curves}
    found = {kind: _curve(path) for kind, path in paths.items() if path.is_file()}
    return {kind: frame for kind, frame in found.items() if frame.size}


def on_log_axis(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the losses without what a logarithmic axis cannot show: NaN instead.

    Besides values that are not positive, those ``DECADES`` below the loss's median: a content loss
    that begins at the photograph itself, at 1e-14, would squeeze all others into a line.
    """
    positive = frame.where(frame > 0)
    return positive.where(positive >= positive.median() / 10**DECADES)


def _curve(path: Path) -> pd.DataFrame:
    try:
        frame = pd.read_csv(path, dtype="float64")
        return frame.set_index("step").dropna(axis="columns", how="all")
    except pd.errors.EmptyDataError:
        return pd.DataFrame()
    except (OSError, ValueError, KeyError, pd.errors.ParserError):
        again = "delete it and run the step that writes it again"
        raise UserError(f"{path}: is no table of numbers by step; {again}") from None
