"""One training over two nodes of a real Ray cluster: Ctrl-C, a lost node, resumption, result."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from atelier.cluster import launcher
from atelier.engine.distributed import NODES_LAUNCHER
from support.bench import edit, run, wait_for

pytest.importorskip("ray", reason="the extra `cluster` is not installed")
pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.filterwarnings("default")]

from support.cluster import FEW, SLOW, Nodes, RayCluster, use, variables  # noqa: E402 - needs Ray

STAGE = """
import runpy, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.argv = ["stages/train.py", "pair"]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
LAUNCHER = (*NODES_LAUNCHER, "stages/train.py", "pair")
"""What the stage starts when it has loaded its packages."""


@pytest.fixture(scope="module")
def project(prepared: Path, nodes: Nodes) -> Path:
    """Prepared pictures, and what one process makes of them, whose draws are those of two."""
    folder = shutil.copytree(prepared, nodes.place / "training", symlinks=True)
    run(folder, sys.executable, "stages/train.py", "alone")
    edit(folder, "devices", value=2)
    edit(folder, "nodes", value=2)
    return folder


def start(project: Path, cluster: RayCluster, *python: str) -> subprocess.Popen[bytes]:
    with (project / "said.txt").open("w") as out:
        return subprocess.Popen(
            [sys.executable, *python],
            cwd=project,
            env=variables(RAY_ADDRESS=cluster.address, **{SLOW: str(project.parent / "slow")}),
            stdout=out,
            stderr=subprocess.STDOUT,
        )


def ended(process: subprocess.Popen[bytes], project: Path) -> str:
    try:
        process.wait(300)
    finally:
        process.kill()
    return (project / "said.txt").read_text()


def newest(project: Path) -> str:
    """Name of the newest state."""
    found = project.glob(".checkpoints/train-pair-*/step-*.pt")
    return max((path.name for path in found), default="")


@pytest.mark.usefixtures("slow_disk")
def test_interrupted_it_has_saved(project: Path, cluster: RayCluster) -> None:
    process = start(project, cluster, "-c", STAGE)
    wait_for(lambda: newest(project), process, 300)
    process.send_signal(signal.SIGINT)
    said = ended(process, project)
    assert process.returncode == 130, said
    assert said.count("train stopped; `dvc repro` resumes from here") == 1
    assert newest(project) < f"step-{FEW:08d}.pt"


@pytest.mark.usefixtures("slow_disk")
def test_a_node_that_is_lost_is_a_sentence(project: Path, cluster: RayCluster) -> None:
    """From the state of the test before."""
    saved = newest(project)
    process = start(project, cluster, *LAUNCHER)
    wait_for(lambda: newest(project) > saved, process, 300)
    cluster.kill("two")
    said = ended(process, project)
    assert process.returncode == 1
    assert "Traceback" not in said
    assert "error: train of pair: two: was lost; the training stops, and resumes" in said
    assert newest(project) < f"step-{FEW:08d}.pt"


def test_a_node_that_is_missing_is_a_sentence(
    project: Path,
    shared_cluster: RayCluster,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if shared_cluster.nodes:
        shared_cluster.kill("two")
    use(variables(RAY_ADDRESS=shared_cluster.address), monkeypatch)
    monkeypatch.chdir(project)
    monkeypatch.setattr("sys.argv", ["launcher", *LAUNCHER[-2:]])
    with pytest.raises(SystemExit, match="1"):
        launcher.main()
    last = capsys.readouterr().err.splitlines()[-1]
    assert last == "error: train of pair: params.yaml: nodes: 2, but the cluster has 1"


def test_resumed_it_equals_one_process(project: Path, cluster: RayCluster) -> None:
    """From the state of the tests before."""
    said = ended(start(project, cluster, *LAUNCHER), project)
    assert f"of {FEW}" in said.partition("resumes after step ")[2]
    assert "2 processes on head, two" in said
    one, both = (
        load_file(project / f"results/models/{name}/model.safetensors")
        for name in ("alone", "pair")
    )
    torch.testing.assert_close(both, one, rtol=1e-5, atol=1e-7)
