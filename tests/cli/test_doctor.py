"""What `atelier doctor` sees, on machines that lack one thing or another."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from atelier.cli import doctor
from atelier.cli.doctor import Line, examine, needed
from atelier.core.config import Params
from support.cli import atelier
from support.models import project
from support.pictures import data_folder


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose every part is there; no network is in torch's cache."""
    project(tmp_path)
    tree = yaml.safe_load((tmp_path / "params.yaml").read_text())
    tree["scales"]["demo"] |= {
        "prepare": {"size": 128, "test_photos": 8},
        "evaluate": {"features": "inception_fid", "fallback_features": "vgg19"},
    }
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(tree))
    data_folder(tmp_path / "data")
    for name in ("MLFLOW_TRACKING_URI", "DVC_ROOT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ATELIER_WEIGHTS", str(tmp_path))
    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def look(root: Path) -> dict[str, Line]:
    return {line.what: line for line in examine(root, Params.load())}


def test_where_all_is_there_nothing_is_wrong(root: Path, monkeypatch, capsys) -> None:
    found = look(root)
    assert {line.state for line in found.values()} == {"ok", "missing"}
    assert found["data"].found == "4 photos/train, 3 photos/test, 2 paintings"
    assert found["scale"].found == "demo: 128 px, 8 test photographs, 4 methods"
    assert found["distance"].found == "on features of inception_fid (or vgg19)"
    assert found["torch"].found.startswith("2.")
    assert "cores" in found["CPU"].found
    assert "bfloat16" in found["CPU"].found
    assert "OMP_WAIT_POLICY=PASSIVE" in found["threads"].found
    assert found["device"].found.startswith("cpu: CPU")
    assert atelier(monkeypatch, "doctor") == 0
    assert capsys.readouterr().out.splitlines()[0].split() == ["what", "state", "found"]


def test_networks_are_found_or_their_users_named(root: Path) -> None:
    (root / "vgg19.safetensors").touch()
    found = look(root)
    assert found["mini"].state == found["vgg19"].state == "ok"
    assert found["vgg19"].found == f"needed by evaluate; {root / 'vgg19.safetensors'}"
    assert found["inception_fid"].state == "missing"
    assert "needed by evaluate; will be downloaded, or put" in found["inception_fid"].found
    assert found["vgg16"].found == "not needed at this scale; not here"
    assert sorted(needed(Params.load())["mini"]) == ["adain", "fast_night", "gatys"]


def test_a_folder_of_weights_that_is_none_is_wrong(root: Path, monkeypatch) -> None:
    monkeypatch.setenv("ATELIER_WEIGHTS", str(root / "gone"))
    assert look(root)["vgg19"].state == "wrong"
    assert "not a folder" in look(root)["vgg19"].found


def test_what_is_wrong_is_said_and_is_the_exit_code(root: Path, monkeypatch, capsys) -> None:
    (root / "data/paintings").rename(root / "elsewhere")
    monkeypatch.setattr(doctor, "_version", lambda name: "" if name == "dvc" else "1.0")
    used = SimpleNamespace(free=2**30)
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: used)
    found = look(root)
    assert {name for name, line in found.items() if line.state == "wrong"} == {
        "data", "dvc", "disk"
    }  # fmt: skip
    assert "paintings is missing" in found["data"].found
    assert "dvc pull" in found["data"].found
    assert atelier(monkeypatch, "doctor") == 1
    assert "error: fix what is marked `wrong`" in capsys.readouterr().err


def test_a_missing_extra_is_only_missing(root: Path, monkeypatch) -> None:
    monkeypatch.setattr(doctor, "_version", lambda name: "" if name == "onnxruntime" else "1.0")
    assert look(root)["onnxruntime"] == (
        "onnxruntime", "missing", "optional: pip install -e '.[onnx]'"
    )  # fmt: skip


def test_a_gpu_that_is_asked_for_and_not_there_is_wrong(root: Path, monkeypatch) -> None:
    text = (root / "params.yaml").read_text().replace("device: cpu", "device: cuda")
    (root / "params.yaml").write_text(text)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert look(root)["device"].state == "wrong"


def test_gpus_are_listed_with_their_memory(root: Path, monkeypatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda _: (2**31, 2**33))
    monkeypatch.setattr("torch.cuda.get_device_name", lambda _: "Some GPU")
    assert look(root)["GPU 0"].found == "Some GPU, 2.0 of 8.0 GiB free"


@pytest.mark.parametrize(
    ("make", "state", "message"),
    [
        (lambda _: None, "ok", "made by the first run"),
        (lambda path: path.write_bytes(b"this is no database" * 100), "missing", "not a database"),
        (lambda path: path.mkdir(), "missing", "unable to open"),
    ],
)
def test_the_store_of_the_runs(root: Path, make, state: str, message: str) -> None:
    make(root / "mlflow.db")
    found = look(root)["tracking"]
    assert found.state == state
    assert message in found.found


def test_a_server_is_not_asked(root: Path, monkeypatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert look(root)["tracking"].found == "http://127.0.0.1:9 (not checked)"
