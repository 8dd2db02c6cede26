"""What surrounds a stage's work: status record, exit code, sentences."""

from __future__ import annotations

import errno
import gc
import json
import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from atelier.core import allocator
from atelier.core.config import Params, UserError
from atelier.core.device import device_name, pick_device
from atelier.core.images import ImageError
from atelier.core.paths import Results
from atelier.tracking import stage as module
from atelier.tracking.stage import stage


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text(
        "scale: demo\nseed: 1\nscales: {demo: {gatys: {steps: 3}}}\n"
        "methods: {gatys: {class: gatys}}\n"
    )
    return tmp_path


def status() -> dict[str, str]:
    found: dict[str, str] = json.loads(Results().status("gatys").read_text())
    return found


def test_a_stage_is_running_until_it_ends() -> None:
    with stage("stylize", "gatys"):
        found = status()
        assert (found["stage"], found["state"]) == ("stylize", "running")
        assert found["since"].endswith("+00:00")
        assert found["key"] == Params.load().key("gatys")
    assert not Results().status("gatys").exists()


def test_a_mistake_of_the_user_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as got, stage("stylize", "gatys"):
        raise UserError("x.png is broken")
    assert got.value.code == 1
    assert capsys.readouterr().err == "error: stylize of gatys: x.png is broken\n"
    found = status()
    key = Params.load().key("gatys")
    assert found == {"stage": "stylize", "key": key, "state": "failed", "error": "x.png is broken"}


def test_of_a_damaged_picture_of_the_results_there_is_said_what_restores_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = Path("results/stylized/gatys/images/0.png")
    for place, more in (
        (tmp_path / "data/0.png", ""),
        (path, "; run `atelier mend --cache`, then `dvc repro`"),
    ):
        with pytest.raises(SystemExit), stage("evaluate", "gatys"):
            raise ImageError(place, "is missing")
        assert capsys.readouterr().err == f"error: evaluate of gatys: {place}: is missing{more}\n"
    path.parent.mkdir(parents=True)
    path.write_text("no picture")
    with pytest.raises(SystemExit), stage("evaluate", "gatys"):
        raise ImageError(path, "is broken")
    assert f"; remove {path}, run `atelier mend" in capsys.readouterr().err


def test_the_next_success_removes_the_record_of_a_failure() -> None:
    with pytest.raises(SystemExit), stage("train", "gatys"):
        raise UserError("no")
    with stage("train", "gatys"):
        pass
    assert not Results().status("gatys").exists()


def test_a_stage_changes_nothing_in_its_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that runs one keeps its own memory, garbage and messages."""
    monkeypatch.setattr(allocator, "keep_memory", None)

    def known() -> tuple[object, ...]:
        return gc.get_threshold(), gc.get_freeze_count(), [*logging.getLogger("atelier").handlers]

    before = known()
    with stage("stylize", "gatys"):
        assert known() == before


def test_ctrl_c_says_that_it_can_be_resumed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as got, stage("stylize", "gatys"):
        raise KeyboardInterrupt
    assert got.value.code == 130
    assert "stylize stopped; `dvc repro` resumes from here" in capsys.readouterr().err
    assert status()["state"] == "failed"


@pytest.mark.parametrize("error", [ZeroDivisionError("odd"), OSError(errno.EACCES, "denied")])
def test_unexpected_errors_keep_their_traceback(error: Exception) -> None:
    with pytest.raises(type(error)) as got, stage("stylize", "gatys"):
        raise error
    assert got.value is error
    assert status()["error"] == repr(error)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_a_sentence(number: int, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as got, stage("stylize", "gatys"):
        raise OSError(number, "No space left on device")
    assert got.value.code == 1
    told = capsys.readouterr().err
    assert told.startswith("error: stylize of gatys: the disk is full; make room")
    assert told.count("\n") == 1
    assert status()["state"] == "failed"


def test_a_folder_copied_onto_a_full_disk_is_the_same_sentence(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit), stage("train", "gatys"):
        raise shutil.Error([("a", "b", "[Errno 28] No space left on device: 'b'")])
    assert "the disk is full" in capsys.readouterr().err


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES])
def test_a_folder_nobody_may_write_to_is_a_sentence(
    number: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(path: Path, _: object) -> None:
        raise OSError(number, os.strerror(number), str(path))

    monkeypatch.setattr(module, "write_json", denied)
    with pytest.raises(SystemExit) as got, stage("stylize", "gatys"):
        pytest.fail("the record of the status comes first")
    assert got.value.code == 1
    told = capsys.readouterr().err
    assert told.startswith("error: stylize of gatys: results/status/gatys.json: ")
    assert told.count("\n") == 1


def _too_large() -> None:
    torch.empty(10**15)


def _on_a_gpu() -> None:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


@pytest.mark.parametrize("work", [_too_large, _on_a_gpu])
def test_too_little_memory_is_a_sentence(
    work: Callable[[], None], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as got, stage("train", "gatys"):
        work()
    assert got.value.code == 1
    assert capsys.readouterr().err.startswith("error: train of gatys: out of memory; lower `batch`")


def test_a_disk_too_full_for_the_record_still_tells(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill_the_disk() -> None:
        monkeypatch.setattr(module, "write_json", _full)
        _full()

    with pytest.raises(SystemExit) as got, stage("stylize", "gatys"):
        fill_the_disk()
    assert got.value.code == 1
    assert "the disk is full" in capsys.readouterr().err


def _full(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_stage_of_no_method_leaves_no_record(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit), stage("prepare"):
        raise UserError("data is missing")
    assert capsys.readouterr().err == "error: prepare: data is missing\n"
    assert not Results().status("gatys").parent.exists()


def test_unreadable_parameters_are_told_by_the_stage_itself(project: Path) -> None:
    (project / "params.yaml").write_text("scale: [")
    with pytest.raises(SystemExit), stage("train", "gatys"):
        Params.load()
    assert "params.yaml: cannot be read" in status()["error"]
    assert "key" not in status()


def test_the_device_is_the_one_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match="device: cuda:1, but torch sees no GPU"):
        pick_device(Params({"device": "cuda:1"}))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert pick_device(Params({"device": "cuda:1"})) == "cuda:1"
    with pytest.raises(UserError, match="device: cuda:2, but torch sees 2 GPUs"):
        pick_device(Params({"device": "cuda:2"}))
    with pytest.raises(UserError, match="device: mps, but torch sees no such device"):
        pick_device(Params({"device": "mps"}))
    for there, expected in ((True, "cuda"), (False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        assert pick_device(Params({"device": "auto"})) == expected
    assert device_name("cpu").startswith("CPU ")
    assert device_name("cpu").endswith(f", {torch.get_num_threads()} threads")
    assert device_name("mps") == "mps"
