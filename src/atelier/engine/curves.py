"""Curves as CSV, for ``dvc plots`` and the dashboard."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from atelier.core.files import atomic


def write_curves(
    curves: Mapping[str, Sequence[float]], path: Path, steps: Sequence[int] | None = None
) -> None:
    """Write losses by step as CSV, for ``dvc plots``; without losses, only the header.

    ``steps`` are the steps of the points; 1, 2, … by default.
    """
    steps = steps or range(1, len(next(iter(curves.values()), [])) + 1)
    rows = [[step, *(curve[n] for curve in curves.values())] for n, step in enumerate(steps)]
    with atomic(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["step", *curves], *rows])


def write_history(history: Mapping[str, Sequence[float]], path: Path) -> None:
    """Write the curves as CSV, for ``dvc plots``."""
    steps = [int(step) for step in history["step"]]
    write_curves({k: v for k, v in history.items() if k != "step"}, path, steps)
