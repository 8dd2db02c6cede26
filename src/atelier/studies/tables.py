"""Parts that the tables of several studies share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SCORES = ("frechet", "kid", "content", "style", "lpips")
"""Scores that a study's table shows, as far as they are there."""
TRAINING = ("photos", "styles", "steps", "training_seconds", "seconds_per_step", "file_mb")
"""Figures of a training that a table shows."""


def evenly(steps: int, count: int) -> list[int]:
    """Return ``count`` steps, or fewer if there are no more, evenly spread; the last included."""
    return sorted({max(1, round(steps * n / count)) for n in range(1, count + 1)})


def scores_of(record: Mapping[str, Any]) -> dict[str, float]:
    """Return the scores of a record that tables show."""
    return {key: float(record[key]) for key in SCORES if isinstance(record.get(key), int | float)}


def training_of(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the figures of a training that tables show, and the number of its parameters.

    Without a step, of weights that others have trained, none of time and data.
    """
    keys = TRAINING if record.get("steps") else ("file_mb",)
    found = {key: record[key] for key in keys if key in record}
    return {**found, "parameters": record.get("parameters_trained")}
