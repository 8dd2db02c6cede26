"""The figures of every method as one table, for the comparison, the terminal and the dashboard.

A missing or broken file is no error here: the table says so.
"""

from __future__ import annotations

import math
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import BaseModel, ConfigDict, FiniteFloat, ValidationError

from atelier.config import Params, UserError
from atelier.files import read_json
from atelier.results import plain

DO_NOTHING, DO_NOTHING_FILE = "do nothing", "do_nothing"
"""Label and file name of the row that scores the photographs themselves."""
FLOOR = "floor"
"""Label and file name of the row that scores the paintings against one another."""
YARDSTICKS = (DO_NOTHING, FLOOR)
"""Rows that are no methods."""


class Metrics(BaseModel):
    """What ``results/metrics/<method>.json`` says of a method."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    frechet: FiniteFloat
    """Distance of the results to the paintings, in the features named below."""
    kid: FiniteFloat | None = None
    """The same by kernels, unbiased; small numbers: tables show it times 1,000."""
    kid_sd: FiniteFloat | None = None
    features: str
    features_hash: str | None = None
    layer: str | None = None
    n_reference: int | None = None  # paintings
    n_generated: int | None = None  # stylised photographs
    seconds_per_picture: FiniteFloat | None = None
    peak_memory_mib: FiniteFloat | None = None
    device: str | None = None
    run_id: str | None = None


TYPES = {
    "method": "object",
    "status": "object",
    "frechet": "float64",
    "kid": "float64",
    "kid_sd": "float64",
    "features": "object",
    "features_hash": "object",
    "n_reference": "Int64",
    "n_generated": "Int64",
    "seconds_per_picture": "float64",
    "peak_memory_mib": "float64",
    "device": "object",
    "error": "object",
}
"""Columns of ``comparison`` and their types; texts are "" where unknown."""


def comparison(root: Path, params: Params) -> pd.DataFrame:
    """One row per method, one for doing nothing, one for the floor.

    Args:
        root: the project's folder.
        params: names the methods, and tells whether a failure happened with these settings.

    Returns:
        The columns of ``TYPES``. ``status`` is ``ok``, ``failed``, ``running`` or ``not run``; only
        an ``ok`` row has numbers, and ``error`` says why another has none. Finished methods come
        first, the least distance on top, then the yardsticks, then the rest in the given order.
    """
    rows = [_row(root, name, name, params.key(name)) for name in params.method_names]
    rows.append(_row(root, DO_NOTHING, DO_NOTHING_FILE, params.key(DO_NOTHING_FILE)))
    rows.append(_row(root, FLOOR, FLOOR, params.key(FLOOR)))
    rows.sort(key=_place)
    texts = [name for name, kind in TYPES.items() if kind == "object"]
    for row in rows:
        row |= {name: row.get(name) or "" for name in texts}
        row["error"] = row["error"].replace(f"{root}/", "")  # the table leaves this machine
    return pd.DataFrame(rows, columns=list(TYPES)).astype(TYPES)


def _place(row: dict[str, Any]) -> tuple[int, float]:
    if row["method"] in YARDSTICKS:
        return 1, YARDSTICKS.index(row["method"])
    return (0, row["frechet"]) if row["status"] == "ok" else (2, 0.0)


def _row(root: Path, label: str, name: str, key: str) -> dict[str, Any]:
    """A status record wins: the metrics beside it are those of an earlier run."""
    row: dict[str, Any] = {"method": label, **_status(root, name, key)}
    if row["status"] != "ok":
        return row
    if label == FLOOR and (reason := _no_floor(root)):
        return {**row, "status": "not run", "error": reason}
    try:
        return {**metrics(root, name).model_dump(include=set(TYPES)), **row}
    except UserError as error:
        return {**row, "status": "failed", "error": str(error)}


def _no_floor(root: Path) -> str:
    """Why there are no figures for the paintings themselves, or ""."""
    with suppress(UserError, AttributeError):  # whatever else is wrong is told with the figures
        return str(read_json(root / "results/metrics" / f"{FLOOR}.json").get("reason", ""))
    return ""


def _status(root: Path, name: str, key: str) -> dict[str, str]:
    path = root / "results/status" / f"{name}.json"
    if path.exists() and (found := _read_status(path, key)):
        return found
    done = (root / "results/metrics" / f"{name}.json").exists()
    return {"status": "ok" if done else "not run", "error": ""}


def _read_status(path: Path, key: str) -> dict[str, str] | None:
    """What the record says; None when it speaks of other settings (see ``Params.key``)."""
    try:
        record = read_json(path)
    except UserError as error:
        return {"status": "failed", "error": str(error)}
    if not isinstance(record, dict) or record.get("state") not in {"running", "failed"}:
        return {"status": "failed", "error": f"{path}: is no status record; delete it"}
    if record.get("key", key) != key:
        return None
    stage = record.get("stage", "a stage")
    if record["state"] == "running":
        return {"status": "running", "error": f"{stage}, since {record.get('since', '?')}"}
    return {"status": "failed", "error": f"{stage}: {record.get('error', 'no reason given')}"}


def metrics(root: Path, method: str) -> Metrics:
    """The figures of a method (or of ``do_nothing``).

    Raises:
        UserError: naming the file, when it is missing, no JSON, or a figure is absent or no number.
    """
    path = root / "results" / "metrics" / f"{plain(method)}.json"
    try:
        return Metrics.model_validate(read_json(path))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise UserError(f"{path}: {where}: {first['msg']}; evaluate the method again") from None


def to_text(frame: pd.DataFrame) -> str:
    """The comparison as a table of fixed width, for the terminal; reasons stand below it."""
    shown = pd.DataFrame(
        {
            "method": frame["method"],
            "status": frame["status"],
            "frechet": [_number(value, 2) for value in frame["frechet"]],
            "kid ×1000": [
                _spread(*pair) for pair in zip(frame["kid"], frame["kid_sd"], strict=True)
            ],
            "features": [
                f"{name} {digest[:8]}".strip() or "-"
                for name, digest in zip(frame["features"], frame["features_hash"], strict=True)
            ],
            "n": [
                _counts(*pair)
                for pair in zip(frame["n_generated"], frame["n_reference"], strict=True)
            ],
            "s/picture": [_number(value, 3) for value in frame["seconds_per_picture"]],
            "MiB": [_number(value, 0) for value in frame["peak_memory_mib"]],
            "device": [name or "-" for name in frame["device"]],
        }
    )
    reasons = [
        f"{method}: {' '.join(reason.split())}"
        for method, reason in zip(frame["method"], frame["error"], strict=True)
        if reason
    ]
    parts = [_table(shown), caution(frame), "\n".join(reasons)]
    return "\n\n".join(part for part in parts if part)


def caution(frame: pd.DataFrame) -> str:
    """What the distances must not be compared with; "" when all are FID proper."""
    others = sorted(set(frame["features"]) - {"", "inception_fid"})
    if not others:
        return ""
    return (
        f"frechet: on {', '.join(others)} features; comparable within this table only, "
        "not with a published FID"
    )


def _table(shown: pd.DataFrame) -> str:
    right = {"frechet", "kid ×1000", "n", "s/picture", "MiB"}
    lines = [list(shown.columns), *shown.to_numpy().tolist()]
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


def _number(value: float, digits: int) -> str:
    return "-" if math.isnan(value) else f"{value:,.{digits}f}"


def _spread(mean: float, deviation: float) -> str:
    return "-" if math.isnan(mean) else f"{1000 * mean:,.1f} ± {1000 * deviation:,.1f}"


def _counts(generated: Any, reference: Any) -> str:
    return "-" if pd.isna(generated) or pd.isna(reference) else f"{generated} : {reference}"


def to_csv(frame: pd.DataFrame) -> str:
    """The comparison as CSV with a head line; an unknown value is an empty field."""
    return str(frame.to_csv(index=False, lineterminator="\n"))
