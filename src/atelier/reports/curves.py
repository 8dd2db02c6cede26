"""Losses by step, of a training and of a stylisation."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from atelier.core.config import UserError
from atelier.core.paths import Results

TRAINING, STYLISATION = "training", "stylisation"


def curves(root: Path, method: str) -> dict[str, pd.DataFrame]:
    """Return ``training`` and ``stylisation`` → losses by step, unless they are empty.

    Raises:
        UserError: a file is not a table of numbers (named).
    """
    results = Results(root)
    paths = {TRAINING: results.curves(method), STYLISATION: results.stylized(method).curves}
    found = {kind: _curve(path) for kind, path in paths.items() if path.is_file()}
    return {kind: frame for kind, frame in found.items() if frame.size}


def _curve(path: Path) -> pd.DataFrame:
    try:
        frame = pd.read_csv(path, dtype="float64")
        return frame.set_index("step").dropna(axis="columns", how="all")
    except pd.errors.EmptyDataError:
        return pd.DataFrame()
    except (OSError, ValueError, KeyError, pd.errors.ParserError):
        again = "delete it and run the step that writes it again"
        raise UserError(f"{path}: is not a table of numbers by step; {again}") from None
