"""The comparison as text: for the terminal, and as Markdown with what it must not be mixed with."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

import pandas as pd

from atelier.core.markdown import escaped
from atelier.metrics.catalogue import (
    AFTER,
    COSTS,
    FIGURES,
    HEADLINE,
    METRICS,
    NETWORKS,
    Metric,
    topics,
)
from atelier.reports.leaderboard import label
from atelier.reports.literature import published

Cell = Callable[[dict[Any, Any]], str]


def _value(metric: Metric) -> Cell:
    def cell(row: dict[Any, Any]) -> str:
        value = metric.text(row[metric.key])
        spread = FIGURES[metric.spread].text(row[metric.spread]) if metric.spread else "-"
        return value if spread == "-" else f"{value} ± {spread}"

    return cell


def _interval(ends: tuple[str, str]) -> Cell:
    def cell(row: dict[Any, Any]) -> str:
        low, high = (FIGURES[end].text(row[end]) for end in ends)
        return "-" if low == "-" else f"{low} to {high}"

    return cell


def _counts(row: dict[Any, Any]) -> str:
    pair = row["n_generated"], row["n_reference"]
    return "-" if any(pd.isna(n) for n in pair) else " : ".join(str(n) for n in pair)


def _network(name: str, digest: str) -> Cell:
    return lambda row: f"{row[name]} {row[digest][:8]}".strip() or "-"


def _heading(metric: Metric) -> str:
    return metric.heading + (f" ×{metric.scale:g}" if metric.scale != 1 else "")


def _columns_of(metric: Metric) -> dict[str, Cell]:
    found = {_heading(metric): _value(metric)}
    if metric.interval:
        found[INTERVAL] = _interval(metric.interval)
    if metric.key == HEADLINE:
        found[CLEAN] = _value(FIGURES[AFTER + HEADLINE])
    return found


INTERVAL, CLEAN = "95 %", "denoised"
TIMES = ("seconds_per_picture", "training_seconds", "peak_memory_mib")
"""The costs, here with the times beside each other."""
CELLS: dict[str, Cell] = {
    "method": lambda row: label(row["method"]),
    "status": lambda row: str(row["status"]),
    **{k: v for m in METRICS if m.heading for k, v in _columns_of(m).items()},
    "n": _counts,
    "features": _network("features", "features_hash"),
    **{k: v for key in TIMES for k, v in _columns_of(FIGURES[key]).items()},
}
LEFT = {"method", "status", "features"}
OPTIONAL = {
    *(INTERVAL, CLEAN),
    *(_heading(m) for m in (*METRICS, *COSTS) if m.heading and not m.always),
}
"""Columns left out where no row has a value."""


def shown(frame: pd.DataFrame) -> pd.DataFrame:
    """The columns people read, as text; "-" where there is no value.

    The features have a column of their own when not all rows have the same; otherwise
    ``protocol`` names them.
    """
    rows = frame.to_dict("records")
    found = pd.DataFrame({name: [cell(row) for row in rows] for name, cell in CELLS.items()})
    drop = [name for name in OPTIONAL if (found[name] == "-").all()]
    if (frame["status"] == "ok").all():
        drop.append("status")
    if len(set(found["features"]) - {"-"}) <= 1:
        drop.append("features")
    return found.drop(columns=drop)


def to_text(frame: pd.DataFrame, setting: str = "") -> str:
    """The comparison as a table of fixed width, for the terminal; reasons stand below it.

    ``setting`` is that of ``runs.setting``, a line below the table.
    """
    reasons = [
        f"{label(method)}: {' '.join(reason.split())}"
        for method, reason in zip(frame["method"], frame["error"], strict=True)
        if reason
    ]
    parts = [_columns(shown(frame)), *protocol(frame, setting), "\n".join(reasons)]
    return "\n\n".join(part for part in parts if part)


def to_markdown(frame: pd.DataFrame, setting: str = "") -> str:
    """The comparison and, apart from it, what others have published."""
    parts = [
        _pipes(shown(frame)),
        *map(escaped, protocol(frame, setting)),
        "## Published, other data and protocol",
    ]
    parts.append("Not comparable with the table above, nor its rows with one another.")
    return "\n\n".join([*parts, _pipes(published())]) + "\n"


def protocol(frame: pd.DataFrame, setting: str = "") -> list[str]:
    """What the figures were made with, and what they must not be compared with."""
    done = frame[frame["status"] == "ok"]
    lines = [_made_with(done, topics(name), *columns) for name, columns in NETWORKS.items()]
    lines += _pretrained(done)
    if _any(done, AFTER + HEADLINE):
        lines.append(f"{CLEAN}: {HEADLINE} after Zero-Shot Noise2Noise")
    return [" · ".join(line for line in (*lines, setting) if line), caution(frame)]


def _pretrained(frame: pd.DataFrame) -> list[str]:
    """Which rows did not begin from scratch, those of one history together."""
    begun = frame[frame["pretrained"] != ""].groupby("pretrained", sort=False)["method"]
    return [f"pretrained ({', '.join(names)}): {how}" for how, names in begun]


def _any(frame: pd.DataFrame, column: str) -> bool:
    return bool(frame[column].notna().any())


def _made_with(frame: pd.DataFrame, what: str, *columns: str) -> str:
    """``what`` and the networks named in ``columns``, all of them where rows differ."""
    kinds = frame[list(columns)].drop_duplicates().to_numpy().tolist()
    names = [" ".join(str(word)[:24] for word in words if word) for words in kinds if words[0]]
    return f"{what}: {', '.join(names)}" if names else ""


def caution(frame: pd.DataFrame) -> str:
    """What the distances must not be compared with; "" when all are FID proper."""
    others = sorted(set(frame["features"]) - {"", "inception_fid"})
    if not others:
        return ""
    return (
        f"{HEADLINE}: on {', '.join(others)} features; comparable within this table only, "
        "not with a published FID"
    )


def _columns(cells: pd.DataFrame) -> str:
    head = list(cells.columns)
    return aligned(head, cells.to_numpy().tolist(), set(head) - LEFT)


def aligned(head: list[str], rows: list[list[str]], right: Collection[str] = ()) -> str:
    """Cells under one another below a rule; the columns named in ``right`` end in line."""
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


def _pipes(cells: pd.DataFrame) -> str:
    """A table in GitHub's Markdown."""
    rule = [":--" if name in LEFT else "--:" for name in cells.columns]
    rows = cells.map(escaped).to_numpy().tolist()
    lines: list[Sequence[str]] = [list(cells.columns), rule, *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
