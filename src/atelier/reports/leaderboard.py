"""Table of the figures of all methods, for the comparison, the terminal and the dashboard.

A missing or broken file is not an error here: the table reports it.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any, Self

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError, create_model

from atelier.core.baselines import BASELINES, NOISE_FLOOR
from atelier.core.config import Params, Settings, UserError
from atelier.core.files import read_json
from atelier.core.paths import Results
from atelier.core.process import is_gone
from atelier.core.records import VARYING, cost, record, scores
from atelier.metrics.catalogue import (
    AFTER,
    COSTS,
    DENOISED,
    FIGURES,
    HEADLINE,
    HELD_OUT_METRICS,
    METRICS,
    NETWORKS,
    PREFERENCES,
    PRICE,
    UNSEEN,
)
from atelier.reports import preferences

log = logging.getLogger(__name__)


PHOTOS = "training_photos"
"""Column with the number of photographs that a method was trained on."""


class CompareSettings(Settings):
    """Settings of the ``compare`` step."""

    sort: str = HEADLINE
    """Column to sort by (best first)."""
    champion: str = HEADLINE
    """Metric that selects the champion among a method's trainings in MLflow."""

    @classmethod
    def of(cls, params: Params) -> Self:
        """Return the settings in ``params.yaml``, or their defaults."""
        return cls.build(params.scaled("compare") if "compare" in params else {}, "compare")


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


_FIELDS: dict[str, Any] = {
    metric.key: (FiniteFloat, ...) if metric.required else (FiniteFloat | None, None)
    for metric in METRICS
}
Scores = create_model("Scores", __base__=_Record, **_FIELDS)
"""Scores of one set of pictures: a field per metric of the catalogue."""


class _Denoised(Scores):
    n_generated: int | None = None


_UNSEEN: dict[str, Any] = {
    metric.key.removeprefix(UNSEEN): (FiniteFloat | None, None) for metric in HELD_OUT_METRICS
}
_HeldOut = create_model("_HeldOut", __base__=_Record, **_UNSEEN)


class Metrics(Scores):
    """Contents of ``results/metrics/<method>.json``."""

    denoised: _Denoised | None = None
    """Scores of the same pictures, or some of them, after Zero-Shot Noise2Noise."""
    held_out: _HeldOut | None = None
    """Distances of the same pictures to the held-out paintings."""
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
    training_photos: int | None = None
    """Photographs its own training drew from; None without a step of it."""
    parameters_trained: int | None = None
    kind: str | None = None
    device: str | None = None
    pretrained: str | None = None
    """History of a training that began from the zoo; see ``zoo_files.history``."""
    run_id: str | None = None
    left_out: dict[str, list[FiniteFloat]] = Field(default_factory=dict)
    """Metric → its values without each group of pictures, see ``paired.py``."""

    def row(self) -> dict[str, Any]:
        """Return the columns of the table.

        Those of the denoised pictures are ``denoised_…``, distances to the held-out paintings
        ``held_out_…``.
        """
        found: dict[str, Any] = self.model_dump(include=set(TYPES))
        after = self.denoised.model_dump() if self.denoised else {}
        count = self.denoised.n_generated if self.denoised else None
        if count is not None and count < (self.n_generated or 0):
            after[HEADLINE] = None  # that of fewer pictures is larger
        found |= {AFTER + k: v for k, v in after.items() if AFTER + k in TYPES}
        unseen = self.held_out.model_dump() if self.held_out else {}
        return found | {UNSEEN + k: v for k, v in unseen.items()}


NUMBERS = tuple(key for key, metric in FIGURES.items() if not metric.count)
CHAMPIONS = tuple(key for key in NUMBERS if key not in {one.key for one in PREFERENCES})
"""Numbers that can choose a champion: votes are not recorded with a training."""
COUNTS = (*(key for key, metric in FIGURES.items() if metric.count), PHOTOS)
TYPES = {
    **dict.fromkeys(("method", "status", "kind"), "object"),
    **dict.fromkeys(NUMBERS, "float64"),
    **dict.fromkeys(COUNTS, "Int64"),
    **dict.fromkeys((*chain(*NETWORKS.values()), "device", "pretrained", "error"), "object"),
}
"""Columns of ``comparison`` and their types; text is "" where unknown."""


def comparison(root: Path, params: Params, sort: str | None = None) -> pd.DataFrame:
    """Return the table with one row per method and per baseline.

    Args:
        root: the project's folder.
        params: names the methods, and decides whether a failure belongs to these settings.
        sort: a column of numbers; default: ``compare.sort`` of the settings.

    Returns:
        The columns of ``TYPES``. ``status`` is ``ok``, ``failed``, ``running`` or ``not run``; only
        an ``ok`` row has numbers, and ``error`` says why another has none. Finished methods come
        first, best first, then the baselines, then the rest in the given order.

    Raises:
        UserError: ``sort`` is not a column to sort by.
    """
    by = sort or CompareSettings.of(params).sort
    if by not in FIGURES:
        raise UserError(f"{by!r} is not a column to sort by: {', '.join(FIGURES)}")
    rows = [_row(root, name, params.key(name)) for name in (*params.method_names, *BASELINES)]
    people = _people(root, params)
    rows = [row | (people.get(row["method"], {}) if row["status"] == "ok" else {}) for row in rows]
    rows.sort(key=lambda row: place(row, by))
    texts = [name for name, kind in TYPES.items() if kind == "object"]
    for row in rows:
        row |= {name: row.get(name) or "" for name in texts}
        row["error"] = row["error"].replace(f"{root}/", "")  # the table is published
    return pd.DataFrame(rows, columns=list(TYPES)).astype(TYPES)


def _people(root: Path, params: Params) -> dict[str, dict[str, float]]:
    """Return method → its columns that come from votes."""
    try:
        return preferences.figures(root, params.method_names)
    except UserError as error:
        log.warning("no preferences: %s", error)
        return {}


def place(row: Mapping[Any, Any], by: str) -> tuple[int, float]:
    """Return a sort key: finished methods without a value in the column follow those with one."""
    if row["method"] in BASELINES:
        return 1, list(BASELINES).index(row["method"])
    if row["status"] != "ok":
        return 2, 0.0
    value = row.get(by)
    return 0, math.inf if value is None else FIGURES[by].rank(value)


def _row(root: Path, name: str, key: str) -> dict[str, Any]:
    """Return a method's row; a status record overrides metrics, which are of an earlier run."""
    row: dict[str, Any] = {"method": name, **_status(root, name, key)}
    if row["status"] != "ok":
        return row
    if name == NOISE_FLOOR and (reason := _no_floor(root)):
        return {**row, "status": "not run", "error": reason}
    try:
        return {**metrics(root, name).row(), **row}
    except UserError as error:
        return {**row, "status": "failed", "error": str(error)}


def _no_floor(root: Path) -> str:
    """Return why the noise floor has no figures, or ""."""
    with suppress(UserError, AttributeError):  # any other error is reported with the figures
        return str(read_json(Results(root).metrics(NOISE_FLOOR)).get("reason", ""))
    return ""


def _status(root: Path, name: str, key: str) -> dict[str, str]:
    results, path = Results(root), Results(root).status(name)
    # gone after it was read, or before it could be: the stage has just ended
    if path.exists() and (found := _read_status(results, name, key)) and path.exists():
        return found
    done = results.metrics(name).exists()
    return {"status": "ok" if done else "not run", "error": ""}


def _read_status(results: Results, name: str, key: str) -> dict[str, str] | None:
    """Return a status record; None if it is of other settings (see ``Params.key``) or outdated."""
    path = results.status(name)
    try:
        record = read_json(path)
    except UserError as error:
        return {"status": "failed", "error": str(error)}
    if not isinstance(record, dict) or record.get("state") not in {"running", "failed"}:
        return {"status": "failed", "error": f"{path}: is not a status record; delete it"}
    if record.get("key", key) != key:
        return None
    stage = str(record.get("stage", "a stage"))
    if record["state"] == "running" and not is_gone(record.get("process")):
        return {"status": "running", "error": f"{stage}, since {record.get('since', '?')}"}
    if _restored_since(path, results.last_of(stage, name)):
        return None
    killed = "was killed; `dvc repro` resumes from the last checkpoint, if any"
    usual = killed if record["state"] == "running" else "no reason given"
    return {"status": "failed", "error": f"{stage}: {record.get('error', usual)}"}


def _restored_since(failure: Path, made: Path | None) -> bool:
    """Return whether DVC has restored a stage's result after the stage had failed.

    No stage runs then that would remove the record of the failure.
    """
    with suppress(OSError):
        # Time of the entry itself: copies and links keep the other times of what is in the cache.
        return made is not None and made.lstat().st_ctime_ns > failure.stat().st_mtime_ns
    return False


def metrics(root: Path, method: str) -> Metrics:
    """Return the figures of a method or a baseline.

    Raises:
        UserError: naming the file, if it is missing or not JSON, or a figure is absent or not a
            number.
    """
    path = Results(root).metrics(method)
    try:
        found = read_json(path)
        if isinstance(found, dict):
            found = {**found, **scores(root, method)}
        known = _trained(root, method, found) if isinstance(found, dict) else {}
        return Metrics.model_validate({**known, **found} if known else found)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise UserError(f"{path}: {where}: {first['msg']}; evaluate the method again") from None


def _trained(root: Path, method: str, found: Mapping[str, Any]) -> dict[str, Any]:
    """Return cost, device and run of a method, and how many photographs its training had."""
    training = record(root, method, "training")
    photos = training.get("photos") if training.get("steps") else None
    known = cost(root, method, found)
    return {**known, PHOTOS: photos} if isinstance(photos, int) else known


def without_cost(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the comparison as DVC tracks it: equal on every machine with the same pictures."""
    varying = (metric.key for metric in COSTS if metric.key in VARYING)
    return frame.assign(**dict.fromkeys(varying, math.nan), device="")


def front(methods: pd.DataFrame, x: str = PRICE, y: str = HEADLINE) -> pd.DataFrame:
    """Return the Pareto front sorted by ``x``: rows not beaten in both, lower is better."""
    ordered = methods.sort_values([x, y])
    best = ordered[y].astype(float).cummin().shift(fill_value=math.inf)
    return ordered[ordered[y] < best]


def label(row: object) -> str:
    """Return what people are shown for the name of a row."""
    name = str(row)
    return BASELINES[name].label if name in BASELINES else name


def to_csv(frame: pd.DataFrame) -> str:
    """Return the comparison as CSV with a header; an unknown value is an empty field.

    Without held-out paintings, denoised pictures or trainings it has no columns of them.
    """
    optional = (PHOTOS, *(one.key for one in (*HELD_OUT_METRICS, *DENOISED)))
    empty = [key for key in optional if key in frame and frame[key].isna().all()]
    frame = frame.drop(columns=empty)
    return str(frame.to_csv(index=False, lineterminator="\n"))
