"""One training over two nodes of a real Ray cluster: result, Ctrl-C, resumption, lost nodes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from support.bench import ROOT, edit, environment, run, small_project, wait_for

pytest.importorskip("ray", reason="the extra `cluster` is not installed")
pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.filterwarnings("default")]

from support.cluster import RayCluster  # noqa: E402 - needs Ray

STEPS = 60
INTERRUPTIBLE = """
import runpy, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.argv = ["stages/train.py", "adain"]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepared pictures, and what one process makes of them, whose draws are those of two."""
    folder = small_project(tmp_path_factory.mktemp("training") / "project", ["adain"])
    for key, value in {"steps": STEPS, "precision": "float32", "accumulate": 2}.items():
        edit(folder, "scales", "smoke", "adain", key, value=value)
    run(folder, "dvc", "repro", "train@adain")
    (folder / "results/models/adain").rename(folder / "alone")
    edit(folder, "scales", "smoke", "adain", "accumulate", value=1)
    edit(folder, "devices", value=2)
    edit(folder, "nodes", value=2)
    run(folder, "dvc", "repro", "settings")
    return folder


@pytest.fixture(scope="module")
def cluster(project: Path) -> Iterator[RayCluster]:
    own = {"ATELIER_PROJECT": str(project), "PYTHONPATH": paths(), "OMP_NUM_THREADS": "1"}
    made = RayCluster({"two": own}, cores=1)
    yield made
    made.shutdown()


def paths() -> str:
    return os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])


def start(project: Path, cluster: RayCluster) -> subprocess.Popen[bytes]:
    """Begin the stage, as DVC does."""
    env = {**environment(), "PYTHONPATH": paths(), "RAY_ADDRESS": cluster.address}
    with (project / "said.txt").open("w") as out:
        return subprocess.Popen(
            [sys.executable, "-c", INTERRUPTIBLE],
            cwd=project,
            env=env,
            stdout=out,
            stderr=subprocess.STDOUT,
        )


def ended(process: subprocess.Popen[bytes], project: Path) -> str:
    try:
        process.wait(300)
    finally:
        process.kill()
    return (project / "said.txt").read_text()


def states(project: Path) -> list[str]:
    return sorted(path.name for path in project.glob(".checkpoints/train-adain-*/step-*.pt"))


def test_interrupted_and_resumed_it_equals_one_process(project: Path, cluster: RayCluster) -> None:
    first = start(project, cluster)
    wait_for(lambda: states(project), first, 300)
    first.send_signal(signal.SIGINT)
    said = ended(first, project)
    assert first.returncode == 130, said
    assert said.count("train stopped; `dvc repro` resumes from here") == 1
    assert states(project)[-1] < f"step-{STEPS:08d}.pt"
    said = ended(start(project, cluster), project)
    assert f"of {STEPS}" in said.partition("resumes after step ")[2]
    assert "2 processes on head, two" in said
    one = load_file(project / "alone/model.safetensors")
    both = load_file(project / "results/models/adain/model.safetensors")
    torch.testing.assert_close(both, one, rtol=1e-5, atol=1e-7)


def test_a_node_that_is_lost_or_missing_is_a_sentence(project: Path, cluster: RayCluster) -> None:
    (project / "results/models/adain").rename(project / "both")
    process = start(project, cluster)
    wait_for(lambda: states(project), process, 300)
    cluster.kill("two")
    said = ended(process, project)
    assert process.returncode == 1
    assert "Traceback" not in said
    assert "error: train of adain: two: was lost; the training stops, and resumes" in said
    said = ended(start(project, cluster), project)
    last = said.splitlines()[-1]
    assert last == "error: train of adain: params.yaml: nodes: 2, but the cluster has 1"
