"""What kills and bad disks leave, and how it is put right."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from atelier.cli import mend as module
from atelier.cli.mend import broken_rwlock, mend, mend_cache
from support.cli import atelier


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / ".dvc/tmp").mkdir(parents=True)
    (tmp_path / "params.yaml").write_text("scale: demo\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("text", ["", '{"write": {', "[]"])
def test_a_lock_file_that_was_cut_off_is_removed(root: Path, text: str) -> None:
    (root / ".dvc/tmp/rwlock").write_text(text)
    assert "was truncated when DVC was killed; removed" in mend(root)[0]
    assert not (root / ".dvc/tmp/rwlock").exists()
    assert mend(root) == []


def test_a_sound_one_stays(root: Path) -> None:
    (root / ".dvc/tmp/rwlock").write_text('{"read": {}}')
    assert mend(root) == []
    assert broken_rwlock(root) == ""
    assert (root / ".dvc/tmp/rwlock").exists()


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs Linux's /proc")
def test_a_number_that_another_process_has_got_holds_nothing(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = {"pid": os.getpid(), "cmd": "dvc repro"}
    for mode, value in (("write", entry), ("read", [entry])):
        (root / ".dvc/tmp/rwlock").write_text(json.dumps({mode: {"results/a": value}}))
        monkeypatch.setattr(module, "dvc_at_work", lambda _: [os.getpid()])
        assert mend(root) == []
        monkeypatch.setattr(module, "dvc_at_work", lambda _: [])
        assert f"names process {os.getpid()}, which is not DVC any more; removed" in mend(root)[0]
        assert not (root / ".dvc/tmp/rwlock").exists()


def test_nothing_is_removed_while_dvc_runs(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / ".dvc/tmp/rwlock").touch()
    monkeypatch.setattr(module, "dvc_at_work", lambda _: [17])
    assert "left unchanged while DVC runs (process 17)" in mend(root)[0]
    assert (root / ".dvc/tmp/rwlock").exists()


def test_damaged_objects_leave_the_cache(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = []
    for content, suffix in ((b"one", ""), (b"two", ""), (b"[]", ".dir")):
        name = hashlib.md5(content).hexdigest()  # noqa: S324 - DVC's names
        path = root / module.CACHE / name[:2] / f"{name[2:]}{suffix}"
        path.parent.mkdir(parents=True)
        path.write_bytes(content)
        kept.append(path)
    assert list(mend_cache(root)) == []
    kept[1].write_bytes(b"twp")
    assert atelier(monkeypatch, "mend", "--cache") == 0
    told = capsys.readouterr()
    assert f"{kept[1]}: has changed since DVC stored it; removed" in told.err
    assert "1 damaged files removed" in told.out
    assert [path.exists() for path in kept] == [True, False, True]


def test_half_copied_files_leave_the_cache_unless_dvc_runs(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    half = [root / module.CACHE / "51/.j0G9xsY6.tmp", root / ".dvc/cache/runs/2a/2a2a/.r85.tmp"]
    for path in half:
        path.parent.mkdir(parents=True)
        path.touch()
    with monkeypatch.context() as running:
        running.setattr(module, "dvc_at_work", lambda _: [17])
        assert list(mend_cache(root)) == []
    assert list(mend_cache(root)) == [
        f"{path}: left by an interrupted copy; removed" for path in half
    ]
    assert not any(path.exists() for path in half)
