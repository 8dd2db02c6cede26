"""*Experiments*: figures of DVC's experiments side by side."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from support.git import commit, git, keep_experiment
from support.hostile import brought_in
from support.projects import alone_in, fresh_project, show, words


def compared(root: Path, **frechet: float) -> None:
    path = root / "results/comparison/comparison.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = {name: {"status": "ok", "frechet": v, "ssim": 1 / v} for name, v in frechet.items()}
    path.write_text(json.dumps(rows))


@pytest.fixture
def done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A finished project with one experiment of a hostile name."""
    root = alone_in(tmp_path, monkeypatch)
    compared(root, gatys=12.0, noise_floor=2.0)
    git(root, "init", "-q")
    base = commit(root)
    settings = root / "params.yaml"
    settings.write_text(settings.read_text().replace("steps: 20", "steps: 40"))
    compared(root, gatys=9.0, noise_floor=2.0)
    keep_experiment(root, base, "<img/src=x>`_x_$(y)")
    return root


def test_experiments_are_columns(done: Path) -> None:
    app = show("experiments")
    figures, settings = (table.value for table in app.dataframe[:2])
    assert list(figures)[:2] == ["workspace", "last commit"]
    assert figures.loc["gatys"].tolist() == [12.0, 12.0, 9.0]
    assert "Noise floor" in figures.index
    assert settings.loc["scales.demo.gatys.steps"].tolist() == ["20", "20", "40"]
    app.selectbox(key="figure").select("ssim").run()
    assert app.dataframe[0].value.loc["gatys"].tolist()[2] == pytest.approx(1 / 9)
    app.multiselect(key="experiments").set_value([]).run()
    assert "Choose at least one" in words(app)


def test_names_bring_in_nothing_from_elsewhere(done: Path) -> None:
    app = show("experiments")
    texts = [element.value for kind in (app.markdown, app.caption) for element in kind]
    assert not any(map(brought_in, texts))


def test_without_experiments_it_says_how_to_make_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone_in(tmp_path, monkeypatch)
    compared(tmp_path, gatys=12.0)
    app = show("experiments")
    assert "There are no experiments yet" in words(app)
    assert "dvc exp run -S" in words(app)
    assert len(app.dataframe) == 1


def test_nothing_has_been_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(fresh_project(tmp_path))
    assert "There are no experiments yet" in words(show("experiments"))
