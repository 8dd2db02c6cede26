"""The comparison as text: for the terminal, and as Markdown with what it must not be mixed with."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from typing import Any

import pandas as pd

from atelier.reports.literature import published

Cell = Callable[[dict[Any, Any]], str]


def _fixed(column: str, digits: int) -> Cell:
    return lambda row: _number(row[column], digits)


def _number(value: float, digits: int) -> str:
    return "-" if pd.isna(value) or math.isnan(value) else f"{value:,.{digits}f}"


def _spread(row: dict[Any, Any]) -> str:
    mean, deviation = (_number(1000 * row[key], 0) for key in ("kid", "kid_sd"))
    return mean if deviation == "-" else f"{mean} ± {deviation}"


def _interval(row: dict[Any, Any]) -> str:
    low, high = (_number(row[f"frechet_{end}"], 0) for end in ("low", "high"))
    return "-" if low == "-" else f"{low} to {high}"


def _counts(row: dict[Any, Any]) -> str:
    pair = row["n_generated"], row["n_reference"]
    return "-" if any(pd.isna(n) for n in pair) else " : ".join(str(n) for n in pair)


def _network(name: str, digest: str) -> Cell:
    return lambda row: f"{row[name]} {row[digest][:8]}".strip() or "-"


CELLS: dict[str, Cell] = {
    "method": lambda row: str(row["method"]),
    "status": lambda row: str(row["status"]),
    "frechet": _fixed("frechet", 1),
    "95 %": _interval,
    "denoised": _fixed("denoised_frechet", 1),
    "kid ×1000": _spread,
    "content": _fixed("content", 2),
    "style": _fixed("style", 3),
    "style set": _fixed("style_set", 3),
    "ssim": _fixed("ssim", 2),
    "lpips": _fixed("lpips", 3),
    "artfid": _fixed("artfid", 1),
    "n": _counts,
    "features": _network("features", "features_hash"),
    "s/picture": _fixed("seconds_per_picture", 3),
    "training s": _fixed("training_seconds", 0),
    "MiB": _fixed("peak_memory_mib", 0),
}
LEFT = {"method", "status", "features"}
OPTIONAL = {
    "95 %",
    "lpips",
    "artfid",
    "training s",
    "denoised",
    "content",
    "style",
    "style set",
    "ssim",
    "s/picture",
    "MiB",
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
        f"{method}: {' '.join(reason.split())}"
        for method, reason in zip(frame["method"], frame["error"], strict=True)
        if reason
    ]
    parts = [_columns(shown(frame)), *protocol(frame, setting), "\n".join(reasons)]
    return "\n\n".join(part for part in parts if part)


def to_markdown(frame: pd.DataFrame, setting: str = "") -> str:
    """The comparison and, apart from it, what others have published."""
    parts = [
        _pipes(shown(frame)),
        *protocol(frame, setting),
        "## Published, other data and protocol",
    ]
    parts.append("Not comparable with the table above, nor its rows with one another.")
    return "\n\n".join([*parts, _pipes(published())]) + "\n"


def protocol(frame: pd.DataFrame, setting: str = "") -> list[str]:
    """What the figures were made with, and what they must not be compared with."""
    done = frame[frame["status"] == "ok"]
    lines = [
        _made_with(done, "frechet, kid", "features", "features_hash", "layer"),
        _made_with(done, "content, style", "perceptual", "perceptual_hash"),
        _made_with(done, "lpips", "lpips_network"),
        "denoised: frechet after Zero-Shot Noise2Noise" if _any(done, "denoised_frechet") else "",
    ]
    return [" · ".join(line for line in (*lines, setting) if line), caution(frame)]


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
        f"frechet: on {', '.join(others)} features; comparable within this table only, "
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
    rows = cells.astype(str).replace(r"\|", r"\\|", regex=True).to_numpy().tolist()
    lines: list[Sequence[str]] = [list(cells.columns), rule, *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
