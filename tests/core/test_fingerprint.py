"""Digests change with the code and the settings they are made of, and with nothing else."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from atelier.core.config import Params
from atelier.core.fingerprint import code_digest, settings_digest
from atelier.engine.resume import CODE

ROOT = Path(__file__).parents[2]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package ``toybox`` of two modules; all but ``car`` is imported."""
    folder = tmp_path / "toybox"
    folder.mkdir()
    for name in ("__init__", "ball", "car"):
        (folder / f"{name}.py").write_text(f"NAME = {name!r}\n")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.import_module("toybox.ball")
    yield folder
    for name in ("toybox", "toybox.ball"):
        sys.modules.pop(name)


def test_code_counts_where_it_is_loaded(package: Path) -> None:
    toybox = sys.modules["toybox"]
    before = code_digest([toybox])
    (package / "car.py").write_text("NAME = 'other'\n")
    assert code_digest([toybox]) == before, "not loaded"
    (package / "ball.py").write_text("NAME = 'other'\n")
    assert code_digest([toybox]) != before


def test_a_module_counts_without_being_loaded(package: Path) -> None:
    before = settings_digest({"lr": 1}, "toybox.car")
    assert settings_digest({"lr": 2}, "toybox.car") != before
    (package / "car.py").write_text("NAME = 'other'\n")
    assert settings_digest({"lr": 1}, "toybox.car") != before
    assert "toybox.car" not in sys.modules


@pytest.mark.parametrize("module", ["toybox.missing", "no_such.module", "..", "toybox.None"])
def test_what_does_not_exist_counts_as_empty(package: Path, module: str) -> None:
    assert settings_digest({}, module) == settings_digest({}, "toybox.nothing")


def test_every_methods_code_is_part_of_its_key(monkeypatch: pytest.MonkeyPatch) -> None:
    params = Params.load(ROOT / "params.yaml")
    before = {name: params.key(name) for name in params.method_names}
    monkeypatch.setattr("atelier.core.fingerprint._source", lambda _: b"mended")
    assert all(params.key(name) != key for name, key in before.items())


def test_the_resume_key_has_all_that_computes() -> None:
    names = {module.__name__ for module in CODE}
    assert names == {"atelier.methods", "atelier.nn", "atelier.core.batches", "atelier.engine.loop"}
