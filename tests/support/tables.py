"""Leaderboards made by hand."""

from __future__ import annotations

from typing import Any

import pandas as pd

from atelier.reports.leaderboard import COUNTS, NUMBERS, TYPES

MINI = {"features": "mini", "features_hash": "abcdef0123456789", "layer": "relu5_1"}


def row(method: str, **known: Any) -> dict[str, Any]:
    numbers = dict.fromkeys((*NUMBERS, *COUNTS))
    texts = {name: "" for name, kind in TYPES.items() if kind == "object"}
    return {**texts, **numbers, "method": method, "status": "ok", **known}


def frame(*rows: dict[str, Any]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(TYPES)).astype(TYPES)
