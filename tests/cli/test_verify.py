"""``atelier verify`` with a real DVC: what differs from the commit, by how much, what is lost."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file

from atelier.cli import verify as verify_module
from atelier.cli.verify import GONE, LOST, verify
from support.cli import atelier

MAKE = """\
import shutil
shutil.copytree("made", "results", dirs_exist_ok=True)
"""
STAGES = """\
stages:
  make:
    cmd: {python} make.py
    deps: [made]
    outs: [results/model.safetensors, results/pictures, results/notes.txt]
    metrics: [results/scores.json, {{results/comparison.json: {{cache: false}}}}]
"""
pytestmark = pytest.mark.slow


def run(root: Path, *command: str) -> None:
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module", autouse=True)
def warm(warm_programs: Path) -> Iterator[None]:
    """Let DVC begin with the libraries imported, as this file calls it and as ``verify`` does."""
    program = str(warm_programs / "dvc")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(verify_module, "DVC", (program,))
        yield


def dvc(root: Path, *words: str) -> None:
    run(root, *verify_module.DVC, *words)


def make(root: Path, value: float = 1.0) -> None:
    """What the stage copies to ``results``; ``value`` is in every file."""
    made = root / "made"
    (made / "pictures").mkdir(parents=True, exist_ok=True)
    for n in range(3):
        level = 100 + (round(value) - 1 if n else 0)
        Image.fromarray(np.full((4, 4, 3), level, np.uint8)).save(made / f"pictures/{n}.png")
    save_file({"w": np.array([1.0, value])}, made / "model.safetensors")
    (made / "notes.txt").write_text("x" * round(value))
    for name in ("scores", "comparison"):
        (made / f"{name}.json").write_text(json.dumps({"adain": {"frechet": value}}))


@pytest.fixture(scope="module")
def committed(warm: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("verify") / "project"
    make(root)
    (root / "make.py").write_text(MAKE)
    (root / "dvc.yaml").write_text(STAGES.format(python=sys.executable))
    (root / "params.yaml").write_text("methods: {}\n")
    (root / ".gitignore").write_text("/made\n/.checkpoints\n")
    run(root, "git", "init", "--quiet")
    dvc(root, "init", "--quiet")
    dvc(root, "config", "core.analytics", "false")
    dvc(root, "repro", "--quiet")
    run(root, "git", "add", "-A")
    who = ("-c", "user.name=a", "-c", "user.email=a@b")
    run(root, "git", *who, "commit", "--quiet", "-m", "results")
    return root


@pytest.fixture
def root(committed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    copy = tmp_path / "project"
    shutil.copytree(committed, copy, symlinks=True)
    monkeypatch.chdir(copy)
    return copy


DIFFERS = {
    "results/model.safetensors: at most 2, relative 0.67 (w)",
    "results/pictures: 2 of 3 files: at most 2 of 255 levels, 2 on average",
    "results/notes.txt: 3 bytes instead of 1",
    "results/scores.json: at most 2, relative 0.67 (adain.frechet)",
    "results/comparison.json: at most 2, relative 0.67 (adain.frechet)",
}


def again(root: Path) -> None:
    """The stage run on another machine, say: its results, and DVC's record of them, differ."""
    make(root, 3.0)
    dvc(root, "repro", "--quiet")


def in_place(root: Path) -> None:
    """Results that were changed behind DVC's back."""
    make(root, 3.0)
    shutil.rmtree(root / "results/pictures")
    for path in root.glob("results/*.*"):
        path.unlink()
    shutil.copytree(root / "made", root / "results", dirs_exist_ok=True)


def test_what_equals_the_commit_is_said_to(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert atelier(monkeypatch, "verify") == 0
    assert capsys.readouterr().out == "every tracked output is what the last commit records\n"
    assert not list((root / ".checkpoints").iterdir())


@pytest.mark.parametrize("change", [again, in_place])
def test_what_differs_is_told_with_by_how_much(
    root: Path,
    change: Callable[[Path], None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    change(root)
    assert atelier(monkeypatch, "verify") == 1
    assert set(capsys.readouterr().out.splitlines()) == DIFFERS
    assert not list((root / ".checkpoints").iterdir())


def test_recorded_bytes_that_nobody_has_are_said_to_be_lost(root: Path) -> None:
    again(root)
    shutil.rmtree(root / ".dvc/cache")
    (root / "results/notes.txt").unlink()
    cached = ("results/model.safetensors", "results/pictures", "results/scores.json")
    assert set(verify(root)) == {
        *(f"{name}: {LOST}" for name in cached),
        f"results/notes.txt: {GONE}",
        "results/comparison.json: at most 2, relative 0.67 (adain.frechet)",
    }


@pytest.mark.parametrize("where", ["--project", "--local"])
def test_recorded_bytes_come_from_a_remote_named_from_the_settings_file(
    root: Path, where: str
) -> None:
    dvc(root, "remote", "add", where, "--default", "store", "../a store")
    dvc(root, "push", "--quiet")
    assert (root.parent / "a store").is_dir()
    again(root)
    shutil.rmtree(root / ".dvc/cache")
    assert set(verify(root)) == DIFFERS


def test_outside_a_commit_it_is_a_sentence(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(root / ".git")
    assert atelier(monkeypatch, "verify") == 1
    told = capsys.readouterr().err
    assert told.startswith("error: verify: ")
    assert "cannot say what was recorded" in told
    assert told.count("\n") == 1
