"""The data commands, in a throw-away project with git and DVC."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from atelier.cli.main import app, main
from atelier.core.config import UserError
from atelier.core.filenames import is_utf8
from atelier.core.layout import splits
from atelier.datasets import download, importer
from support.pictures import data_folder, save

COUNTS = {"photos/train": 4, "photos/test": 3, "paintings": 2}


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """``main`` with these arguments; returns its exit code."""
    monkeypatch.setattr(sys, "argv", ["atelier", *arguments])
    with pytest.raises(SystemExit) as left:
        main()
    return int(left.value.code or 0)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that looks like a project; DVC is not asked."""
    root = tmp_path / "project"
    (root / ".dvc").mkdir(parents=True)
    (root / "params.yaml").write_text("scale: demo\n")
    monkeypatch.chdir(root)
    return root


@pytest.fixture
def dvc(project: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """What DVC was asked; it says yes to everything, and ``add`` leaves data.dvc."""
    asked: list[tuple[str, ...]] = []

    def answer(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        asked.append(arguments)
        if arguments[0] == "add":
            (root / "data.dvc").touch()
        return subprocess.CompletedProcess(arguments, 0, "", "")

    monkeypatch.setattr(importer, "_dvc", answer)
    return asked


def test_check_counts_and_names_broken_files(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data_folder(project / "data")
    assert run(monkeypatch, "data", "check") == 0
    assert "4 photos/train, 3 photos/test, 2 paintings in " in capsys.readouterr().out
    (project / "data" / "paintings" / "empty.jpg").touch()
    assert run(monkeypatch, "data", "check", "data") == 1
    told = capsys.readouterr()
    assert "3 paintings" in told.out
    assert "error: 1 of 10 cannot be read\ndata/paintings/empty.jpg: is empty" in told.err


def test_errors_are_one_line_without_a_traceback(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "data", "check", "nowhere") == 1
    told = capsys.readouterr().err
    assert told.startswith("error: nowhere: no such folder; expected photos/train")
    assert told.count("\n") == 1
    assert run(monkeypatch, "data", "chek") == 2


def test_ctrl_c_is_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("atelier.core.layout.splits", interrupt)
    assert run(monkeypatch, "data", "check", "data") == 130


def test_use_copies_pictures_only(project: Path, dvc: list, tmp_path: Path) -> None:
    source = data_folder(tmp_path / "mine")
    (source / "paintings" / "Thumbs.db").touch()
    (source / "taxes.pdf").touch()
    os.mkfifo(source / "paintings/pipe.jpg")
    result = CliRunner().invoke(app, ["data", "use", str(source)])
    assert result.exit_code == 0
    assert "Next: dvc repro" in result.output
    assert "pipe.jpg: left out, not a regular file" in result.output
    assert "paintings: left out, not called like pictures: 1 .db" in result.output
    files = [path for path in (project / "data").rglob("*") if path.is_file()]
    assert len(files) == 9
    assert len(list(source.rglob("*.*"))) == 12
    assert dvc == [("add", "--quiet", "data")]
    assert sorted(path.name for path in project.iterdir()) == [
        ".dvc",
        "data",
        "data.dvc",
        "params.yaml",
    ]


def test_untracked_data_are_refused_then_forced(project: Path, dvc: list, tmp_path: Path) -> None:
    source = data_folder(tmp_path / "mine")
    (project / "data").mkdir()
    (project / "data" / "precious.jpg").touch()
    with pytest.raises(UserError, match="not tracked by DVC and would be lost; move them away"):
        importer.adopt(source, project)
    assert (project / "data" / "precious.jpg").exists()
    assert importer.adopt(source, project, force=True) == COUNTS
    assert not (project / "data" / "precious.jpg").exists()


def test_names_dvc_cannot_write_are_made_readable(project: Path, dvc: list, tmp_path: Path) -> None:
    source = data_folder(tmp_path / "mine")
    for seed, name in enumerate((b"caf\xe8.png", b"caf\xe9.png", "café.png".encode())):
        (source / "paintings" / os.fsdecode(name)).write_bytes(
            save(tmp_path / "one.png", seed=900 + seed).read_bytes()
        )
    assert importer.adopt(source, project)["paintings"] == 5
    names = sorted(path.name for path in (project / "data/paintings").iterdir())
    assert "cafè.png" in names
    assert len(names) == len(splits(project / "data")["paintings"]) == 5
    assert all(is_utf8(Path(name)) for name in names)


def test_in_place_such_a_name_is_an_error(project: Path, dvc: list) -> None:
    data = data_folder(project / "data")
    save(data / "a.png").rename(data / "paintings" / os.fsdecode(b"caf\xe8.png"))
    with pytest.raises(UserError, match=r"cafè\.png: the name is not UTF-8"):
        importer.adopt(data, project)
    assert dvc == []


@pytest.mark.parametrize("had", [True, False])
def test_nothing_is_swapped_when_dvc_fails(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, had: bool
) -> None:
    if had:
        data_folder(project / "data", train=1)
        (project / "data.dvc").touch()

    def fail(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        code = 1 if arguments[0] == "add" else 0
        return subprocess.CompletedProcess(arguments, code, "", "no room")

    monkeypatch.setattr(importer, "_dvc", fail)
    with pytest.raises(UserError, match="`dvc add data` failed and nothing was changed:\nno room"):
        importer.adopt(data_folder(tmp_path / "mine"), project)
    assert (project / "data").exists() == had
    if had:
        assert len(splits(project / "data")["photos/train"]) == 1
    assert not list(project.glob(".data.*"))


def test_killed_between_the_renames_the_old_data_come_back(project: Path, dvc: list) -> None:
    data_folder(project / "data").rename(project / ".data.1.old")
    data_folder(project / ".data.2.part", train=9)
    told = importer.recover(project)
    assert "the old pictures are restored" in told[0]
    assert len(splits(project / "data")["photos/train"]) == 4
    assert not list(project.glob(".data.*"))
    assert dvc == []


def test_killed_after_them_the_new_data_are_added(project: Path, dvc: list) -> None:
    data_folder(project / ".data.1.old")
    data_folder(project / "data", train=9)
    assert "it is finished now" in importer.recover(project)[0]
    assert len(splits(project / "data")["photos/train"]) == 9
    assert dvc == [("add", "--quiet", "data")]
    assert not list(project.glob(".data.*"))


def test_a_replacement_under_way_is_left_alone(project: Path, dvc: list) -> None:
    (project / ".data.1.part").mkdir()
    with importer._locked(project):
        assert importer.recover(project) == []
    assert (project / ".data.1.part").exists()


def test_a_second_download_is_told_of_the_first(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    place = project / ".checkpoints/fetch"
    with importer.locked(place / "lock", ""):
        assert run(monkeypatch, "data", "fetch", "--url", "http://127.0.0.1:9/a.zip") == 1
    assert "another `atelier data fetch` is at work" in capsys.readouterr().err
    assert [path.name for path in place.iterdir()] == ["lock"]


def test_data_in_place_are_added_as_they_are(project: Path, dvc: list) -> None:
    data = data_folder(project / "data")
    inode = (data / "paintings").stat().st_ino
    assert importer.adopt(Path("data"), project) == COUNTS
    assert (data / "paintings").stat().st_ino == inode
    assert dvc == [("add", "--quiet", "data")]


def test_a_failing_copy_changes_nothing(
    project: Path, dvc: list, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = data_folder(tmp_path / "mine")
    old = data_folder(project / "data", train=1)
    (project / "data.dvc").touch()

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(importer.shutil, "copyfile", fail)
    with pytest.raises(OSError, match="No space"):
        importer.adopt(source, project)
    assert len(splits(old)["photos/train"]) == 1
    assert not [path for path in project.iterdir() if path.name.startswith(".data")]


def test_no_dvc_project_and_wrong_folder(project: Path, tmp_path: Path) -> None:
    (project / ".dvc").rmdir()
    with pytest.raises(UserError, match="run `dvc init`"):
        importer.adopt(data_folder(tmp_path / "mine"), project)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="photos/train is missing and photos/test is missing"):
        importer.adopt(tmp_path / "empty", project)


def test_fetch_asks_before_the_download_and_uses(
    project: Path, dvc: list, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def pretend(url: str, folder: Path, **_: object) -> dict[str, object]:
        asked.append(url)
        data_folder(folder)
        (folder / "SOURCE.json").write_text("{}")
        return {"url": url, "bytes": 1, "sha256": "0"}

    monkeypatch.setattr(download, "fetch", pretend)
    save(project / "data" / "precious.png")
    command = ["data", "fetch", "--url", "http://localhost/a.zip"]
    assert isinstance(CliRunner().invoke(app, command).exception, UserError)
    assert asked == []
    result = CliRunner().invoke(app, [*command, "--force"])
    assert result.exit_code == 0, result.output
    assert asked == ["http://localhost/a.zip"]
    assert (project / "data" / "SOURCE.json").exists()
    assert not (project / ".checkpoints" / "fetch" / "data").exists()


def test_sample_spares_what_is_there(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    save(project / "data" / "mine.png")
    assert run(monkeypatch, "sample") == 1
    assert "data: is not an empty folder" in capsys.readouterr().err


def test_sample_renders(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import atelier.datasets.synthetic as renderer  # noqa: PLC0415

    def render(folder: Path, *, seed: int) -> None:
        data_folder(folder, train=seed)

    monkeypatch.setattr(renderer, "render_sample", render, raising=False)
    result = CliRunner().invoke(app, ["sample", "--out", "pictures", "--seed", "7"])
    assert result.exit_code == 0, result.output
    assert "7 photos/train, 9 photos/test" in result.output, "three and six real photographs"
    assert (project / "pictures/CREDITS.md").is_file()


@pytest.mark.slow
def test_use_twice_with_real_dvc(tmp_path: Path) -> None:
    root = tmp_path / "project"
    root.mkdir()
    (root / "params.yaml").write_text("scale: demo\n")
    dvc = [sys.executable, "-m", "dvc"]
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    subprocess.run([*dvc, "init", "-q"], cwd=root, check=True)
    first, second = data_folder(tmp_path / "one"), data_folder(tmp_path / "two", train=6)
    importer.adopt(first, root)
    pointer = (root / "data.dvc").read_text()
    importer.adopt(second, root)  # clean and in the cache: may be replaced
    assert len(splits(root / "data")["photos/train"]) == 6
    save(root / "data" / "paintings" / "new.png", seed=77)
    with pytest.raises(UserError, match="was changed since `dvc add data`"):
        importer.adopt(first, root)
    importer.adopt(root / "data", root)
    (root / "data.dvc").write_text(pointer)
    subprocess.run([*dvc, "checkout", "-q", "data.dvc"], cwd=root, check=True)
    assert len(splits(root / "data")["photos/train"]) == 4  # the first data, out of the cache
