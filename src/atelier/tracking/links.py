"""Links from a result to its run in MLflow's interface."""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress
from pathlib import Path

from atelier.core.paths import record
from atelier.tracking.store import store_uri

UI = "http://127.0.0.1:5000"
"""Address at which ``make ui`` serves MLflow."""


def run_id(root: Path, method: str) -> str | None:
    """Return the id of the method's MLflow run; None when tracking was not available."""
    found = record(root, method, "run").get("run_id")
    return found if isinstance(found, str) and found.isalnum() else None


def run_page(run: str | None) -> tuple[str, str]:
    """Return the address of a run in MLflow's interface, or "" and the reason why there is none."""
    if run is None:
        return "", "Tracking was not available when this was made: there is no MLflow run."
    uri = store_uri()
    if not uri.startswith("sqlite:///"):
        base = uri if uri.startswith(("http://", "https://")) else UI
        return f"{base.rstrip('/')}/#/experiments/1/runs/{run}", ""
    database = Path(uri.removeprefix("sqlite:///"))
    if not database.is_file():
        return "", f"The run was {run}, but the tracking store {database.name} is gone."
    experiment = _experiment(database, run)
    if experiment is None:
        return "", f"The run was {run}, but the tracking store {database.name} does not hold it."
    return f"{UI}/#/experiments/{experiment}/runs/{run}", ""


def _experiment(database: Path, run: str) -> str | None:
    """Return the experiment a run belongs to; None when the store cannot tell."""
    ask = "SELECT experiment_id FROM runs WHERE run_uuid = ? AND lifecycle_stage = 'active'"
    with (
        suppress(sqlite3.Error),
        closing(sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro", uri=True)) as db,
    ):
        found = db.execute(ask, (run,)).fetchone()
        return str(found[0]) if found else None
    return None
