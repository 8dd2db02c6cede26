"""Links from a result to its run in MLflow's interface."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from atelier.core.files import read_record
from atelier.core.paths import Results
from atelier.core.records import PICTURES, aside, cost, record
from atelier.tracking.store import database_of, store_uri
from atelier.tracking.ui import address

TRAINED_BY = "training_run_id"
"""Key of records: run id of the training their pictures are from."""


def training_run(root: Path, method: str) -> str | None:
    """Return the id of the run the method was trained in; None without tracking."""
    return _id(record(root, method, "run"))


def run_ids(root: Path, method: str) -> list[str]:
    """Return the ids of the runs a method's results may have, in order of precedence.

    First that of the pictures: the training's own unless ``stylize`` could not resume it and opened
    another. Then that of the training, in case the first is not in the store. Pictures and scores
    of an earlier training are ignored.
    """
    results, trained = Results(root), training_run(root, method)
    made = read_record(results.stylized(method).record).get(PICTURES)
    scores = read_record(results.metrics(method))
    later = [aside(root, method, "stylize", made), cost(root, method, scores)]
    ids = [_id(one) for one in later if one.get(TRAINED_BY, trained) == trained]
    return list(dict.fromkeys(found for found in (*ids, trained) if found))


def _id(found: Mapping[str, Any]) -> str | None:
    value = found.get("run_id")
    return value if isinstance(value, str) and value.isalnum() else None


def page_of(root: Path, method: str) -> tuple[str, str]:
    """Return the address of the method's run and "", or "" and the reason."""
    found = [run_page(run) for run in run_ids(root, method)] or [run_page(None)]
    return next((page for page in found if page[0]), found[0])


def run_page(run: str | None) -> tuple[str, str]:
    """Return the address of a run in MLflow's interface and "", or "" and the reason."""
    if run is None:
        return "", "Tracking was not available when this was made: there is no MLflow run."
    uri = store_uri()
    database = database_of(uri)
    if database is None:
        base = uri if uri.startswith(("http://", "https://")) else address()
        return f"{base.rstrip('/')}/#/experiments/1/runs/{run}", ""
    if not database.is_file():
        return "", f"The run was {run}, but the tracking store {database.name} is gone."
    experiment = _experiment(database, run)
    if experiment is None:
        return "", f"The run was {run}, but the tracking store {database.name} does not hold it."
    return f"{address()}/#/experiments/{experiment}/runs/{run}", ""


def _experiment(database: Path, run: str) -> str | None:
    """Return the experiment a run belongs to, or None."""
    ask = "SELECT experiment_id FROM runs WHERE run_uuid = ? AND lifecycle_stage = 'active'"
    with (
        suppress(sqlite3.Error),
        closing(sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro", uri=True)) as db,
    ):
        found = db.execute(ask, (run,)).fetchone()
        return str(found[0]) if found else None
    return None
