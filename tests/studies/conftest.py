"""A project with tiny pictures in which every study runs in seconds."""

from __future__ import annotations

import shutil
from contextlib import chdir
from pathlib import Path

import pytest

from atelier.core.config import Params
from atelier.engine.distributed import ALONE
from atelier.studies.bench import Bench
from atelier.tracking.client import Run
from support.bench import edit
from support.pictures import data_folder
from support.scripts import ROOT, script

STEPS = {
    "ugatit": 10, "metanet_original": 4, "fast_night": 5, "arbitrary": 2, "adaattn": 2,
    "cyclegan": 5, "gatys": 4, "gatys_lbfgs": 20,
}  # fmt: skip
"""Fewer than those of the scale `smoke`; entries that extend these have as many."""


def small(folder: Path) -> Path:
    """A project at scale `smoke` whose trainings have a few steps; nothing has been run."""
    shutil.copy(ROOT / "params.yaml", folder)
    (folder / "stages").symlink_to(ROOT / "stages")
    data_folder(folder / "data", train=6, test=4, paintings=4)
    for n in range(2):
        shutil.copy(
            folder / f"data/photos/train/train_{n}.png", _everyday(folder) / f"face_{n}.png"
        )
    edit(folder, "scale", value="smoke")
    edit(folder, "scales", "smoke", "prepare", "size", value=64)
    edit(folder, "prepare", "workers", value=1)
    for name, steps in STEPS.items():
        edit(folder, "scales", "smoke", name, "steps", value=steps)
    for place, name in enumerate(("fast_night", "fast_blossom", "fast_roots")):
        edit(folder, "scales", "smoke", name, "style", value=place)
    return folder


def _everyday(folder: Path) -> Path:
    path = folder / "data/everyday"
    path.mkdir(exist_ok=True)
    return path


def _unwatched() -> Run:
    run = Run("train")
    run._off.add("tracking")
    return run


@pytest.fixture
def with_held_out(tmp_path: Path) -> Path:
    """A project whose settings hold two paintings out."""
    edit(small(tmp_path), "scales", "smoke", "prepare", "test_paintings", value=2)
    return tmp_path


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all studies, which share their trainings."""
    return small(tmp_path_factory.mktemp("project"))


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Trainings run in this process, without MLflow: starting one takes longer than training.

    Their names, as they begin.
    """
    stage = script("stages/train.py")
    monkeypatch.setattr(stage, "open_run", lambda *_, **__: _unwatched())
    begun: list[str] = []

    def run(bench: Bench, _: str, name: str) -> int:
        begun.append(name)
        with chdir(bench.root):
            stage.main(name, Params.load(), ALONE)
        return 0

    monkeypatch.setattr(Bench, "_run", run)
    return begun
