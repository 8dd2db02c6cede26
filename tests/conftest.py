"""What every test is guarded against."""

from __future__ import annotations

import gc
import os
import sqlite3
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is loaded: the cores are the workers'

import pytest
import torch
from sqlalchemy import Engine, event

from atelier.tracking import client
from atelier.tracking.client import Run
from support import warm

LONGEST = "test_pipeline.py"
"""Begun later, it would end alone."""


def pytest_collection_finish() -> None:
    """Look less often through the million objects that the libraries have made to stay."""
    gc.set_threshold(100_000, 20, 50)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest file, then those of most slow tests: no worker ends with them."""
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    items.sort(key=lambda item: (item.path.name != LONGEST, -slow[item.path]))


@pytest.fixture(autouse=True)
def _same_main() -> Iterator[None]:
    """AppTest leaves the dashboard as ``__main__``, which a later test's workers would then run."""
    main = sys.modules["__main__"]
    yield
    sys.modules["__main__"] = main


@pytest.fixture(autouse=True)
def _same_draws() -> None:
    """A network built without a generator is the same whichever tests ran before in the worker."""
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def _own_collection(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stage run in this process would keep all there is, and torch's compiler complains of it.

    Memory that it keeps is none that a later test sees taken.
    """
    monkeypatch.setattr("atelier.tracking.stage.spare_collection", lambda: None)
    monkeypatch.setattr("atelier.core.allocator.keep_memory", lambda: None)


@pytest.fixture(autouse=True, scope="session")
def _no_waiting_for_the_disk() -> Iterator[None]:
    """A store of a test need not survive a power cut: SQLite waited after every commit."""

    def hurry(connection: Any, _: object) -> None:
        if isinstance(connection, sqlite3.Connection):
            connection.execute("PRAGMA synchronous = OFF")

    event.listen(Engine, "connect", hurry)
    yield
    event.remove(Engine, "connect", hurry)


@pytest.fixture
def root_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make ``tmp_path`` the project's root: names in settings are taken from there."""
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))


@pytest.fixture(scope="session")
def empty_zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A zoo without entries."""
    return tmp_path_factory.mktemp("zoo")


@pytest.fixture(autouse=True)
def _no_zoo(monkeypatch: pytest.MonkeyPatch, empty_zoo: Path) -> None:
    """Tests see the zoo that they make, never the checkout's."""
    monkeypatch.setenv("ATELIER_ZOO", str(empty_zoo))


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store without runs; making its tables takes a second, copying it none."""
    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    Run("none").attempt("tracking", lambda: client.connect(f"sqlite:///{path}"))
    return path


@pytest.fixture(scope="session")
def warm_programs() -> Iterator[Path]:
    """Folder of `python`, `dvc` and `atelier` that begin with the libraries imported."""
    with warm.interpreters() as folder:
        yield folder
