"""What `make` does again, and what not."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NAMES = ("requirements.lock", "pyproject.toml", ".venv/.installed", "data.dvc", "zoo.dvc", "data")
"""Files in the order they were written in."""


@pytest.mark.skipif(not shutil.which("make"), reason="there is no make")
@pytest.mark.parametrize("target", ["data", "demo", "dashboard"])
@pytest.mark.parametrize("newer", [None, "data.dvc", "zoo.dvc"])
def test_data_and_zoo_are_pulled_when_git_has_brought_another_list(
    tmp_path: Path, newer: str | None, target: str
) -> None:
    """Else `dvc repro` would take the former zoo for a new one, and write it into zoo.dvc."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / ".venv").mkdir()
    for time, name in enumerate([*NAMES, *([newer] if newer else [])]):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (time, time))
    done = subprocess.run(
        ["make", "--dry-run", target], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert ("dvc pull" in done.stdout) == bool(newer)
