"""Paths below results/: one class says them, DVC's outputs agree with it, nobody writes others."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from atelier.core import paths
from atelier.core.baselines import BASELINES
from atelier.core.config import UserError
from atelier.core.paths import Results

ROOT = Path(__file__).parents[2]
DAG = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
NAMES = (
    *(paths.CARD, paths.TRAINING, paths.RUN, paths.RECORD, paths.MANIFEST, paths.PAIRING),
    *(paths.WEIGHTS, paths.CURVES, Results().reference.name),
)


def outs(stage: str) -> set[str]:
    """Everything a stage writes, for the method ``m``."""
    block = DAG[stage].get("do", DAG[stage])
    listed = [entry for key in ("outs", "metrics", "plots") for entry in block.get(key, [])]
    names = [next(iter(entry)) if isinstance(entry, dict) else entry for entry in listed]
    return {name.replace("${key}", "m") for name in names}


def test_dvc_knows_the_same_places() -> None:
    results = Results()
    one, made, table = results.model("m"), results.stylized("m"), results.comparison
    expected = {
        "settings": {results.settings},
        "prepare": {results.prepared.folder},
        "pretrained": {results.pretrained},
        "reference": {
            *(results.reference, results.baselines),
            *(results.metrics(key) for key in BASELINES),
        },
        "train": {one.folder, results.snapshots("m"), results.curves("m")},
        "stylize": {made.images, made.extras, made.record, made.curves},
        "denoise": {results.denoised("m").folder},
        "evaluate": {results.metrics("m")},
        "evaluate_denoised": {results.denoised_metrics("m")},
        "compare": {
            table / name
            for name in (
                *("table.csv", "table.md", "sheets", "comparison.json"),
                *("pareto.png", "grid.png"),
            )
        },
    }
    assert {stage: outs(stage) for stage in DAG} == {
        stage: {str(path) for path in found} for stage, found in expected.items()
    }


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "a\\b", "a\0b", None])
def test_names_stay_inside(name: str) -> None:
    results = Results()
    asked = (
        *(results.model, results.snapshots, results.curves, results.stylized),
        *(results.denoised, results.metrics, results.denoised_metrics, results.status),
    )
    for ask in asked:
        with pytest.raises(UserError, match="is not a plain file name"):
            ask(name)


def written(path: Path) -> Iterator[tuple[int, str]]:
    """Strings of a source file, but for docstrings and texts below a name."""
    tree = ast.parse(path.read_text())
    texts = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in texts:
            yield node.lineno, node.value


def stray(text: str) -> bool:
    return text == paths.RESULTS or "results/" in text or any(name in text for name in NAMES)


@pytest.mark.slow
def test_nobody_else_writes_such_a_path() -> None:
    files = [p for f in ("src", "stages", "dashboard") for p in sorted((ROOT / f).rglob("*.py"))]
    own = ROOT / "src/atelier/core/paths.py"
    assert any(stray(text) for _, text in written(own)), "the search finds what it looks for"
    found = [
        f"{path.relative_to(ROOT)}:{line}: {text!r}"
        for path in files
        if path != own
        for line, text in written(path)
        if stray(text)
    ]
    assert not found
