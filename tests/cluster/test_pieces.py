"""Pieces of a stage on another machine: files copied there and back, named as the stage does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from atelier.core import images
from atelier.core.workers import Local
from support.pictures import save

ray_pieces = pytest.importorskip(
    "atelier.cluster.ray_pieces", reason="the extra `cluster` is not installed"
)
pytestmark = [pytest.mark.cluster, pytest.mark.filterwarnings("default")]

KEPT = Path(".checkpoints/x")
Worked = Callable[[bool], tuple[str, str]]


def double(piece: tuple[Path, ...], local: Local, out: Path) -> None:
    """Copies its pictures, with a file in a folder and, before all others, the record."""
    (out / "batch.json").write_text(str(len(piece)))
    for n, path in enumerate(local([*piece, piece[0]])):
        images.save_png(images.load(path), out / f"{n}.png")
    (out / "steps/a").mkdir(parents=True)
    (out / "steps/a/1.png").write_text("step")


@pytest.fixture
def worked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Worked:
    """Runs a piece of two pictures of one name, on a machine that shares the folder or not."""
    pair = [save(tmp_path / folder / "0.png", n) for n, folder in enumerate("ab")]
    (tmp_path / KEPT).mkdir(parents=True)
    (tmp_path / "mark").touch()
    monkeypatch.setattr(ray_pieces.ray, "get", lambda found: found)
    monkeypatch.setattr(ray_pieces.Home, "_there", lambda _, call: SimpleNamespace(remote=call))

    def run(shared: bool) -> tuple[str, str]:
        home = ray_pieces.Home("node", tmp_path, "mark" if shared else "none")
        worker: Any = ray_pieces.PieceWorker(lambda: double, home, KEPT)
        piece = tuple(path.relative_to(tmp_path) for path in pair)
        found: tuple[str, str] = worker.end_of(piece)
        return found

    return run


@pytest.mark.parametrize("shared", [True, False])
def test_files_come_to_the_stages_folder(worked: Worked, tmp_path: Path, shared: bool) -> None:
    assert worked(shared) == ("", "")
    made = {path.relative_to(tmp_path / KEPT).as_posix() for path in _files(tmp_path / KEPT)}
    assert made == {"batch.json", "0.png", "1.png", "2.png", "steps/a/1.png"}
    first, second, again = (images.load(tmp_path / KEPT / f"{n}.png") for n in range(3))
    assert first.equal(again)
    assert not first.equal(second)


@pytest.mark.parametrize("shared", [True, False])
def test_a_broken_picture_has_the_stages_name(worked: Worked, tmp_path: Path, shared: bool) -> None:
    (tmp_path / "b/0.png").write_text("no picture")
    reason, picture = worked(shared)
    assert picture == "b/0.png"
    assert reason.startswith("is not a picture")
    assert shared or _files(tmp_path / KEPT) == []


def test_a_missing_picture_has_the_stages_name(worked: Worked, tmp_path: Path) -> None:
    (tmp_path / "b/0.png").unlink()
    assert worked(False)[1] == worked(True)[1] == "b/0.png"


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]
