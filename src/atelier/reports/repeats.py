"""Several seeds of one entry as one row of the comparison: means, with their spread over the seeds.

Which entries repeat which is told by ``Params.repeated``.
"""

from __future__ import annotations

from typing import Any

import pandas as pd

from atelier.core.config import Params
from atelier.metrics.catalogue import FIGURES, METRICS, PREFERENCES
from atelier.reports.leaderboard import NUMBERS, TYPES, CompareSettings, place

SEEDS = "seeds"
"""Column with the number of seeds of a row, where any row has several."""
OVER_SEEDS = "_over_seeds"
"""Ending of a figure's column with its standard deviation over the seeds (divisor n - 1)."""
OF_ONE = {
    name for m in (*METRICS, *PREFERENCES) for name in (m.spread, *(m.interval or ())) if name
}
"""Columns that say how sure a figure of one seed is; empty in rows of several."""


def pooled(frame: pd.DataFrame, params: Params, sort: str | None = None) -> pd.DataFrame:
    """Return the comparison with finished repetitions of an entry in that entry's row.

    Args:
        frame: see ``leaderboard.comparison``.
        params: says which entry repeats which.
        sort: see there; the rows are sorted by their means.

    Returns:
        ``frame`` itself if no entry has two finished seeds. Else such rows have means, ``SEEDS``
        and columns ``OVER_SEEDS``, which are empty in all others.
    """
    families: dict[tuple[str, bool], list[dict[Any, Any]]] = {}
    for row in frame.to_dict("records"):
        name = str(row["method"])
        alone = row["status"] != "ok" or name not in params.method_names
        of = (name if alone else params.repeated(name), alone)
        families.setdefault(of, []).append(row)
    if all(len(family) == 1 for family in families.values()):
        return frame
    rows = [_mean(name, family) for (name, _), family in families.items()]
    by = sort or CompareSettings.of(params).sort
    rows.sort(key=lambda row: place({k: None if pd.isna(v) else v for k, v in row.items()}, by))
    spreads = [f"{name}{OVER_SEEDS}" for name in NUMBERS]
    found = pd.DataFrame(rows, columns=[*TYPES, SEEDS, *spreads])
    empty = [name for name in spreads if found[name].isna().all()]
    return found.astype({**TYPES, SEEDS: "Int64"}).drop(columns=empty)


def _mean(name: str, family: list[dict[Any, Any]]) -> dict[Any, Any]:
    """Return the row of several seeds; a single one as it is.

    It is called as the entry, or as a repetition if the entry itself has no figures.
    """
    if len(family) == 1:
        return family[0]
    called = {str(row["method"]): row for row in family}
    first = called.get(name, family[0])
    numbers = pd.DataFrame(family)[[n for n in NUMBERS if n not in OF_ONE]].astype("float64")
    spreads = numbers.std(skipna=False).add_suffix(OVER_SEEDS)
    return {
        **first,
        **dict.fromkeys(OF_ONE & set(FIGURES)),
        **numbers.mean(skipna=False),
        **spreads,
        SEEDS: len(family),
    }
