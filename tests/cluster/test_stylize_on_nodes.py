"""``atelier stylize --ray``: addresses and names; then two real nodes, and S3 where it is there."""

from __future__ import annotations

from pathlib import Path

import fsspec
import pytest

from support.cli import atelier
from support.models import project
from support.pictures import save

ray = pytest.importorskip("ray", reason="the extra `cluster` is not installed")
pytestmark = [pytest.mark.cluster, pytest.mark.filterwarnings("default")]

from atelier.cluster import ray_pictures  # noqa: E402 - needs Ray
from atelier.cluster.ray_pictures import Job, Worker, find_jobs, pool  # noqa: E402
from atelier.cluster.storage import open_address  # noqa: E402
from atelier.core.config import UserError  # noqa: E402
from support.cluster import RayCluster  # noqa: E402


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    for n in range(3):
        save(tmp_path / "in" / f"{n}.png", seed=n)
    save(tmp_path / "in/nested/0.png", seed=7)
    save(tmp_path / "in/.hidden/0.png", seed=8)
    (tmp_path / "in/notes.txt").write_text("no picture")
    (tmp_path / "in/broken.png").write_text("no picture either")
    return tmp_path / "in"


def test_what_has_a_result_is_no_job(pictures: Path, tmp_path: Path) -> None:
    jobs, count = find_jobs(str(pictures), str(tmp_path / "out"), "cut")
    assert count == 5
    assert jobs[0] == Job(f"{pictures}/0.png", f"{tmp_path}/out/0-cut.png")
    assert jobs[-1].target == f"{tmp_path}/out/nested__0-cut.png"
    save(tmp_path / "out/0-cut.png")
    assert find_jobs(str(pictures), str(tmp_path / "out"), "cut") == (jobs[1:], 5)
    one = find_jobs(str(pictures / "1.png"), str(tmp_path / "out"), "cut")
    assert one == ([Job(f"{pictures}/1.png", f"{tmp_path}/out/1-cut.png")], 1)


def test_an_address_without_pictures_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    out = str(tmp_path / "out")
    for address, reason in (
        (f"{tmp_path}/none", "no such file or folder"),
        (f"{tmp_path}/empty", "holds no picture"),
        ("odd://bucket", "Protocol not known: odd"),
    ):
        with pytest.raises(UserError, match=reason):
            find_jobs(address, out, "cut")


def test_workers_share_gpus_or_take_a_core_each() -> None:
    assert pool({"GPU": 2, "CPU": 16}, None) == (2, {"num_gpus": 1.0})
    assert pool({"GPU": 2, "CPU": 16}, 8) == (8, {"num_gpus": 0.25})
    assert pool({"CPU": 3}, None) == (3, {"num_cpus": 1})
    with pytest.raises(UserError, match="4 workers: the cluster has 3 cores and no GPU"):
        pool({"CPU": 3}, 4)


def test_what_kills_every_worker_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: object) -> None:
        raise ray.exceptions.ActorUnavailableError("Socket closed", None)

    monkeypatch.setattr("ray.cluster_resources", lambda: {"CPU": 1.0})
    monkeypatch.setattr(ray_pictures, "_mapped", killed)
    with pytest.raises(UserError, match=r"workers were lost, .* the same command makes the rest"):
        list(ray_pictures.on_actors(Worker, (), [{}], 1, 1))


def test_a_worker_names_what_it_cannot_read_and_continues(pictures: Path, tmp_path: Path) -> None:
    def copy(source: Path, target: Path) -> None:
        if source.name == "broken.png":
            raise UserError("is no picture")
        target.write_bytes(source.read_bytes())

    files, _ = open_address(str(tmp_path))
    worker = Worker(lambda: copy, files, files)
    names = ("broken.png", "0.png", "gone.png")
    batch = {
        "source": [f"{pictures}/{name}" for name in names],
        "target": [f"{tmp_path}/out/{name}" for name in names],
    }
    errors = list(worker(batch)["error"])
    assert errors[0] == f"{pictures}/broken.png: is no picture"
    assert errors[1] == ""
    assert errors[2].startswith(f"{pictures}/gone.png: ")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["0.png"]


@pytest.mark.slow
def test_a_bucket_of_pictures_equals_the_local_run_and_is_not_made_twice(
    pictures: Path,
    tmp_path: Path,
    cluster: RayCluster,
    s3: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """By two workers, then by one."""
    project(tmp_path, "cut")
    monkeypatch.chdir(tmp_path)
    for key, value in s3.items():
        monkeypatch.setenv(key, value)
    monkeypatch.setattr(ray_pictures, "BATCH", 1)  # work for both
    assert atelier(monkeypatch, "stylize", "in", "-m", "cut", "-o", "here") == 1
    bucket = fsspec.filesystem("s3")
    bucket.put("in", "bench/in", recursive=True)
    expected = {path.name: path.read_bytes() for path in (tmp_path / "here").iterdir()}
    assert len(expected) == 4
    command = ["stylize", "s3://bench/in", "-m", "cut", "-o", "s3://bench/out"]
    command += ["--ray", cluster.address, "--workers"]
    capsys.readouterr()
    assert atelier(monkeypatch, *command, "2") == 1
    said = capsys.readouterr().err
    assert "Traceback" not in said
    assert "skipped: bench/in/broken.png: " in said
    assert "error: 1 failed (see above); the rest are in s3://bench/out" in said
    assert held(bucket) == expected
    bucket.rm_file("bench/out/0-cut.png")
    before = times(bucket)
    assert atelier(monkeypatch, *command, "1") == 1
    assert "cut: 3 of 5 results are in s3://bench/out already" in "".join(capsys.readouterr())
    assert held(bucket) == expected
    assert times(bucket) == before | times(bucket, "0-cut.png")


def held(bucket: fsspec.AbstractFileSystem) -> dict[str, bytes]:
    bucket.invalidate_cache()
    return {path.rpartition("/")[2]: bucket.cat_file(path) for path in bucket.find("bench/out")}


def times(bucket: fsspec.AbstractFileSystem, name: str = "") -> dict[str, object]:
    bucket.invalidate_cache()
    found = bucket.find(f"bench/out/{name}".rstrip("/"), detail=True)
    return {path: facts["LastModified"] for path, facts in found.items()}
