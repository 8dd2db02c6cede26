"""Store of the runs: its address, its health, valid names, and its relocation.

It knows the tables that it updates, not the library that created them (``tracking.client``).
"""

from __future__ import annotations

import os
import re
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from atelier.core.config import main_root

SQLITE = "sqlite:///"
VALUE_CHARACTERS = 5000
"""Longer values are truncated: MLflow refuses more than 6000 (parameters) or 8000 (tags)."""


def store_uri() -> str:
    """Return ``MLFLOW_TRACKING_URI``, else ``mlflow.db`` in the root that outlives the run."""
    return os.environ.get("MLFLOW_TRACKING_URI") or sqlite_uri(default_database())


def sqlite_uri(database: Path) -> str:
    """Return the address of a database; ``?`` would begin its options, and ``%`` a character."""
    return SQLITE + str(database).replace("%", "%25").replace("?", "%3F")


def database_of(uri: str) -> Path | None:
    """Return the file that an address names; None for a store that is none."""
    if not uri.startswith(SQLITE):
        return None
    return Path(unquote(uri.removeprefix(SQLITE).partition("?")[0]))


def artifacts_uri(database: Path) -> str:
    """Return the folder of the runs' files, beside ``database``, as MLflow reads it."""
    return str(database.parent / "mlartifacts").replace("%", "%25")


def drop_stray_folders(uri: str) -> None:
    """Remove the empty folders that MLflow makes of an address it takes for a path as it stands."""
    folder = Path(uri.removeprefix(SQLITE)).parent
    with suppress(OSError):  # they are not there, or somebody's
        while str(folder) != unquote(str(folder)):
            folder.rmdir()
            folder = folder.parent


def default_database() -> Path:
    """Return an absolute address: a relative one is lost with ``dvc exp run --temp``."""
    return main_root().resolve() / "mlflow.db"


def probe(database: Path) -> None:
    """Raise at once where MLflow would retry for a minute: unreadable, corrupt, locked."""
    with closing(sqlite3.connect(database, timeout=10, isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        db.execute("SELECT count(*) FROM sqlite_master").fetchone()
        db.execute("ROLLBACK")


def follow_move(database: Path, experiment_id: str, old: str, new: str) -> None:
    """Move an experiment and its runs from the artifact folder ``old`` to ``new``.

    MLflow writes absolute paths into the database and has no call to change them. In a moved
    project they lead nowhere, and in a copied one into the original, so they are rewritten.
    """
    experiment = "UPDATE experiments SET artifact_location = ? WHERE experiment_id = ?"
    runs = """UPDATE runs SET artifact_uri = ? || substr(artifact_uri, ?)
              WHERE experiment_id = ? AND substr(artifact_uri, 1, ?) = ?"""
    with closing(sqlite3.connect(database, timeout=10)) as db, db:
        db.execute(experiment, (new, experiment_id))
        db.execute(runs, (new, len(old) + 1, experiment_id, len(old) + 1, f"{old}/"))


def clean(key: str) -> str:
    """Return ``key`` as MLflow allows names: of certain characters, and a path without detours."""
    parts = re.sub(r"[^\w\-. /]", "_", key, flags=re.ASCII)[:250].split("/")
    return "/".join("_" if part in {"", ".", ".."} else part for part in parts)


def text_of(value: Any) -> str:
    """Return ``value`` as MLflow stores it."""
    return str(value)[:VALUE_CHARACTERS]


def brief(error: Exception) -> str:
    """Return the line of a message that names the cause; it may hold a whole SQL statement.

    That is the database's own, where a remark of SQLAlchemy stands above it, else the first.
    """
    lines = str(error).strip().splitlines() or [""]
    lines.sort(key=lambda line: not re.match(r"\(\w+\.\w*Error\)", line))
    return f"{type(error).__name__}: {lines[0]}"[:300]
