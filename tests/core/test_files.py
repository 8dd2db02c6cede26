"""Names that come from files never lead out of their folder; what the disk refuses is named."""

from __future__ import annotations

import errno
import json
import os
import shutil
from itertools import count
from pathlib import Path

import pytest
import torch

from atelier.core.checkpoints import save_state, save_weights
from atelier.core.config import UserError
from atelier.core.files import (
    FULL,
    atomic,
    atomic_folder,
    disk_reason,
    read_json,
    read_record,
    within,
    write_json,
)
from atelier.core.images import save_png
from atelier.core.pairing import list_jobs
from atelier.metrics.pairwise import made_pairs

HOSTILE = ["/etc/passwd", "../other.png", "a/../../other.png", "", ".", "a\0b", "../prepared2/x"]


@pytest.mark.parametrize("name", HOSTILE)
def test_what_leads_out_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="leads out of"):
        within(tmp_path / "prepared", name)


@pytest.mark.parametrize("folder", [Path("/data"), Path("results"), Path()])
def test_what_lies_below_is_found(folder: Path) -> None:
    assert within(folder, "a/b.png") == folder / "a/b.png"
    assert within(folder, "a/../b.png") == folder / "b.png"
    assert within(folder, "..a.png") == folder / "..a.png"
    assert within(folder, (folder / "c.png").absolute()) == folder / "c.png"


def test_links_below_it_are_taken(tmp_path: Path) -> None:
    (tmp_path / "cache").touch()
    (tmp_path / "results").mkdir()
    (tmp_path / "results/a.png").symlink_to(tmp_path / "cache")
    assert within(tmp_path / "results", "a.png").is_file()


@pytest.mark.parametrize("pairs", [{"/etc/x": "a.png"}, {"../x": "a.png"}, {"x": "../../a.png"}])
def test_a_pairing_names_no_other_folders(tmp_path: Path, pairs: dict[str, str]) -> None:
    (tmp_path / "pairing.json").write_text(json.dumps(pairs))
    with pytest.raises(UserError, match="leads out of"):
        list_jobs(tmp_path)


def test_a_record_names_no_other_folders(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="leads out of"):
        made_pairs(tmp_path / "images", tmp_path, {"../x": "a.png"}, ["a.png"])


def test_json_that_is_nested_too_deep_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("[" * 100_000)
    with pytest.raises(UserError, match=r"a\.json: cannot be read as JSON"):
        read_json(tmp_path / "a.json")
    assert read_record(tmp_path / "a.json") == {}


@pytest.mark.parametrize("umask", [0o022, 0o027])
def test_whatever_writes_a_file_the_umask_says_who_may_read_it(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        save_weights({"w": torch.ones(2)}, tmp_path / "model.safetensors")
        save_state(tmp_path, 1, {"step": 1})
        save_png(torch.zeros(3, 4, 4), tmp_path / "a.png")
        write_json(tmp_path / "a.json", {})
        with atomic(tmp_path / "own") as part:
            part.unlink()
            os.close(os.open(part, os.O_CREAT | os.O_WRONLY, 0o600))
    finally:
        os.umask(before)
    files = sorted(tmp_path.iterdir())
    assert len(files) == 5
    assert {oct(path.stat().st_mode & 0o777) for path in files} == {oct(0o666 & ~umask)}


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.EPERM])
def test_a_folder_that_may_not_be_written_is_told_by_the_files_own_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(path: Path, **_: object) -> None:
        raise OSError(number, os.strerror(number), str(path))

    monkeypatch.setattr(Path, "touch", refuse)
    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(OSError, match=r"card\.json") as found:
        write_json(tmp_path / "card.json", {})
    assert disk_reason(found.value) == (
        f"{tmp_path / 'card.json'}: {os.strerror(number)}; check who may write there"
    )


def test_other_errors_are_not_the_disks() -> None:
    assert disk_reason(ValueError("x")) == disk_reason(FileNotFoundError(2, "no", "a")) == ""
    assert disk_reason(shutil.Error([("a", "b", "no such file")])) == ""
    assert disk_reason(OSError(errno.EDQUOT, "quota")) == FULL


def filled(folder: Path, *names: str) -> None:
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).touch()


def test_a_folder_is_replaced_as_a_unit(tmp_path: Path) -> None:
    filled(tmp_path / "out", "old")
    with atomic_folder(tmp_path / "out") as part:
        (part / "new").touch()
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "new"]


@pytest.mark.parametrize("renames", [0, 1, 2])
def test_ctrl_c_while_folders_are_exchanged_loses_neither(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, renames: int
) -> None:
    """Before the first rename, between the two, and after them."""
    filled(tmp_path / "out", "old")
    rename, calls = Path.replace, count()

    def interrupted(path: Path, target: Path) -> Path:
        call = next(calls)
        if call == renames != 2:
            raise KeyboardInterrupt
        moved = rename(path, target)
        if call == 1 and renames == 2:
            raise KeyboardInterrupt
        return moved

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt), atomic_folder(tmp_path / "out") as part:
        (part / "new").touch()
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "old"]


def test_a_folder_whose_exchange_was_killed_is_found_again(tmp_path: Path) -> None:
    filled(tmp_path / ".out.old", "old")
    with atomic_folder(tmp_path / "out"):
        assert (tmp_path / "out/old").exists()
    filled(tmp_path / ".out.old", "older")
    with atomic_folder(tmp_path / "out") as part:
        (part / "new").touch()
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "new"]
