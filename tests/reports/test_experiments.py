"""Experiments of DVC read from git: figures, settings, names from elsewhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from atelier.reports import experiments
from atelier.reports.experiments import (
    LAST_COMMIT,
    WORKSPACE,
    changed_settings,
    figures_of,
    incomparable,
    known_figures,
)
from support.git import commit, git, keep_experiment

FIGURES = {"status": "ok", "frechet": 10.0, "features": "mini", "n_generated": 4, "n_reference": 9}
SETTINGS = "seed: {seed}\nmethods: {{gatys: {{class: gatys, lr: {lr}}}}}\n"


def write(root: Path, lr: float, seed: int = 1, **figures: Any) -> None:
    """The files of one state of the project; each entry named has its figures changed."""
    found = {name: {**FIGURES, **changed} for name, changed in figures.items()}
    path = root / "results/comparison/comparison.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    (root / "params.yaml").write_text(SETTINGS.format(lr=lr, seed=seed))
    path.write_text(json.dumps(found))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """In a folder of its repository; two experiments, and a change in the workspace."""
    git(tmp_path, "init", "-q")
    root = tmp_path / "bench"
    write(root, 0.1, gatys={}, identity={"frechet": 30})
    base = commit(tmp_path)
    write(root, 0.2, gatys={"frechet": 8.0})
    keep_experiment(tmp_path, base, "faster")
    write(root, 0.1, seed=2, gatys={"frechet": 9.0}, cut={"frechet": 7.0})
    keep_experiment(tmp_path, base, "seed")
    git(tmp_path, "update-ref", "refs/exps/stash", base)
    git(tmp_path, "update-ref", "refs/exps/exec/EXEC_HEAD", base)
    write(root, 0.1, gatys={"frechet": 11.0}, identity={"frechet": 30})
    return root


def test_figures_stand_side_by_side(project: Path) -> None:
    found = experiments.experiments(project)
    assert [one.name for one in found][:2] == [WORKSPACE, LAST_COMMIT]
    assert {one.name for one in found[2:]} == {"faster", "seed"}, "and no other reference of DVC"
    assert all(one.date for one in found[2:])
    frame = figures_of(found, "frechet")
    assert frame.loc["gatys", [WORKSPACE, LAST_COMMIT, "faster", "seed"]].tolist() == [11, 10, 8, 9]
    assert frame.loc["cut"].notna().sum() == 1
    assert known_figures(found) == ["frechet", "n_reference", "n_generated"]


def test_settings_that_differ(project: Path) -> None:
    changed = changed_settings(experiments.experiments(project))
    assert sorted(changed.index) == ["methods.gatys.lr", "seed"]
    assert changed.loc["methods.gatys.lr", ["faster", "seed"]].tolist() == ["0.2", "0.1"]
    assert changed_settings(experiments.experiments(project)[:2]).empty


def test_an_entry_on_other_features_does_not_compare(project: Path) -> None:
    found = experiments.experiments(project)
    assert not incomparable(found, "frechet"), "rows may differ, columns not"
    write(project, 0.1, gatys={"features": "vgg19"})
    assert incomparable(experiments.experiments(project), "frechet")


def test_two_of_one_name_are_told_apart(project: Path) -> None:
    base = commit(project.parent)
    write(project, 0.5, gatys={"frechet": 5.0})
    keep_experiment(project.parent, base, "faster")
    names = [one.name for one in experiments.experiments(project)]
    assert len(set(names)) == len(names) == 5
    assert sum(name.startswith("faster") for name in names) == 2


@pytest.mark.parametrize(
    "text", ["{", "[1]", '{"gatys": 3}', '{"gatys": {"frechet": "<img>"}}', "\ud800".encode(
        "utf-8", "surrogatepass").decode("latin-1")]
)  # fmt: skip
def test_a_broken_comparison_is_an_empty_column(project: Path, text: str) -> None:
    base = git(project, "rev-parse", "HEAD")
    (project / "results/comparison/comparison.json").write_text(text, encoding="latin-1")
    (project / "params.yaml").write_text("a: &b [1]\nc: *b\n")
    keep_experiment(project.parent, base, "broken")
    found = {one.name: one for one in experiments.experiments(project)}
    assert found["broken"].settings == {}
    frame = figures_of(list(found.values()), "frechet")
    assert frame["broken"].isna().all()
    assert "broken" not in changed_settings(list(found.values()))


def test_names_are_text_without_tricks(project: Path) -> None:
    base = git(project, "rev-parse", "HEAD")
    for name in ("<img/src=x>", "a\u202eb", WORKSPACE, "$(x)"):
        write(project, 0.1, gatys={"frechet": 1.0})
        keep_experiment(project.parent, base, name)
    names = [one.name for one in experiments.experiments(project)]
    assert {"<img/src=x>", "a�b", f"{WORKSPACE} ({base[:7]})", "$(x)"} <= set(names)


def test_without_git_there_is_the_workspace(tmp_path: Path) -> None:
    assert [one.name for one in experiments.experiments(tmp_path)] == [WORKSPACE]
    write(tmp_path, 0.1, gatys={})
    found = experiments.experiments(tmp_path)
    assert figures_of(found, "frechet").loc["gatys", WORKSPACE] == 10
