"""Preferences of people: strengths of methods from votes, and which metric agrees with them.

A vote counts as long as the pictures are those that were voted on: the data set and both methods'
pictures have the digests stored with it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from atelier.core.files import read_record
from atelier.core.intervals import LEVEL
from atelier.core.paths import Results
from atelier.core.records import PICTURES
from atelier.metrics.catalogue import METRICS, PREFERENCE, QUESTIONS, VOTES_ON
from atelier.reports import bradley_terry, outputs
from atelier.reports import votes as ballot_box
from atelier.reports.bradley_terry import Array
from atelier.reports.votes import Vote

NEEDED = 10
"""Votes on a method from which on its strength is shown; its standard error is then about 0.7."""
FEWEST = 4
"""Methods from which on a rank correlation is shown."""
DRAWS, SEED = 500, 0
"""Bootstrap draws, and their seed: the same votes have the same interval everywhere."""
MEANING = (
    "Which metric predicts people here: Kendall's τ between the order of the methods by votes and "
    "by the metric, with a 95 % interval for other votes and other methods; 1: the same order."
)
DIGITS = 4
"""Digits kept of a strength: those further behind differ between machines."""


@dataclass(frozen=True)
class Strengths:
    """Bradley–Terry strengths of the methods that have enough votes on a question."""

    methods: tuple[str, ...]
    theta: Array
    """(n,), log odds with mean zero."""
    draws: Array
    """(``DRAWS``, n), the same of votes drawn with replacement."""
    counts: Mapping[str, int]
    """Number of votes on each method, those with too few included."""

    def figures(self, question: str) -> dict[str, dict[str, float]]:
        """Return method → its columns of the table."""
        found: dict[str, dict[str, float]] = {
            name: {VOTES_ON + question: count} for name, count in self.counts.items()
        }
        if not self.methods:
            return found
        key, (low, high) = PREFERENCE + question, interval(self.draws)
        for place, name in enumerate(self.methods):
            values = (self.theta[place], low[place], high[place])
            keys = (key, f"{key}_low", f"{key}_high")
            found[name] |= {k: round(float(v), DIGITS) for k, v in zip(keys, values, strict=True)}
        return found


def interval(draws: Array) -> tuple[Array, Array]:
    """Return the bounds of the 95 % interval over the first axis, by percentiles."""
    low, high = np.nanquantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    return low, high


@dataclass(frozen=True)
class Study:
    """The votes that count, and the number of those on other pictures."""

    votes: tuple[Vote, ...]
    stale: int

    def on(self, question: str) -> tuple[Vote, ...]:
        """Return the votes on a question."""
        return tuple(vote for vote in self.votes if vote.question == question)

    def strengths(self, question: str) -> Strengths:
        """Return the strengths by a question's votes; cached."""
        return strengths(self.on(question))

    def summary(self, methods: Sequence[str]) -> list[str]:
        """Return lines on the number of votes, and on what they do not suffice for."""
        lines = [self._line(question, methods) for question in QUESTIONS if self.on(question)]
        if self.stale:
            lines.append(f"not counted: {self.stale} on earlier pictures")
        return lines

    def _line(self, question: str, methods: Sequence[str]) -> str:
        votes = self.on(question)
        people, shown = len({vote.voter for vote in votes}), self.strengths(question).methods
        lacking = [name for name in methods if name not in shown]
        line = f"{question}: votes: {len(votes)}, people: {people}"
        if not lacking:
            return line
        names = "all methods" if not shown else ", ".join(lacking)
        return f"{line}; too few votes ({NEEDED} are needed on a method) on {names}"


def study(root: Path, methods: Sequence[str], votes: Sequence[Vote] | None = None) -> Study:
    """Return the votes on the pictures there are now.

    Args:
        root: the project's folder.
        methods: those whose pictures are compared.
        votes: all votes; default: those of the copy that the comparison depends on.

    Raises:
        UserError: the copy of the votes is broken.
    """
    known = ballot_box.read(root) if votes is None else votes
    if not known:
        return Study((), 0)
    data, now = outputs.digest(root) or "", pictures(root, methods)
    counted = tuple(
        vote
        for vote in known
        if vote.data == data
        and now.get(vote.left) == vote.left_pictures
        and now.get(vote.right) == vote.right_pictures
    )
    return Study(counted, len(known) - len(counted))


def pictures(root: Path, methods: Sequence[str]) -> dict[str, str]:
    """Return method → digest of its pictures; without those that have none."""
    records = {name: read_record(Results(root).stylized(name).record) for name in methods}
    return {name: str(found[PICTURES]) for name, found in records.items() if PICTURES in found}


@lru_cache(maxsize=16)  # three questions, read again for every view of the dashboard
def strengths(votes: tuple[Vote, ...]) -> Strengths:
    """Return the strengths of the methods with ``NEEDED`` votes or more.

    They are compared with one another by votes, if by way of other methods; methods that only a
    second group of votes connects have none. The interval is one for other votes of the same kind.
    """
    counts = Counter(name for vote in votes for name in (vote.left, vote.right))
    names = sorted(counts)
    wins, equal = tallies(votes, names)
    shown = _comparable(wins + equal, np.array([counts[name] >= NEEDED for name in names], bool))
    chosen = tuple(name for name, there in zip(names, shown, strict=True) if there)
    if not chosen:
        return Strengths((), np.zeros(0), np.zeros((DRAWS, 0)), counts)
    theta = bradley_terry.fit(bradley_terry.halved(wins, equal))[shown]
    draws = bradley_terry.bootstrap(wins, equal, DRAWS, SEED)[:, shown]
    centred = draws - draws.mean(1, keepdims=True)
    return Strengths(chosen, theta - theta.mean(), centred, counts)


def tallies(votes: Sequence[Vote], names: Sequence[str]) -> tuple[Any, Any]:
    """Return how often the row was preferred to the column, and, above the diagonal, "equal"."""
    place = {name: number for number, name in enumerate(names)}
    wins, equal = (np.zeros((len(names), len(names)), np.int64) for _ in range(2))
    for vote in votes:
        left, right = place[vote.left], place[vote.right]
        if vote.answer == "equal":
            equal[min(left, right), max(left, right)] += 1
        else:
            wins[(left, right) if vote.answer == "left" else (right, left)] += 1
    return wins, equal


def _comparable(met: Any, enough: Any) -> Any:
    """Return which methods have enough votes and are in the largest connected group of such."""
    if not enough.any():
        return enough
    from scipy.sparse.csgraph import connected_components  # noqa: PLC0415 - slow to import

    _, groups = connected_components(met, directed=False)
    return enough & (groups == np.bincount(groups[enough]).argmax())


def figures(root: Path, methods: Sequence[str]) -> dict[str, dict[str, float]]:
    """Return method → its columns of the table that come from votes.

    Raises:
        UserError: the copy of the votes is broken.
    """
    found: dict[str, dict[str, float]] = {}
    known = study(root, methods)
    for question in QUESTIONS:
        for name, values in known.strengths(question).figures(question).items():
            found.setdefault(name, {}).update(values)
    return found


@dataclass(frozen=True)
class Agreement:
    """Kendall's τ-b between people's strengths and a metric; 1: the same order, better on top."""

    metric: str
    question: str
    tau: float
    low: float
    high: float
    methods: int

    @property
    def text(self) -> str:
        """Return τ and its interval."""
        return with_bounds(self.tau, self.low, self.high)


def with_bounds(value: float, low: float, high: float) -> str:
    """Return a number and its interval as people read them: ``0.62 (0.31 to 0.80)``."""
    return f"{value:z.2f} ({low:z.2f} to {high:z.2f})"  # z: no minus before zero


def agreements(known: Study, frame: pd.DataFrame) -> list[Agreement]:
    """Return how each metric agrees with each question's votes, in the catalogue's order.

    The interval is for other votes and other methods: in every bootstrap draw of the votes, the
    methods are drawn with replacement, too. Pairs of the same method count nowhere.

    Args:
        known: the votes.
        frame: the table of ``leaderboard.comparison``.
    """
    rows = frame[frame["status"] == "ok"].set_index("method")
    found = []
    for metric in (metric for metric in METRICS if metric.better):
        for question in QUESTIONS:
            scores = {
                str(name): -metric.rank(float(value)) for name, value in rows[metric.key].items()
            }
            one = agreement(metric.key, question, known.strengths(question), scores)
            if one:
                found.append(one)
    return found


def agreement(
    metric: str, question: str, people: Strengths, scores: Mapping[str, float]
) -> Agreement | None:
    """Return how a metric's scores, the higher the better, agree with people's strengths.

    None with fewer than ``FEWEST`` methods that have both, or if all have the same score.
    """
    places = [n for n, name in enumerate(people.methods) if np.isfinite(scores.get(name, np.nan))]
    values = np.array([scores[people.methods[n]] for n in places])
    if len(places) < FEWEST or np.ptp(values) == 0:
        return None
    from scipy.stats import kendalltau  # noqa: PLC0415 - takes a second to import

    n, total = len(places), people.draws.shape[0]
    drawn = np.random.default_rng(SEED).multinomial(n, np.full(n, 1 / n), size=total)
    low, high = interval(weighted_tau(people.draws[:, places], values, drawn))
    tau = kendalltau(people.theta[places], values).statistic
    return Agreement(metric, question, float(tau), float(low), float(high), n)


def weighted_tau(draws: Array, values: Array, copies: Any) -> Array:
    """Return τ-b (b,) of draws (b, n) and values (n,), with each item ``copies`` (b, n) times.

    NaN where a draw holds one item alone.
    """
    one, other = np.triu_indices(len(values), 1)
    weight = copies[:, one] * copies[:, other]
    mine, theirs = np.sign(draws[:, one] - draws[:, other]), np.sign(values[one] - values[other])
    with np.errstate(invalid="ignore"):
        return np.asarray(
            (weight * mine * theirs).sum(1)
            / np.sqrt((weight * mine**2).sum(1) * (weight * theirs**2).sum(1))
        )


def ranking(known: Study) -> pd.DataFrame:
    """Return the strengths as text: a row per method, the preferred first, a column per question.

    Sorted by the first question that has strengths. Empty without enough votes.
    """
    every = {question: known.strengths(question) for question in QUESTIONS}
    asked = {question: found for question, found in every.items() if found.methods}
    rows: dict[str, dict[str, str]] = {}
    for question, found in asked.items():
        low, high = interval(found.draws)
        for n in np.argsort(-found.theta):
            text = with_bounds(found.theta[n], low[n], high[n])
            rows.setdefault(found.methods[n], {})[question] = text
    return _filled("method", rows, list(asked))


def _filled(head: str, rows: Mapping[str, Mapping[str, str]], asked: list[str]) -> pd.DataFrame:
    cells = [[key, *(row.get(question, "-") for question in asked)] for key, row in rows.items()]
    return pd.DataFrame(cells, columns=[head, *asked])


def table(known: Study, frame: pd.DataFrame) -> pd.DataFrame:
    """Return which metric predicts people here: a row per metric, a column of text per question.

    The metric that agrees best on the first question comes first. Empty without enough votes.
    """
    found = agreements(known, frame)
    rows: dict[str, dict[str, str]] = {}
    for one in sorted(found, key=lambda one: (list(QUESTIONS).index(one.question), -one.tau)):
        rows.setdefault(one.metric, {})[one.question] = one.text
    asked = [question for question in QUESTIONS if any(question in row for row in rows.values())]
    return _filled("metric", rows, asked)
