"""Comparison as text for the terminal, and as Markdown with published scores, kept apart."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Literal

import pandas as pd

from atelier.core import zoo_files
from atelier.core.markdown import escaped
from atelier.metrics.catalogue import (
    AFTER,
    COSTS,
    FIGURES,
    HEADLINE,
    METRICS,
    NETWORKS,
    PREFERENCES,
    UNSEEN,
    Metric,
    topics,
)
from atelier.reports import leaderboard
from atelier.reports.leaderboard import label
from atelier.reports.literature import published
from atelier.reports.repeats import OVER_SEEDS, SEEDS

Cell = Callable[[dict[Any, Any]], str]
More = Mapping[str, Sequence[str]]
"""Further columns by their heading: a text for every row."""


def _value(metric: Metric) -> Cell:
    def cell(row: dict[Any, Any]) -> str:
        value = metric.text(row[metric.key])
        spread = FIGURES[metric.spread].text(row[metric.spread]) if metric.spread else "-"
        if _seeds(row) > 1:
            spread = metric.text(row.get(metric.key + OVER_SEEDS))
        return value if spread == "-" else f"{value} ± {spread}"

    return cell


def _seeds(row: Mapping[Any, Any]) -> int:
    """Return the number of seeds of a row; see ``repeats``."""
    count = row.get(SEEDS)
    return 1 if count is None or pd.isna(count) else int(count)


def _name(row: dict[Any, Any]) -> str:
    name, seeds = label(row["method"]), _seeds(row)
    return name if seeds == 1 else f"{name} ({seeds} seeds)"


def _interval(ends: tuple[str, str]) -> Cell:
    def cell(row: dict[Any, Any]) -> str:
        low, high = (FIGURES[end].text(row[end]) for end in ends)
        return "-" if low == "-" else f"{low} to {high}"

    return cell


def _photos(row: dict[Any, Any]) -> str:
    count = row[leaderboard.PHOTOS]
    return "-" if pd.isna(count) else f"{count:,}"


def _counts(row: dict[Any, Any]) -> str:
    pair = row["n_generated"], row["n_reference"]
    return "-" if any(pd.isna(n) for n in pair) else " : ".join(str(n) for n in pair)


def _network(name: str, digest: str) -> Cell:
    return lambda row: f"{row[name]} {row[digest][:8]}".strip() or "-"


def _heading(metric: Metric, of: str = "") -> str:
    return metric.heading + of + (f" ×{metric.scale:g}" if metric.scale != 1 else "")


def _columns_of(metric: Metric) -> dict[str, Cell]:
    found = {_heading(metric): _value(metric)}
    if metric.interval:
        of = "" if metric.key == HEADLINE else f"{_heading(metric)} "
        found[of + INTERVAL] = _interval(metric.interval)
    if metric.key == HEADLINE:
        found[CLEAN] = _value(FIGURES[AFTER + HEADLINE])
    if metric.held_out:
        found[_heading(metric, UNSEEN_PAINTINGS)] = _value(FIGURES[UNSEEN + metric.key])
    return found


INTERVAL, CLEAN, UNSEEN_PAINTINGS = "95 % CI", "denoised", " held-out"
TRAINED_ON = "photos"
CELLS: dict[str, Cell] = {
    "method": _name,
    "status": lambda row: str(row["status"]),
    **{k: v for m in (*METRICS, *PREFERENCES) if m.heading for k, v in _columns_of(m).items()},
    "n": _counts,
    "features": _network("features", "features_hash"),
    **_columns_of(FIGURES["seconds_per_picture"]),
    **_columns_of(FIGURES["training_seconds"]),
    TRAINED_ON: _photos,
    **_columns_of(FIGURES["peak_memory_mib"]),
}
LEFT = {"method", "status", "features", "metric"}
OPTIONAL = {
    *(INTERVAL, CLEAN, TRAINED_ON),
    *(name for m in PREFERENCES if m.heading for name in _columns_of(m)),
    *(_heading(m) for m in (*METRICS, *COSTS) if m.heading and not m.always),
    *(_heading(m, UNSEEN_PAINTINGS) for m in METRICS if m.held_out),
}
"""Columns left out if no row has a value."""


def shown(frame: pd.DataFrame, more: More | None = None) -> pd.DataFrame:
    """The columns people read, as text; "-" where there is no value. ``more`` stand at the end.

    The features have a column of their own if rows differ in them; otherwise ``protocol`` names
    them.
    """
    rows = frame.to_dict("records")
    found = pd.DataFrame({name: [cell(row) for row in rows] for name, cell in CELLS.items()})
    drop = [name for name in OPTIONAL if (found[name] == "-").all()]
    if (frame["status"] == "ok").all():
        drop.append("status")
    if len(set(found["features"]) - {"-"}) <= 1:
        drop.append("features")
    return found.drop(columns=drop).assign(**(more or {}))


def to_text(frame: pd.DataFrame, setting: str = "", more: More | None = None) -> str:
    """The comparison as a table of fixed width, for the terminal; reasons stand below it.

    ``setting`` is that of ``protocol.setting``, a line below the table.
    """
    reasons = [
        f"{label(method)}: {' '.join(reason.split())}"
        for method, reason in zip(frame["method"], frame["error"], strict=True)
        if reason
    ]
    parts = [columns(shown(frame, more)), *protocol(frame, setting), "\n".join(reasons)]
    return "\n\n".join(part for part in parts if part)


def to_latex(frame: pd.DataFrame, setting: str = "", more: More | None = None) -> str:
    """The comparison as a tabular for the package booktabs; the protocol stands in comments."""
    cells = shown(frame, more)
    form = "".join("l" if name in LEFT else "r" for name in cells)
    text = cells.to_latex(index=False, escape=True, column_format=form)
    notes = [f"% {line}" for line in protocol(frame, setting) if line]
    return "\n".join(["% needs \\usepackage{booktabs}", *notes, text])


def to_csv(frame: pd.DataFrame, setting: str = "", more: More | None = None) -> str:  # noqa: ARG001
    """The comparison as CSV for programs: all figures in full, no protocol."""
    return leaderboard.to_csv(frame.assign(**(more or {})))


def to_markdown(frame: pd.DataFrame, setting: str = "", more: More | None = None) -> str:
    """The comparison and, apart from it, what others have published."""
    parts = [
        pipes(shown(frame, more)),
        *map(escaped, protocol(frame, setting)),
        "## Published scores, on other data and protocols",
    ]
    parts.append("Not comparable with the table above, nor its rows with one another.")
    return "\n\n".join([*parts, pipes(published())]) + "\n"


def protocol(frame: pd.DataFrame, setting: str = "") -> list[str]:
    """Return the protocol of the figures, and what they must not be compared with."""
    done = frame[frame["status"] == "ok"]
    lines = [_made_with(done, topics(name), *columns) for name, columns in NETWORKS.items()]
    lines += _pretrained(done)
    if SEEDS in frame:
        lines.append("rows of several seeds: mean ± standard deviation over the seeds")
    if _any(done, AFTER + HEADLINE):
        lines.append(f"{CLEAN}: {HEADLINE} after Zero-Shot Noise2Noise")
    if _any(done, leaderboard.PHOTOS):
        lines.append(f"{TRAINED_ON}: number of photographs in the training")
    if _any(done, UNSEEN + HEADLINE):
        counts = sorted({str(n) for n in done[f"{UNSEEN}n_reference"].dropna()})
        lines.append(
            f"{UNSEEN_PAINTINGS.strip()}: to {' or '.join(counts)} paintings no training has seen"
        )
    return [" · ".join(line for line in (*lines, setting) if line), caution(frame)]


def _pretrained(frame: pd.DataFrame) -> list[str]:
    """Return the rows that did not begin from scratch, by the data they began with and by steps."""
    by_data: dict[str, list[str]] = {}
    begun = frame[frame["pretrained"] != ""].groupby("pretrained", sort=False)["method"]
    for history, names in begun:
        data, steps = zoo_files.split_history(str(history))
        by_data.setdefault(data, []).append(f"{', '.join(names)} ({steps})")
    return [f"pretrained on {data}: {', '.join(parts)}" for data, parts in by_data.items()]


def _any(frame: pd.DataFrame, column: str) -> bool:
    return bool(frame[column].notna().any())


def _made_with(frame: pd.DataFrame, what: str, *columns: str) -> str:
    """Return ``what`` and the networks in its columns, all of them if rows differ."""
    kinds = frame[list(columns)].drop_duplicates().to_numpy().tolist()
    names = [" ".join(str(word)[:24] for word in words if word) for words in kinds if words[0]]
    return f"{what}: {', '.join(names)}" if names else ""


def caution(frame: pd.DataFrame) -> str:
    """Return what the distances must not be compared with; "" if all are true FIDs."""
    others = sorted(set(frame["features"]) - {"", "inception_fid"})
    if not others:
        return ""
    return (
        f"{HEADLINE}: on {', '.join(others)} features; comparable within this table only, "
        "not with a published FID"
    )


def columns(cells: pd.DataFrame) -> str:
    """Return a table of text with aligned columns, for the terminal."""
    head = list(cells.columns)
    return aligned(head, cells.to_numpy().tolist(), set(head) - LEFT)


def aligned(head: list[str], rows: list[list[str]], right: Collection[str] = ()) -> str:
    """Return aligned cells below a rule; the columns named in ``right`` are right-aligned."""
    lines = [head, *rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    texts = [
        "  ".join(
            cell.rjust(width) if name in right else cell.ljust(width)
            for name, cell, width in zip(lines[0], line, widths, strict=True)
        ).rstrip()
        for line in lines
    ]
    rule = "  ".join("-" * width for width in widths)
    return "\n".join([texts[0], rule, *texts[1:]])


def pipes(cells: pd.DataFrame, left: Collection[str] = LEFT) -> str:
    """Return a table in GitHub's Markdown; the columns named in ``left`` are left-aligned."""
    rule = [":--" if name in left else "--:" for name in cells.columns]
    rows = cells.map(escaped).to_numpy().tolist()
    lines: list[Sequence[str]] = [list(cells.columns), rule, *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


Format = Literal["text", "markdown", "latex", "csv"]
WRITERS: dict[Format, Callable[[pd.DataFrame, str, More | None], str]] = {
    "text": to_text,
    "markdown": to_markdown,
    "latex": to_latex,
    "csv": to_csv,
}
"""Format → the comparison in it."""
