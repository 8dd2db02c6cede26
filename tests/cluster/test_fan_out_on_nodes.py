"""Methods over the nodes of a real Ray cluster: results, refusals, Ctrl-C, lost nodes, S3."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import fsspec
import pytest

from atelier.cluster.remote import LOCAL
from atelier.reports.parameters import STAGES
from support.bench import ROOT, edit, run, wait_for
from support.cli import atelier
from support.git import commit
from support.tracking import TrackingServer

pytest.importorskip("ray", reason="the extra `cluster` is not installed")
pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.filterwarnings("default")]

from support.cluster import (  # noqa: E402 - needs Ray
    PATIENT,
    STEPS,
    Nodes,
    RayCluster,
    at_work,
    kill_worker,
    use,
    variables,
)

METHODS = ["gatys", "adain"]
OUTPUT = "said.txt"
INTERRUPTIBLE = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from atelier.cli.main import main
main()
"""
ALONE = """
import runpy, sys
method, *stages = sys.argv[1:]
for stage in stages:
    sys.argv = [f"stages/{stage}.py", method]
    runpy.run_path(sys.argv[0], run_name="__main__")
"""
SAME = ("models/*/*", "stylized/*/images/*", "denoised/*/images/*", "metrics/*", "curves/*")


@pytest.fixture(scope="module")
def shared_cluster(nodes: Nodes) -> Iterator[RayCluster]:
    """A cluster, started once as that takes seconds; tests add and kill nodes."""
    made = RayCluster({node: nodes.environment(node) for node in ("one", "two")})
    yield made
    made.shutdown()


@pytest.fixture(scope="module")
def undisturbed(
    tracking: TrackingServer, prepared: Path, nodes: Nodes, shared_cluster: RayCluster
) -> Iterator[list[subprocess.Popen[bytes]]]:
    """All stages, in ``local``, beside the cluster once it is up; a process loads packages once."""
    local = shutil.copytree(prepared, nodes.place / "local", symlinks=True)
    running = [
        subprocess.Popen([sys.executable, "-c", ALONE, method, *STAGES], cwd=local, env=variables())
        for method in METHODS
    ]
    yield running
    for process in running:
        process.kill()


@pytest.fixture(scope="module")
def place(prepared: Path, nodes: Nodes, undisturbed: object, tracking: TrackingServer) -> Path:
    """``head``; nodes ``one`` to ``three``, each a checkout; ``remote``; ``local``."""
    folder = nodes.place
    head = shutil.copytree(prepared, folder / "head", symlinks=True)
    share(head, url=str(folder / "remote"))
    for node in ("one", "two", "three"):
        run(folder, "git", "clone", "-q", "head", node)
    tracking.wait()
    return folder


@pytest.fixture
def cluster(shared_cluster: RayCluster, nodes: Nodes) -> RayCluster:
    """The cluster with at least two nodes."""
    for node in ("one", "two"):
        if len(shared_cluster.nodes) < 2:
            shared_cluster.add(node, nodes.environment(node))
    return shared_cluster


def share(project: Path, **options: str) -> None:
    """As ``dvc remote add --local --force --default shared`` does."""
    lines = [f"{name} = {value}" for name, value in options.items()]
    text = "\n".join(["[core]", "remote = shared", "['remote \"shared\"']", *lines])
    (project / LOCAL).write_text(text)


@pytest.fixture
def tracked(place: Path, tracking: TrackingServer) -> dict[str, str]:
    """The command's environment."""
    return variables(MLFLOW_TRACKING_URI=tracking.address, **PATIENT)


@pytest.fixture
def sharing(tracked: dict[str, str], place: Path) -> dict[str, str]:
    """The same, where checkpoints are shared."""
    return {**tracked, "ATELIER_CHECKPOINTS": f"{place}/states"}


def start(
    place: Path, address: str, env: dict[str, str], methods: Sequence[str] = METHODS
) -> subprocess.Popen[bytes]:
    # a test run in the background ignores Ctrl-C, and so would the command
    command = [sys.executable, "-c", INTERRUPTIBLE, "fan-out", *methods, "--ray", address]
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


@pytest.fixture
def refused(
    place: Path,
    cluster: RayCluster,
    tracked: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Callable[[], str]:
    """Run the command; return the error of one line that it ends with."""

    def refused_now() -> str:
        use(tracked, monkeypatch)
        monkeypatch.chdir(place / "head")
        assert atelier(monkeypatch, "fan-out", *METHODS, "--ray", cluster.address) == 1
        said = capfd.readouterr().err
        assert "Traceback" not in said
        return said

    return refused_now


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


def test_a_node_with_another_commit_and_package_is_refused(
    place: Path, nodes: Nodes, refused: Callable[[], str]
) -> None:
    node, package = place / "two", nodes.packages("two") / "atelier"
    commit(node)
    shutil.copytree(ROOT / "src/atelier", package)
    (package / "more.py").touch()
    said = refused()
    run(node, "git", "reset", "-q", "--hard", "HEAD~")
    shutil.rmtree(package)
    assert re.search(r"error: two: has another version of atelier \(\w+, here \w+\); install", said)
    assert re.search(
        r"^two: its checkout \S+ is at commit \w+, this one at \w+", said, re.MULTILINE
    )
    assert "one:" not in said


def test_a_remote_that_is_down_is_named(place: Path, refused: Callable[[], str]) -> None:
    (place / "file").touch()
    share(place / "head", url=f"{place}/file/remote")
    said = refused()
    share(place / "head", url=f"{place}/remote")
    assert f"the shared remote `shared` ({place}/file/remote) cannot be written to; see" in said


@pytest.mark.usefixtures("slow_disk")
def test_interrupted_all_end_and_have_saved(
    place: Path, cluster: RayCluster, sharing: dict[str, str], tracking: TrackingServer
) -> None:
    process = start(place, cluster.address, sharing)
    wait_for(lambda: newest(place), process, 300)
    process.send_signal(signal.SIGINT)
    said = ended(process, place)
    assert process.returncode == 130, said
    assert not any(at_work(place, method) for method in METHODS)
    assert 0 < newest(place) < STEPS
    assert list(tracking.runs("adain").values()) == ["KILLED"]


def test_lost_workers_and_nodes_change_no_byte(
    place: Path,
    cluster: RayCluster,
    nodes: Nodes,
    undisturbed: list[subprocess.Popen[bytes]],
    slow_disk: Path,
    sharing: dict[str, str],
    tracking: TrackingServer,
) -> None:
    """From the state of the test before; a node that is added meanwhile takes over."""
    saved = newest(place)
    process = start(place, cluster.address, sharing)
    wait_for(lambda: newest(place) > saved, process, 300)
    for node in ("one", "two"):
        cluster.kill(node)
    cluster.add("three", nodes.environment("three"), cores=len(METHODS))
    (begun,) = place.glob("states/train-adain-*/run.json")
    begun_as = json.loads(begun.read_text())["run_id"]
    # not its first state: what ran on the lost node saves once more before it ends
    again = "adain: again, on three"
    wait_for(lambda: again in (place / OUTPUT).read_text(), process, 300)
    before = resumptions(place)
    wait_for(lambda: resumptions(place) > before, process, 300)
    kill_worker(at_work(place, "adain")["three"])
    assert newest(place) < STEPS
    slow_disk.unlink()
    said = ended(process, place)
    assert process.returncode == 0, said
    assert re.search(rf"{again} \(was lost on (one|two)\)", said)
    assert re.search(r"adain +three +done +3", said)
    assert resumptions(place) == before + 2
    head = place / "head"
    assert [one.wait(600) for one in undisturbed] == [0, 0]
    assert results(head) == results(place / "local")
    assert "models/adain/model.safetensors" in results(head)
    recorded = {name: run_of(head, name) for name in METHODS}
    assert recorded["adain"] == begun_as
    assert tracking.runs("adain") == {begun_as: "FINISHED"}
    assert tracking.runs("gatys")[recorded["gatys"]] == "FINISHED"
    assert computed_nothing(head, *METHODS)
    assert (head / "results/comparison/table.csv").is_file()


def run_of(project: Path, method: str) -> str:
    records = json.loads((project / f"results/records/{method}.json").read_text())
    return str(records["stylize"]["run_id"])


def resumptions(place: Path) -> int:
    """How often the training of ``adain`` has said that it goes on from a state."""
    log = place / "head/.checkpoints/fan-out/adain.log"
    return log.read_text().count("train adain: resumes after step") if log.exists() else 0


def newest(place: Path) -> int:
    """The step of the newest state of ``adain`` on shared storage."""
    found = place.glob("states/train-adain-*/step-*.pt")
    return max((int(path.stem.removeprefix("step-")) for path in found), default=0)


def test_from_outside_s3_holds_results_and_checkpoints_of_a_training_over_two_nodes(
    place: Path,
    entrance: str,
    s3: dict[str, str],
    tracked: dict[str, str],
    tracking: TrackingServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    head = place / "head"
    edit(head, "scales", "smoke", "adain", "steps", value=6)
    for key in ("devices", "nodes"):
        edit(head, key, value=2)
    commit(head)
    for node in ("one", "two", "three"):
        run(place / node, "git", "pull", "-q")
    share(head, url="s3://bench/results", endpointurl=s3["AWS_ENDPOINT_URL"])
    env = {**tracked, **s3, "ATELIER_CHECKPOINTS": "s3://bench/states"}
    process = start(place, entrance, env, ["adain"])
    said, log = ended(process, place), (head / ".checkpoints/fan-out/adain.log").read_text()
    assert process.returncode == 0, said + log
    assert re.search(r"train adain: 2 processes on \w+, \w+$", log, re.MULTILINE)
    assert computed_nothing(head, "adain")
    assert len(results(head)) > 4
    assert tracking.runs("adain")[run_of(head, "adain")] == "FINISHED"
    use(env, monkeypatch)
    states = fsspec.filesystem("s3", skip_instance_cache=True).glob("bench/states/train-adain-*/*")
    assert "final-00000006.pt" in {state.rpartition("/")[2] for state in states}
