"""The figures of every method as one table, for the comparison, the terminal and the dashboard.

A missing or broken file is no error here: the table says so.
"""

from __future__ import annotations

import math
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import pandas as pd
from pydantic import BaseModel, ConfigDict, FiniteFloat, ValidationError

from atelier.core.config import Params, Settings, UserError
from atelier.core.files import read_json
from atelier.core.paths import plain

DO_NOTHING, DO_NOTHING_FILE = "do nothing", "do_nothing"
"""Label and file name of the row that scores the photographs themselves."""
FLOOR = "floor"
"""Label and file name of the row that scores the paintings against one another."""
YARDSTICKS = (DO_NOTHING, FLOOR)
"""Rows that are no methods."""


BETTER_HIGH = ("ssim",)
"""Columns whose larger values are better."""


class CompareSettings(Settings):
    """Settings of the ``compare`` step."""

    sort: str = "frechet"
    """Column the table is sorted by, the best on top."""
    champion: str = "frechet"
    """Figure that decides which training of a method MLflow calls its champion."""

    @classmethod
    def of(cls, params: Params) -> Self:
        """Those of ``params.yaml``, which may leave them out."""
        return cls.build(params.scaled("compare") if "compare" in params else {}, "compare")


class Scores(BaseModel):
    """How one set of pictures was scored."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    frechet: FiniteFloat
    """Distance of the pictures to the paintings, in the features named below."""
    kid: FiniteFloat | None = None
    """The same by kernels, unbiased; small numbers: tables show it times 1,000."""
    kid_sd: FiniteFloat | None = None
    content: FiniteFloat | None = None
    """To the photographs, in the perceptual features named below."""
    style: FiniteFloat | None = None
    """To the painting each was to look like; None for systems that look at none."""
    style_set: FiniteFloat | None = None
    """To the average of all paintings."""
    ssim: FiniteFloat | None = None
    lpips: FiniteFloat | None = None
    artfid: FiniteFloat | None = None


class Metrics(Scores):
    """What ``results/metrics/<method>.json`` says of a method."""

    frechet_low: FiniteFloat | None = None
    frechet_high: FiniteFloat | None = None
    """Where it may lie for as many other pictures of the same system, in 95 of 100 cases."""
    frechet_inf: FiniteFloat | None = None
    """Extrapolated to infinitely many pictures."""
    denoised: Scores | None = None
    """The same pictures after Zero-Shot Noise2Noise."""
    features: str
    features_hash: str | None = None
    layer: str | None = None
    perceptual: str | None = None
    perceptual_hash: str | None = None
    lpips_network: str | None = None
    n_reference: int | None = None  # paintings
    n_generated: int | None = None  # stylised photographs
    seconds_per_picture: FiniteFloat | None = None
    peak_memory_mib: FiniteFloat | None = None
    training_seconds: FiniteFloat | None = None
    parameters_trained: int | None = None
    kind: str | None = None
    device: str | None = None
    run_id: str | None = None

    def row(self) -> dict[str, Any]:
        """The columns of the table; those of the denoised pictures are called ``denoised_…``."""
        found = self.model_dump(include=set(TYPES))
        after = self.denoised.model_dump() if self.denoised else {}
        return found | {f"denoised_{k}": v for k, v in after.items() if f"denoised_{k}" in TYPES}


NUMBERS = (
    *("frechet", "frechet_low", "frechet_high", "frechet_inf", "kid", "kid_sd"),
    *("content", "style", "style_set", "ssim", "lpips", "artfid"),
    *("denoised_frechet", "denoised_kid", "denoised_content", "denoised_style", "denoised_ssim"),
    *("seconds_per_picture", "peak_memory_mib", "training_seconds"),
)
COUNTS = ("parameters_trained", "n_reference", "n_generated")
NETWORKS = (
    *("features", "features_hash", "layer", "perceptual", "perceptual_hash"),
    "lpips_network",
)
TYPES = {
    **dict.fromkeys(("method", "status", "kind"), "object"),
    **dict.fromkeys(NUMBERS, "float64"),
    **dict.fromkeys(COUNTS, "Int64"),
    **dict.fromkeys((*NETWORKS, "device", "error"), "object"),
}
"""Columns of ``comparison`` and their types; texts are "" where unknown."""


def comparison(root: Path, params: Params, sort: str | None = None) -> pd.DataFrame:
    """One row per method, one for doing nothing, one for the floor.

    Args:
        root: the project's folder.
        params: names the methods, and tells whether a failure happened with these settings.
        sort: a column of numbers; default: ``compare.sort`` of the settings.

    Returns:
        The columns of ``TYPES``. ``status`` is ``ok``, ``failed``, ``running`` or ``not run``; only
        an ``ok`` row has numbers, and ``error`` says why another has none. Finished methods come
        first, the best on top, then the yardsticks, then the rest in the given order.

    Raises:
        UserError: ``sort`` is no column to sort by.
    """
    by = sort or CompareSettings.of(params).sort
    if by not in (*NUMBERS, *COUNTS):
        raise UserError(f"{by!r} is no column to sort by: {', '.join((*NUMBERS, *COUNTS))}")
    rows = [_row(root, name, name, params.key(name)) for name in params.method_names]
    rows.append(_row(root, DO_NOTHING, DO_NOTHING_FILE, params.key(DO_NOTHING_FILE)))
    rows.append(_row(root, FLOOR, FLOOR, params.key(FLOOR)))
    rows.sort(key=lambda row: _place(row, by))
    texts = [name for name, kind in TYPES.items() if kind == "object"]
    for row in rows:
        row |= {name: row.get(name) or "" for name in texts}
        row["error"] = row["error"].replace(f"{root}/", "")  # the table leaves this machine
    return pd.DataFrame(rows, columns=list(TYPES)).astype(TYPES)


def _place(row: dict[str, Any], by: str) -> tuple[int, float]:
    """Without a value in the column, a finished method stands behind those that have one."""
    if row["method"] in YARDSTICKS:
        return 1, YARDSTICKS.index(row["method"])
    if row["status"] != "ok":
        return 2, 0.0
    value = row.get(by)
    return 0, math.inf if value is None else value * (-1 if by in BETTER_HIGH else 1)


def _row(root: Path, label: str, name: str, key: str) -> dict[str, Any]:
    """A status record wins: the metrics beside it are those of an earlier run."""
    row: dict[str, Any] = {"method": label, **_status(root, name, key)}
    if row["status"] != "ok":
        return row
    if label == FLOOR and (reason := _no_floor(root)):
        return {**row, "status": "not run", "error": reason}
    try:
        return {**metrics(root, name).row(), **row}
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


def front(methods: pd.DataFrame, x: str = "content", y: str = "frechet") -> pd.DataFrame:
    """The rows no other row beats in both columns (less is better), by ``x``: Pareto's front."""
    ordered = methods.sort_values([x, y])
    best = ordered[y].astype(float).cummin().shift(fill_value=math.inf)
    return ordered[ordered[y] < best]


def to_csv(frame: pd.DataFrame) -> str:
    """The comparison as CSV with a head line; an unknown value is an empty field."""
    return str(frame.to_csv(index=False, lineterminator="\n"))
