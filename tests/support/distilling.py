"""A training of `mini` small enough for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from support.pictures import save

SMALL: dict[str, Any] = {"side": 32, "fresh": 2, "optimised": 1, "warmup": 2}


def many(folder: Path) -> Path:
    """Two dozen pictures of different sizes, enough to hold a tenth out."""
    for n in range(24):
        save(folder / f"{n}.png", seed=n, size=(64 + n, 48))
    return folder
