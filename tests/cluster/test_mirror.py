"""Copies of checkpoints: in a folder, and in a bucket of a real server."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from atelier.cluster.mirror import Mirror
from atelier.core.config import UserError

TRAIN, OTHER = "train-adain-0123456789abcdef", "train-adain-fedcba9876543210"


@pytest.fixture(params=["folder", pytest.param("s3", marks=pytest.mark.slow)])
def address(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "folder":
        return str(tmp_path / "states")
    for key, value in request.getfixturevalue("s3").items():
        monkeypatch.setenv(key, value)
    return f"s3://bench/{tmp_path.name}"


def write(workspace: Path, name: str, text: str = "state", time: int = 1) -> Path:
    path = workspace / ".checkpoints" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, (time, time))
    return path


def held(workspace: Path) -> dict[str, str]:
    folder = workspace / ".checkpoints"
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_text() for path in files}


def fetched(address: str, workspace: Path) -> dict[str, str]:
    Mirror(address, workspace, "adain").fetch()
    return held(workspace)


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")
def test_another_machine_gets_what_this_one_holds(address: str, tmp_path: Path) -> None:
    one = tmp_path / "one"
    old = write(one, f"{TRAIN}/step-1.pt")
    write(one, f"{TRAIN}/run.json", "{}")
    write(one, f"{TRAIN}/.half.part")
    write(one, "train-adain_x-0123456789abcdef/step-1.pt", "of another method")
    mirror = Mirror(address, one, "adain")
    mirror.fetch()  # nothing is there
    mirror.update()
    first = fetched(address, tmp_path / "two")
    assert first == {f"{TRAIN}/step-1.pt": "state", f"{TRAIN}/run.json": "{}"}
    old.unlink()
    write(one, f"{TRAIN}/step-2.pt", "later")
    write(one, f"{TRAIN}/run.json", "{1}", time=2)
    mirror.update()
    second = fetched(address, tmp_path / "three")
    assert second == {f"{TRAIN}/step-2.pt": "later", f"{TRAIN}/run.json": "{1}"}


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")
def test_folders_within_a_folder_are_copied_and_what_is_hidden_is_not(
    address: str, tmp_path: Path
) -> None:
    one, kept = tmp_path / "one", f"{TRAIN}/checkpoints/500/model.safetensors"
    pictures = [f"{TRAIN}/snapshots/{n}/step 000500.png" for n in "ab"]
    for name in (kept, *pictures, f"{TRAIN}/.parts/x.png", f"{TRAIN}/snapshots/a/.x.part"):
        write(one, name)
    Mirror(address, one, "adain").update()
    mirror = Mirror(address, tmp_path / "two", "adain")
    mirror.fetch()
    assert set(held(tmp_path / "two")) == {kept, *pictures}
    write(tmp_path / "two", f"{TRAIN}/step-1.pt")  # now it is this one's
    mirror.update()
    shutil.rmtree(tmp_path / "two/.checkpoints" / TRAIN / "snapshots")
    mirror.update()
    assert set(fetched(address, tmp_path / "three")) == {kept, f"{TRAIN}/step-1.pt"}


def test_another_projects_state_stays(tmp_path: Path) -> None:
    address, one, two = str(tmp_path / "states"), tmp_path / "one", tmp_path / "two"
    write(one, f"{OTHER}/step-9.pt", "of other settings")
    Mirror(address, one, "adain").update()
    mirror = Mirror(address, two, "adain")
    mirror.fetch()
    shutil.rmtree(two / ".checkpoints" / OTHER)  # as a training with other settings does
    write(two, f"{TRAIN}/step-1.pt")
    mirror.update()
    assert set(fetched(address, tmp_path / "three")) == {
        f"{OTHER}/step-9.pt",
        f"{TRAIN}/step-1.pt",
    }


def test_a_record_is_copied_after_its_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = "stylize-gatys-0123456789abcdef"
    write(tmp_path, f"{folder}/batch-00000.json", time=2)
    write(tmp_path, f"{folder}/z.png", time=1)
    mirror, copied = Mirror(str(tmp_path / "states"), tmp_path, "gatys"), []
    monkeypatch.setattr(mirror, "_put", copied.append)
    mirror.update()
    assert copied == [f"{folder}/z.png", f"{folder}/batch-00000.json"]


def test_storage_that_fails_for_a_while_ends_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    write(tmp_path, f"{TRAIN}/step-1.pt")
    mirror = Mirror(str(tmp_path / "file/states"), tmp_path, "adain")
    with mirror.following():
        pass
    assert "tries again" in caplog.text
    (tmp_path / "file").unlink()
    with mirror.following():
        pass
    assert fetched(mirror.base, tmp_path / "two") == {f"{TRAIN}/step-1.pt": "state"}


@pytest.mark.parametrize(
    ("address", "reason"),
    [("states", "give an absolute path"), ("nowhere://states", "Protocol not known: nowhere")],
)
def test_an_address_that_cannot_be_used_is_a_sentence(
    tmp_path: Path, address: str, reason: str
) -> None:
    with pytest.raises(UserError, match=f"ATELIER_CHECKPOINTS={address}: .*{reason}"):
        Mirror(address, tmp_path, "adain")


def test_while_a_file_is_replaced_the_last_copy_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A training that saves often is always a file ahead; a node may be lost at any moment."""
    address, one = str(tmp_path / "states"), tmp_path / "one"
    old = write(one, f"{TRAIN}/step-1.pt")
    mirror = Mirror(address, one, "adain")
    mirror.update()
    old.unlink()
    new = write(one, f"{TRAIN}/step-2.pt")
    listed = mirror._local_files()
    monkeypatch.setattr(mirror, "_local_files", lambda: listed)
    new.unlink()
    mirror.update()
    assert fetched(address, tmp_path / "two") == {f"{TRAIN}/step-1.pt": "state"}
