"""Methods over the nodes of a real Ray cluster: results, refusals, Ctrl-C, lost nodes, S3."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from atelier.reports.parameters import STAGES
from support.bench import ROOT, edit, environment, run, small_project, wait_for

pytest.importorskip("ray", reason="the extra `cluster` is not installed")
pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.filterwarnings("default")]

from support.cluster import Nodes, RayCluster, at_work, kill_worker  # noqa: E402 - needs Ray

METHODS = ["gatys", "adain"]
STEPS = 1500
"""Of the training that is stopped three times."""
COMMIT = ("git", "-c", "user.name=t", "-c", "user.email=t@t", "commit", "-q")
OUTPUT = "said.txt"
INTERRUPTIBLE = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from atelier.cli.main import main
main()
"""
SAME = ("models/*/*", "stylized/*/images/*", "denoised/*/images/*", "metrics/*", "curves/*")


@pytest.fixture(scope="module")
def place(nodes: Nodes) -> Path:
    """``head``; nodes ``one`` to ``three``, each a checkout; ``remote``; ``local``, to be run."""
    folder = nodes.place
    head = small_project(folder / "head", METHODS)
    edit(head, "scales", "smoke", "adain", "steps", value=STEPS)
    run(head, *COMMIT, "-a", "-m", "steps")
    shutil.copytree(head, folder / "local", symlinks=True)
    share(head, str(folder / "remote"))
    for node in ("one", "two", "three"):
        run(folder, "git", "clone", "-q", "head", node)
    return folder


def paths() -> str:
    return os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])


def share(project: Path, url: str) -> None:
    run(project, "dvc", "remote", "add", "--local", "--force", "--default", "shared", url)


def start(place: Path, cluster: RayCluster, *more: str, **env: str) -> subprocess.Popen[bytes]:
    env = {
        **environment(),
        "PYTHONPATH": paths(),
        "MLFLOW_TRACKING_URI": f"sqlite:///{place}/mlflow.db",
        **env,
    }
    # a test run in the background ignores Ctrl-C, and so would the command
    command = [sys.executable, "-c", INTERRUPTIBLE, "fan-out", *more, "--ray", cluster.address]
    with (place / OUTPUT).open("w") as out:
        return subprocess.Popen(
            command, cwd=place / "head", env=env, stdout=out, stderr=subprocess.STDOUT
        )


def ended(process: subprocess.Popen[bytes], place: Path) -> str:
    """What it has printed at its end."""
    try:
        process.wait(600)
    finally:
        process.kill()
    said = (place / OUTPUT).read_text()
    assert "Traceback" not in said
    return said


def refused(place: Path, cluster: RayCluster) -> str:
    """The error of one line that it ends with."""
    process = start(place, cluster)
    said = ended(process, place)
    assert process.returncode == 1
    return said


def results(project: Path) -> dict[str, bytes]:
    folder = project / "results"
    found = [path for pattern in SAME for path in folder.glob(pattern) if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def computed_nothing(head: Path, *methods: str) -> bool:
    logs = [head / f".checkpoints/fan-out/restore-{name}.log" for name in methods]
    texts = [log.read_text() for log in logs]
    return all(
        "Running stage" not in text and text.count("is cached") == len(STAGES) for text in texts
    )


def test_a_node_with_another_commit_is_refused(place: Path, cluster: RayCluster) -> None:
    node = place / "two"
    run(node, *COMMIT, "--allow-empty", "-m", "another")
    said = refused(place, cluster)
    run(node, "git", "reset", "-q", "--hard", "HEAD~")
    assert re.search(r"error: two: its checkout \S+ is at commit \w+, this one at \w+", said)
    assert "one:" not in said


def test_a_remote_that_is_down_is_named(place: Path, cluster: RayCluster) -> None:
    (place / "file").touch()
    share(place / "head", f"{place}/file/remote")
    said = refused(place, cluster)
    share(place / "head", f"{place}/remote")
    assert f"the shared remote `shared` ({place}/file/remote) cannot be written to; see" in said


def test_interrupted_all_end_and_have_saved(place: Path, cluster: RayCluster) -> None:
    process = start(place, cluster, ATELIER_CHECKPOINTS=f"{place}/states")
    wait_for(lambda: newest(place), process, 300)
    process.send_signal(signal.SIGINT)
    said = ended(process, place)
    assert process.returncode == 130, said
    assert not any(at_work(place, method) for method in METHODS)
    assert 0 < newest(place) < STEPS


def test_lost_workers_and_nodes_change_no_byte(
    place: Path, cluster: RayCluster, nodes: Nodes
) -> None:
    """From the state of the test before; a node that is added meanwhile takes over."""
    every = [f"{stage}@{method}" for stage in STAGES for method in METHODS]
    run(place / "local", "dvc", "repro", *every)
    saved = newest(place)
    process = start(place, cluster, ATELIER_CHECKPOINTS=f"{place}/states")
    wait_for(lambda: newest(place) > saved, process, 300)
    cluster.add("three", nodes.environment("three"))  # now: before, it would be given the training
    (begun,) = place.glob("states/train-adain-*/run.json")
    begun_as, saved = json.loads(begun.read_text())["run_id"], newest(place)
    for node in ("one", "two"):
        cluster.kill(node)
    wait_for(lambda: "three" in at_work(place, "adain") and newest(place) > saved, process, 300)
    kill_worker(at_work(place, "adain")["three"])
    said = ended(process, place)
    assert process.returncode == 0, said
    assert re.search(r"adain: again, on three \(was lost on (one|two)\)", said)
    assert re.search(r"adain +three +done +3", said)
    head = place / "head"
    log = (head / ".checkpoints/fan-out/adain.log").read_text()
    assert len(re.findall(rf"resumes after step \d+ of {STEPS}", log)) >= 2
    assert results(head) == results(place / "local")
    assert "models/adain/model.safetensors" in results(head)
    records = json.loads((head / "results/records/adain.json").read_text())
    assert records["run"]["run_id"] == begun_as
    assert computed_nothing(head, *METHODS)
    assert (head / "results/comparison/table.csv").is_file()


def newest(place: Path) -> int:
    """The step of the newest state of ``adain`` on shared storage."""
    found = place.glob("states/train-adain-*/step-*.pt")
    return max((int(path.stem.removeprefix("step-")) for path in found), default=0)


def test_s3_holds_results_and_checkpoints_of_a_training_over_two_nodes(
    place: Path, cluster: RayCluster, s3: dict[str, str]
) -> None:
    head = place / "head"
    edit(head, "scales", "smoke", "adain", "steps", value=6)
    for key in ("devices", "nodes"):
        edit(head, key, value=2)
    run(head, *COMMIT, "-a", "-m", "fewer steps, two nodes")
    for node in ("one", "two", "three"):
        run(place / node, "git", "pull", "-q")
    share(head, "s3://bench/results")
    run(
        head,
        *["dvc", "remote", "modify", "--local", "shared", "endpointurl"],
        s3["AWS_ENDPOINT_URL"],
    )
    where = {**s3, "ATELIER_CHECKPOINTS": "s3://bench/states"}
    process = start(place, cluster, "adain", **where)
    said = ended(process, place)
    log = (head / ".checkpoints/fan-out/adain.log").read_text()
    assert process.returncode == 0, said + log
    assert re.search(r"train adain: 2 processes on \w+, \w+$", log, re.MULTILINE)
    assert computed_nothing(head, "adain")
    assert len(results(head)) > 4
