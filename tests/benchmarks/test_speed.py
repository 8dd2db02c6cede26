"""The table of speeds has a row for each system and precision; times are not looked at."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType

import pytest

from support.scripts import ROOT, script


@pytest.fixture
def speed(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """It imports its neighbours, as a script does."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return script("benchmarks/speed.py")


@pytest.mark.slow
def test_every_system_has_its_rows(speed: ModuleType, tmp_path: Path) -> None:
    speed.main(tmp_path, "mini", crop=64, side=32, width=8, repeats=1)
    rows = json.loads((tmp_path / "speed.json").read_text())["rows"]
    systems = [*speed.perceptual.FORMULAS, *speed.adversarial.FORMULAS]
    applied = ["gatys", "gatys", "cyclegan, applied"]
    assert [row["system"] for row in rows[::2]] == systems + applied
    for row in rows:
        assert row["ratio"] == pytest.approx(row["plain, s"] / row["ours, s"])
    table = (tmp_path / "speed.md").read_text().splitlines()
    assert len(table) == len(rows) + 2
    assert {line.count("|") for line in table} == {11}


def test_another_formula_is_noticed(speed: ModuleType) -> None:
    runs = {"float32": iter([1.0] * 3), "bfloat16": iter([1.0] * 3)}
    with pytest.raises(ValueError, match="plain is not the same formula"):
        speed.raced((n for n in [1.1, 1.1, 1.1]), lambda p: (n for n in runs[p]), 1)
