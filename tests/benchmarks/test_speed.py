"""The table of speeds has a row for each system and precision; times are not looked at."""

from __future__ import annotations

import json
from functools import partial
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from atelier.methods.base import make
from support.scripts import ROOT, script


@pytest.fixture
def speed(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """It imports its neighbours, as a script does."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return script("benchmarks/speed.py")


@pytest.mark.slow
def test_every_system_has_its_rows(
    speed: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of each kind that is trained: all are compared by the tests of the other scripts."""
    for neighbour, name in ((speed.perceptual, "fast"), (speed.adversarial, "cut")):
        monkeypatch.setattr(neighbour, "FORMULAS", {name: neighbour.FORMULAS[name]})
    speed.main(tmp_path, "mini", crop=64, side=32, width=8, repeats=1)
    rows = json.loads((tmp_path / "speed.json").read_text())["rows"]
    optimised = ["gatys", "gatys", "strotss", "nnst", "nnst, split"]
    assert [row["system"] for row in rows[::2]] == ["fast", "cut", *optimised, "cyclegan, applied"]
    for row in rows:
        assert row["ratio"] == pytest.approx(row["plain, s"] / row["ours, s"])
    table = (tmp_path / "speed.md").read_text().splitlines()
    assert len(table) == len(rows) + 2
    assert {line.count("|") for line in table} == {11}


def test_another_formula_is_noticed(speed: ModuleType) -> None:
    runs = {"float32": iter([1.0] * 3), "bfloat16": iter([1.0] * 3)}
    with pytest.raises(ValueError, match="plain is not the same formula"):
        speed.raced((n for n in [1.1, 1.1, 1.1]), lambda p: (n for n in runs[p]), 1)


def losses(speed: ModuleType, name: str, plain: Any, **knobs: Any) -> list[list[float]]:
    """Return the losses of four steps on 64 px: plain, and ours."""
    block = {"class": name, "features": "mini", "layers": speed.TAPS, "coarsest": 64, "batch": 1}
    method = make({**block, **knobs}, "test", seed=3, device="cpu")
    content, style = speed.picture(64, 0), speed.picture(64, 1)[..., :48]
    iterates = islice(method.iterates(content, style), knobs.get("split_steps", 0) and 1, None)
    ours = [iterate.losses["total"].item() for iterate in islice(iterates, 4)]
    return [[*islice(plain(method, content, style), 4)], ours]


def test_strotss_goes_the_same_way(speed: ModuleType) -> None:
    plain, ours = losses(speed, "strotss", speed.pyramid.strotss, steps=4, samples=256)
    assert plain == pytest.approx(ours, rel=1e-3)
    assert plain[3] < plain[0]


@pytest.mark.parametrize(
    "knobs", [{"steps": 4, "content_weight": 0.3}, {"steps": 1, "split_steps": 4}]
)
def test_nnst_goes_the_same_way(
    speed: ModuleType, knobs: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In both phases, the second at every fourth position; the painting is narrow."""
    monkeypatch.setattr(speed.pyramid.neighbours, "LONGEST", 16)
    way = partial(speed.pyramid.nnst, split="split_steps" in knobs)
    plain, ours = losses(speed, "nnst", way, **knobs)
    assert plain == pytest.approx(ours, rel=1e-3)
    assert plain[3] < plain[0]
