"""Is one system better than another? Paired differences with an interval, from records alone.

Two systems stylise the same photographs, so that what is hard about a photograph is hard for both.
The interval of the difference is narrower than two intervals side by side suggest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from atelier.core.config import UserError
from atelier.core.intervals import reach
from atelier.metrics.catalogue import FIGURES, HEADLINE, NETWORKS
from atelier.reports import leaderboard
from atelier.reports.leaderboard import Metrics

Verdict = Literal["better", "indistinguishable", "worse"]


@dataclass(frozen=True)
class Difference:
    """A figure of a row minus that of another, and its 95 % confidence interval."""

    value: float
    low: float
    high: float
    verdict: Verdict

    def text(self, key: str) -> str:
        """Return the difference as people read it: ``-4.2 (-7.0 to -1.4)``."""
        ends = [FIGURES[key].text(number) for number in (self.value, self.low, self.high)]
        return "{} ({} to {})".format(*ends)


def difference(one: Metrics, other: Metrics, key: str = HEADLINE) -> Difference | None:
    """Return how ``one`` differs from ``other`` in a metric.

    The delete-a-group jackknife over the photographs: both records leave out the same groups, and
    the error is that of the differences without each group (``metrics/jackknife.py``). For one
    pair of systems looked at; of many, one in twenty differs by chance alone.

    Returns:
        None where the two do not compare: other networks or numbers of pictures, or no values
        without each group.
    """
    mine, theirs = (record.left_out.get(key, []) for record in (one, other))
    if not mine or len(mine) != len(theirs) or _protocol(one, key) != _protocol(other, key):
        return None
    value = float(getattr(one, key) - getattr(other, key))
    around = reach([a - b for a, b in zip(mine, theirs, strict=True)])
    return Difference(value, value - around, value + around, _verdict(value, around, key))


def _verdict(value: float, around: float, key: str) -> Verdict:
    if abs(value) <= around:
        return "indistinguishable"
    return "better" if FIGURES[key].rank(value) < 0 else "worse"


def _protocol(record: Metrics, key: str) -> list[Any]:
    names = NETWORKS.get(FIGURES[key].network, ())
    return [getattr(record, name) for name in (*names, "n_generated", "n_reference")]


def compared(
    root: Path, frame: pd.DataFrame, chosen: str, key: str = HEADLINE
) -> list[Difference | None]:
    """Return the difference of every row of the comparison to the chosen one, in its order.

    Raises:
        UserError: the chosen row is none of the comparison's, or has no figures to compare with.
    """
    names = [str(name) for name in frame["method"]]
    done = [str(name) for name in frame.loc[frame["status"] == "ok", "method"]]
    if chosen not in names:
        raise UserError(f"{chosen!r} is no row of the comparison: {', '.join(names)}")
    if chosen not in done:
        raise UserError(f"{chosen}: has no figures to compare with; run dvc repro")
    records = {name: leaderboard.metrics(root, name) for name in done}
    if key not in records[chosen].left_out:
        raise UserError(f"{chosen}: no paired differences of {key}; run dvc repro evaluate")
    return [
        difference(records[name], records[chosen], key)
        if name in records and name != chosen
        else None
        for name in names
    ]


def columns(found: Sequence[Difference | None], chosen: str, key: str) -> dict[str, list[str]]:
    """Return the differences as two columns of a table of text."""
    to = leaderboard.label(chosen)
    return {
        f"to {to}": [one.text(key) if one else "-" for one in found],
        f"than {to}": [one.verdict if one else "-" for one in found],
    }
