"""`tools/train_mini.py`: from a folder of pictures to weights and card, stopped and continued."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tools.mini import corpus, head
from tools.mini.training import TAPS, DistillSettings

from atelier.core.files import read_json
from support.distilling import SMALL, many
from support.nets import random_features
from support.scripts import script


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch, empty_store: Path, tmp_path: Path) -> ModuleType:
    module = script("tools/mini/__main__.py")
    shutil.copy(empty_store, tmp_path / "runs.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/runs.db")
    teacher = random_features(*TAPS, unit_activations=True)
    monkeypatch.setattr(module, "load_features", lambda *_, **__: teacher)
    monkeypatch.setattr(module, "SAVE_EVERY", 1)
    monkeypatch.setattr("tools.mini.export.BATCHES", 1)
    monkeypatch.setattr(head, "BATCHES", 12)
    monkeypatch.setattr(head, "SIDES", (32,))
    return module


def stopping(phase: str, after: int, left: list[tuple[str, int]]) -> Any:
    """A ``progress`` that is stopped in a phase, and tells how much was left of each."""

    def progress(items: Iterable[Any], total: int, what: str) -> Iterator[Any]:
        left.append((what, total))
        for done, item in enumerate(items, start=1):
            yield item
            if (what, done) == (phase, after):
                raise KeyboardInterrupt

    return progress


@pytest.mark.slow
def test_the_tool_resumes_in_the_same_run(
    tool: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = many(tmp_path / "pictures")
    settings = DistillSettings(**SMALL, steps=3)
    tool.main(folder, tmp_path / "whole", settings)

    left: list[tuple[str, int]] = []
    for phase, after in (("mini", 2), ("examples_kept", 7), ("examples_held_out", 1)):
        with monkeypatch.context() as patch:
            patch.setattr(tool, "progress", stopping(phase, after, left))
            with pytest.raises(KeyboardInterrupt):
                tool.main(folder, tmp_path / "parts", settings)
    kept = [count for what, count in left if what == "examples_kept"]
    assert kept == [12, 5], "collected examples are not collected again"
    began = read_json(tmp_path / "parts/run.json")["run_id"]
    tool.main(folder, tmp_path / "parts", settings)
    assert read_json(tmp_path / "parts/run.json")["run_id"] == began
    whole, parts = (read_json(tmp_path / name / "mini.json") for name in ("whole", "parts"))
    assert whole["hash"] == parts["hash"]
    assert whole["held_out_losses"] == parts["held_out_losses"]
    assert (whole["steps"], whole["data"]["pictures"]) == (3, len(corpus.split(folder)[0]))
    assert 0 < whole["held_out_losses"]["vector_unexplained"] < 1
    vector = load_file(tmp_path / "whole/mini.safetensors")["vector.weight"]
    assert vector.isfinite().all()
    assert vector.abs().mean() > 1e-3, "the tool fits it"

    forget(tmp_path / "parts/examples_kept.pt")
    with monkeypatch.context() as patch:
        patch.setattr(tool, "progress", stopping("", 0, left := []))
        tool.main(folder, tmp_path / "parts", settings)
    assert dict(left)["examples_kept"] == 12, "examples of another network are not used"
    assert dict(left)["examples_held_out"] == 0


def forget(path: Path) -> None:
    """Let the examples in ``path`` be those of another network."""
    torch.save({**torch.load(path, weights_only=True), "origin": "another"}, path)
